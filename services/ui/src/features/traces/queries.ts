import { infiniteQueryOptions } from "@tanstack/react-query"

import { client, read, type Window } from "~/api/client"
import type { Search } from "~/features/traces/search"

export const PATH = "/api/v1/traces"
const LIMIT = 100

export const searchQuery = (window: Window, search: Search) => ({
  ...window,
  service: search.service,
  operation: search.operation,
  status: search.status,
  transaction: search.transaction,
  min_duration_ms: search.min,
  max_duration_ms: search.max,
  attr: search.attr,
  sort: search.sort,
  limit: LIMIT,
})

export const found = (window: Window, search: Search) =>
  infiniteQueryOptions({
    queryKey: ["traces", window, search],
    meta: { name: "the search" },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: { next_cursor: string | null }) => page.next_cursor ?? undefined,
    queryFn: ({ signal, pageParam }) =>
      read(
        client.GET(PATH, {
          params: { query: { ...searchQuery(window, search), cursor: pageParam } },
          signal,
        }),
      ),
  })
