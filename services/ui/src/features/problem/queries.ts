import { queryOptions } from "@tanstack/react-query"

import { client, read } from "~/api/client"

export const pathOf = (id: string) => `/api/v1/alerts/${encodeURIComponent(id)}`

export const explained = (id: string) =>
  queryOptions({
    queryKey: ["alert", id],
    meta: { name: "the problem" },
    queryFn: ({ signal }) =>
      read(client.GET("/api/v1/alerts/{alert_id}", { params: { path: { alert_id: id } }, signal })),
  })
