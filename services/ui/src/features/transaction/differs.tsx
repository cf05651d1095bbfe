// What differs between a region of the heatmap and the rest: values of attributes, operations.
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import type { ReactNode } from "react"

import type { Schemas } from "~/api/client"
import { comparison, comparisonQuery } from "~/features/transaction/queries"
import type { Region } from "~/features/transaction/region"
import type { Chosen } from "~/features/transaction/search"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { count, digits, duration, percent } from "~/view/format"
import { clock } from "~/view/time"
import { useView } from "~/view/view"

const SHOWN = 12

type Props = { id: string; region: Region; close: () => void }

export function Differs({ id, region, close }: Props) {
  const { window } = useView()
  const { data, error, isPending, refetch } = useQuery(comparison(id, window, region))
  const source = { path: "/api/v1/compare", query: comparisonQuery(id, window, region) }
  return (
    <Panel
      title="What differs there"
      source={source}
      note={`${clock(Date.parse(region.start))} – ${clock(Date.parse(region.end))}, ${duration(region.min ?? 0)} to ${region.max ? duration(region.max) : "the longest"}`}
      actions={
        <button type="button" className="button quiet" onClick={close}>
          Close
        </button>
      }
    >
      {isPending ? (
        <Loading rows={4} name="what differs" />
      ) : error ? (
        <Failure error={error} again={() => void refetch()} />
      ) : (
        <Differences id={id} region={region} comparison={data} />
      )}
    </Panel>
  )
}

function Differences(props: { id: string; region: Region; comparison: Schemas["Comparison"] }) {
  const { id, region, comparison } = props
  const { a, b } = comparison
  if (!a.traces) return <Empty>No trace lies in this region.</Empty>
  const attributes = comparison.attributes.slice(0, SHOWN)
  const operations = comparison.operations.filter((one) => one.change_ms > 0).slice(0, SHOWN)
  return (
    <div className="two-halves">
      <div>
        <h3>
          Values of attributes: in{" "}
          <Within id={id} region={region}>
            {count(a.traces)} traces
          </Within>{" "}
          there and{" "}
          {count(b.traces)} others
        </h3>
        {attributes.length ? (
          <ul className="shares">
            {attributes.map((one) => (
              <li key={`${one.source} ${one.key} ${one.value}`}>
                <span className="one-line">
                  {one.key}={one.value}
                </span>
                <Within id={id} region={region} chosen={{ attr: [`${quoted(one.key)}=${one.value}`] }} className="end">
                  {percent(one.a_share)}
                </Within>
                <Share share={one.a_share} />
                <span className="muted end">{percent(one.b_share)}</span>
              </li>
            ))}
          </ul>
        ) : (
          <Empty>No attribute differs by more than chance.</Empty>
        )}
      </div>
      <div>
        <h3>Operations that take longer there</h3>
        {operations.length ? (
          <ul className="changes">
            {operations.map((one) => (
              <li key={`${one.service} ${one.operation} ${one.kind}`}>
                <Within
                  id={id}
                  region={region}
                  chosen={{ operation: [one.service, one.operation, one.kind] }}
                  className="one-line"
                >
                  {one.service}: {one.operation}
                </Within>
                <span className="error end">+{duration(one.change_ms)}</span>
                <span className="muted end">
                  {digits(one.a.calls_per_trace)} calls, {digits(one.b.calls_per_trace)} otherwise
                </span>
              </li>
            ))}
          </ul>
        ) : (
          <Empty>No operation takes longer.</Empty>
        )}
      </div>
    </div>
  )
}

type WithinProps = { id: string; region: Region; chosen?: Chosen; className?: string; children: ReactNode }

/** A number that opens the occurrences of the region. */
function Within({ id, region, chosen, className, children }: WithinProps) {
  const { start, end, min, max } = region
  return (
    <Link
      to="/transactions/$id"
      params={{ id }}
      search={{ tab: "occurrences", start, end, min, max, ...chosen }}
      className={className}
    >
      {children}
    </Link>
  )
}

function Share({ share }: { share: number }) {
  return (
    <svg className="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden>
      <rect width={share * 100} height="8" />
    </svg>
  )
}

/** A key as the search's filter reads it: quoted if it has an operator's sign. */
const quoted = (key: string) => (/[=!~<> ]/.test(key) ? JSON.stringify(key) : key)
