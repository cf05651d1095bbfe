// How this clew is set up: its version and addresses.
import { queryOptions } from "@tanstack/react-query"

import { client, read } from "~/api/client"

export const setup = queryOptions({
  queryKey: ["setup"],
  staleTime: Infinity,
  queryFn: ({ signal }) => read(client.GET("/api/v1/setup", { signal })),
})
