import { queryOptions } from "@tanstack/react-query"

import { client, read, type Schemas } from "~/api/client"

export type Finding = Schemas["Finding"]

export const pathOf = (id: string) => `/api/v1/findings/${id}`

export const finding = (id: string) =>
  queryOptions({
    queryKey: ["finding", id],
    meta: { name: "the finding" },
    queryFn: async ({ signal }) => {
      const path = "/api/v1/findings/{finding_id}"
      const answer = await read(client.GET(path, { params: { path: { finding_id: id } }, signal }))
      return answer.finding
    },
  })

export const changeState = (id: string, state: Finding["state"], reason: string) =>
  read(
    client.POST("/api/v1/findings/{finding_id}/state", {
      params: { path: { finding_id: id } },
      body: { state, reason },
    }),
  )
