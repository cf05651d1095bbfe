import { queryOptions } from "@tanstack/react-query"

import { client, read, type Schemas } from "~/api/client"
import type { Search } from "~/features/problems/search"

export const PATH = "/api/v1/alerts"
const LIMIT = 500

const STATES: Record<NonNullable<Search["state"]>, Schemas["State"][]> = {
  open: ["firing", "recovering"],
  pending: ["pending"],
  over: ["resolved", "ok"],
}

export const listQuery = (environment: string | undefined, { state, severity, sort }: Search) => ({
  environment,
  state: state && STATES[state],
  severity,
  sort,
  limit: LIMIT,
})

/** Whether alerts are judged and told. */
export const status = queryOptions({
  queryKey: ["alert-status"],
  meta: { name: "how alerts are judged" },
  queryFn: ({ signal }) => read(client.GET("/api/v1/alerts/status", { signal })),
})

export const listOptions = (environment: string | undefined, search: Search) => {
  const query = listQuery(environment, search)
  return queryOptions({
    queryKey: ["problems", query],
    meta: { name: "the problems" },
    queryFn: ({ signal }) => read(client.GET(PATH, { params: { query }, signal })),
  })
}
