import { queryOptions } from "@tanstack/react-query"

import { client, read, type Schemas, type Window } from "~/api/client"

export type Resources = Schemas["ServiceResources"]

export const pathOf = (service: string) => `/api/v1/services/${encodeURIComponent(service)}/resources`

/** How full the resources of a service were, and which limits it. */
export const resources = (service: string, window: Window) =>
  queryOptions({
    queryKey: ["resources", service, window],
    meta: { name: "the resources" },
    queryFn: ({ signal }) =>
      read(
        client.GET("/api/v1/services/{service_name}/resources", {
          params: { path: { service_name: service }, query: window },
          signal,
        }),
      ),
  })
