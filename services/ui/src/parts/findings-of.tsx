// What is slow every day in a service, as items of a list: the most expensive first.
import { queryOptions, useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"

import { client, read } from "~/api/client"

const SHOWN = 3

const findingsOf = (service: string) =>
  queryOptions({
    queryKey: ["findings-of", service],
    meta: { name: "the findings" },
    queryFn: ({ signal }) =>
      read(client.GET("/api/v1/findings", { params: { query: { service, limit: SHOWN } }, signal })),
  })

/** Nothing without findings: they are not what the page is about. */
export function FindingsOf({ service }: { service: string }) {
  const { data } = useQuery(findingsOf(service))
  return data?.findings.map((finding) => (
    <li key={finding.id} className="foreign">
      <Link to="/findings/$id" params={{ id: finding.id }}>
        Finding: {finding.title}, {finding.operation}
      </Link>
    </li>
  ))
}
