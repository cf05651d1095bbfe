import { queryOptions } from "@tanstack/react-query"

import { client, read } from "~/api/client"

export const spanOf = (id: string, version: string, row: number) =>
  queryOptions({
    queryKey: ["span", id, version, row],
    staleTime: Infinity,
    queryFn: async ({ signal }) => {
      const answer = await read(
        client.GET("/api/v1/traces/{trace_id}/spans", {
          params: { path: { trace_id: id }, query: { rows: String(row), version } },
          signal,
        }),
      )
      return answer.spans[0]
    },
  })

export const logsOf = (id: string) =>
  queryOptions({
    queryKey: ["trace-logs", id],
    meta: { name: "the trace's log records" },
    queryFn: ({ signal }) =>
      read(client.GET("/api/v1/traces/{trace_id}/logs", { params: { path: { trace_id: id } }, signal })),
  })

export const metricsOf = (id: string) =>
  queryOptions({
    queryKey: ["trace-metrics", id],
    meta: { name: "the trace's metrics" },
    queryFn: ({ signal }) =>
      read(
        client.GET("/api/v1/traces/{trace_id}/metrics", { params: { path: { trace_id: id } }, signal }),
      ),
  })

export const occurrencesOf = (id: string) =>
  queryOptions({
    queryKey: ["trace-occurrences", id],
    queryFn: ({ signal }) =>
      read(
        client.GET("/api/v1/traces/{trace_id}/occurrences", {
          params: { path: { trace_id: id } },
          signal,
        }),
      ),
  })
