import { queryOptions } from "@tanstack/react-query"

import { client, read, type Window } from "~/api/client"
import type { Search } from "~/features/transactions/search"
import { baseline } from "~/view/time"

export const PATH = "/api/v1/transactions"
const LIMIT = 200
const POINTS = 30 // of a sparkline

/** The query of the list. */
export function listQuery(window: Window, { q, sort, vs = "before" }: Search) {
  const before = baseline(window, vs)
  return {
    ...window,
    q,
    sort: sort ?? "impact",
    baseline_start: before.start,
    baseline_end: before.end,
    series: POINTS,
    limit: LIMIT,
  }
}

export const listOptions = (window: Window, search: Search) =>
  queryOptions({
    queryKey: ["transactions", window, search],
    meta: { name: "the list" },
    queryFn: ({ signal }) =>
      read(client.GET(PATH, { params: { query: listQuery(window, search) }, signal })),
  })
