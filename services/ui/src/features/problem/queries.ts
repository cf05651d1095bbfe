import { queryOptions, useQuery } from "@tanstack/react-query"

import { client, read, type Schemas, type Window } from "~/api/client"

export type Problem = Schemas["AlertView"]

export const pathOf = (id: string) => `/api/v1/alerts/${encodeURIComponent(id)}`

export const problem = (id: string) =>
  queryOptions({
    queryKey: ["problem", id],
    meta: { name: "the problem" },
    queryFn: ({ signal }) =>
      read(client.GET("/api/v1/alerts/{alert_id}", { params: { path: { alert_id: id } }, signal })),
  })

/** What the problem costs. */
export const impact = (id: string) =>
  queryOptions({
    queryKey: ["impact", id],
    meta: { name: "what it costs" },
    queryFn: ({ signal }) =>
      read(client.GET("/api/v1/alerts/{alert_id}/impact", { params: { path: { alert_id: id } }, signal })),
  })

/** Whether the answer about the cost is there, or failed. What can wait for it does: a browser sends
 * six requests at once. */
export const useIsCostKnown = (id: string) => !useQuery({ ...impact(id), enabled: false }).isPending

/** Ids of the transactions that the problem touches, once they are known. */
export const useTouched = (id: string) =>
  useQuery({ ...impact(id), enabled: false }).data?.transactions.map((one) => one.id)

/** The id of the transaction with this name, or null. */
export const transactionNamed = (name: string, window: Window) =>
  queryOptions({
    queryKey: ["transaction-named", name, window],
    queryFn: async ({ signal }) => {
      const query = { ...window, q: name, limit: 200 }
      const answer = await read(client.GET("/api/v1/transactions", { params: { query }, signal }))
      return answer.transactions.find((one) => one.name === name)?.id ?? null
    },
  })

export const acknowledge = (id: string, text: string) =>
  read(
    client.POST("/api/v1/alerts/{alert_id}/acknowledge", {
      params: { path: { alert_id: id } },
      body: { text },
    }),
  )

export const feedback = (id: string, useful: boolean, text: string) =>
  read(
    client.POST("/api/v1/alerts/{alert_id}/feedback", {
      params: { path: { alert_id: id } },
      body: { useful, accepted: false, text },
    }),
  )

export const accept = (id: string, text: string) =>
  read(
    client.POST("/api/v1/alerts/{alert_id}/feedback", {
      params: { path: { alert_id: id } },
      body: { useful: true, accepted: true, text },
    }),
  )

const NAMED = ["transaction", "service", "operation", "dependency", "environment"]

/** Silences a problem for as long as `length` says, such as `4h`. */
export function silence(alert: Schemas["Alert"], length: string, reason: string) {
  const entries = Object.entries(alert.labels)
  const match = {
    rule: alert.rule,
    ...Object.fromEntries(entries.filter(([name]) => NAMED.includes(name))),
    labels: Object.fromEntries(entries.filter(([name]) => !NAMED.includes(name))),
  }
  return read(client.POST("/api/v1/silences", { body: { match, start: "now", for: length, reason } }))
}

export const endSilence = (id: string) =>
  read(client.DELETE("/api/v1/silences/{silence_id}", { params: { path: { silence_id: id } } }))
