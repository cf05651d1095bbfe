import { queryOptions } from "@tanstack/react-query"

import { client, read, type Schemas } from "~/api/client"
import type { Search } from "~/features/findings/search"

export type Finding = Schemas["Finding"]

export const PATH = "/api/v1/findings"
const LIMIT = 500

const STATES: Record<NonNullable<Search["state"]>, Finding["state"][]> = {
  ignored: ["ignored"],
  resolved: ["resolved"],
  all: ["open", "reviewed", "ignored", "resolved", "regressed"],
}

export const listQuery = (environment: string | undefined, { state, sort }: Search) => ({
  environment,
  state: state && STATES[state],
  sort,
  limit: LIMIT,
})

export const listOptions = (environment: string | undefined, search: Search) => {
  const query = listQuery(environment, search)
  return queryOptions({
    queryKey: ["findings", query],
    meta: { name: "the findings" },
    queryFn: ({ signal }) => read(client.GET(PATH, { params: { query }, signal })),
  })
}
