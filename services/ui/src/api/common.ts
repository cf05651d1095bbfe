// Reads that several pages and the bar share.
import { queryOptions } from "@tanstack/react-query"

import { client, read, type Schemas, type Window } from "~/api/client"

/** The names of the environments, most frequent first. */
export const environments = (window: Window) =>
  queryOptions({
    queryKey: ["environments", window.start, window.end],
    staleTime: 300_000,
    queryFn: async ({ signal }) => {
      const key = "deployment.environment.name"
      const query = { source: "resource", start: window.start, end: window.end } as const
      const path = "/api/v1/attributes/{key}/values"
      const answer = await read(client.GET(path, { params: { path: { key }, query }, signal }))
      return answer.values.map((value) => value.value).filter((value) => value !== "")
    },
  })

/** How many problems are open, without those that another one stands for. */
export const openProblems = (environment: string | undefined) =>
  queryOptions({
    queryKey: ["problems", "open", environment],
    queryFn: async ({ signal }) => {
      const state: Schemas["State"][] = ["firing", "recovering"]
      const query = { environment, state, limit: 1000 }
      const { alerts } = await read(client.GET("/api/v1/alerts", { params: { query }, signal }))
      const ids = new Set(alerts.map((alert) => alert.id))
      return alerts.filter((alert) => alert.group === alert.id || !ids.has(alert.group)).length
    },
  })
