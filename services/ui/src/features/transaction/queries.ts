import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query"

import { client, read, type Window } from "~/api/client"
import type { Region } from "~/features/transaction/region"
import type { Chosen } from "~/features/transaction/search"

const LIST = 200
const MAX_SERVICES = 100 // that events are asked for: an address has a limit

export const pathOf = (id: string) => `/api/v1/transactions/${encodeURIComponent(id)}`

export const joined = (id: string, window: Window) =>
  queryOptions({
    queryKey: ["transaction", id, window],
    meta: { name: "the transaction", limit: LIST },
    queryFn: ({ signal }) =>
      read(
        client.GET("/api/v1/transactions/{transaction_id}", {
          params: { path: { transaction_id: id }, query: { ...window, limit: LIST } },
          signal,
        }),
      ),
  })

export const heatmap = (id: string, window: Window) =>
  queryOptions({
    queryKey: ["heatmap", id, window],
    meta: { name: "the heatmap" },
    queryFn: ({ signal }) =>
      read(
        client.GET("/api/v1/transactions/{transaction_id}/heatmap", {
          params: { path: { transaction_id: id }, query: window },
          signal,
        }),
      ),
  })

/** What happened around these services: deployments, feature flags, campaigns. */
export const events = (services: readonly string[], window: Window) =>
  queryOptions({
    queryKey: ["events", services, window],
    meta: { name: "events" },
    queryFn: ({ signal }) =>
      read(
        client.GET("/api/v1/events", {
          params: { query: { ...window, service: services.slice(0, MAX_SERVICES), limit: LIST } },
          signal,
        }),
      ),
  })

/** What differs between a region of the heatmap and the rest of the window. */
export const comparisonQuery = (id: string, window: Window, region: Region) => ({
  transaction: id,
  environment: window.environment,
  start: region.start,
  end: region.end,
  min_duration_ms: region.min,
  max_duration_ms: region.max,
  baseline_start: window.start,
  baseline_end: window.end,
})

export const comparison = (id: string, window: Window, region: Region) =>
  queryOptions({
    queryKey: ["compare", id, window, region],
    meta: { name: "what differs" },
    queryFn: ({ signal }) =>
      read(
        client.GET("/api/v1/compare", {
          params: { query: comparisonQuery(id, window, region) },
          signal,
        }),
      ),
  })

export const occurrencesQuery = (window: Window, { outcome, min, max, ...chosen }: Chosen) => ({
  ...window,
  ...chosen,
  status: outcome,
  min_duration_ms: min,
  max_duration_ms: max,
  operation: array(chosen.operation),
  call: array(chosen.call),
  failed_call: array(chosen.failed_call),
  exception: array(chosen.exception),
  limit: LIST,
})

const array = (texts: string[] | undefined) => texts && JSON.stringify(texts)

export const occurrences = (id: string, window: Window, of: Chosen) =>
  infiniteQueryOptions({
    queryKey: ["occurrences", id, window, of],
    meta: { name: "the occurrences" },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: { next_cursor: string | null }) => page.next_cursor ?? undefined,
    queryFn: ({ signal, pageParam }) =>
      read(
        client.GET("/api/v1/transactions/{transaction_id}/instances", {
          params: { path: { transaction_id: id }, query: { ...occurrencesQuery(window, of), cursor: pageParam } },
          signal,
        }),
      ),
  })

export const funnel = (id: string, window: Window) =>
  queryOptions({
    queryKey: ["funnel", id, window],
    meta: { name: "the funnel" },
    queryFn: ({ signal }) =>
      read(
        client.GET("/api/v1/transactions/{transaction_id}/funnel", {
          params: { path: { transaction_id: id }, query: window },
          signal,
        }),
      ),
  })

/** KPIs are of whole hours: a day would be too few of them, so it is the week before the end. */
export const kpiQuery = ({ environment, end }: Window) => ({ environment, end })

export const kpis = (id: string, window: Window) =>
  queryOptions({
    queryKey: ["kpis", id, kpiQuery(window)],
    meta: { name: "the KPIs" },
    queryFn: ({ signal }) =>
      read(
        client.GET("/api/v1/transactions/{transaction_id}/kpis", {
          params: { path: { transaction_id: id }, query: kpiQuery(window) },
          signal,
        }),
      ),
  })
