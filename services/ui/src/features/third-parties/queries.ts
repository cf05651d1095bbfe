import { queryOptions } from "@tanstack/react-query"

import { client, read, type Schemas, type Window } from "~/api/client"

export type Dependency = Schemas["ExternalDependency"]

export const PATH = "/api/v1/dependencies/external"

export const thirdParties = (window: Window) =>
  queryOptions({
    queryKey: ["third-parties", window],
    meta: { name: "third parties" },
    queryFn: ({ signal }) =>
      read(client.GET("/api/v1/dependencies/external", { params: { query: window }, signal })),
  })
