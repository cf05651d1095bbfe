// What is slow every day in a service, as items of a list: what says most about the place first.
import { queryOptions, useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"

import { client, read } from "~/api/client"
import { headline, type Place, telling } from "~/parts/telling"

const SHOWN = 3
const ASKED = 100 // the most expensive ones

const findingsOf = (service: string | undefined) =>
  queryOptions({
    queryKey: ["findings-of", service],
    meta: { name: "the findings" },
    queryFn: ({ signal }) =>
      read(client.GET("/api/v1/findings", { params: { query: { service, limit: ASKED } }, signal })),
  })

/** Nothing without findings: they are not what the page is about. */
export function FindingsOf(place: Place) {
  // What concerns a transaction may be a finding of any service of it.
  const { data } = useQuery(findingsOf(place.transactions?.length ? undefined : place.service))
  return telling(data?.findings ?? [], place)
    .slice(0, SHOWN)
    .map(({ finding, isNew }) => (
      <li key={finding.id} className="foreign">
        <Link to="/findings/$id" params={{ id: finding.id }}>
          Finding: {headline(finding, place)}
        </Link>
        {isNew && <span className="muted"> new since then</span>}
      </li>
    ))
}
