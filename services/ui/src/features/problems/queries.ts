import { queryOptions } from "@tanstack/react-query"

import { client, read } from "~/api/client"
import type { Search } from "~/features/problems/search"

export const PATH = "/api/v1/alerts"
const LIMIT = 200
const OPEN: ("firing" | "recovering" | "pending")[] = ["firing", "recovering", "pending"]

/** The query of the list. Its entries have no window of time. */
export const listQuery = (environment: string | undefined, search: Search) => ({
  environment,
  state: search.show ? undefined : OPEN,
  severity: search.severity,
  sort: search.sort,
  limit: LIMIT,
})

export const listed = (environment: string | undefined, search: Search) =>
  queryOptions({
    queryKey: ["alerts", environment, search],
    meta: { name: "the problems" },
    queryFn: ({ signal }) =>
      read(client.GET(PATH, { params: { query: listQuery(environment, search) }, signal })),
  })
