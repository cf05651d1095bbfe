// Where the slow ones lose their time, in a few lines.
import { Link } from "@tanstack/react-router"

import type { Schemas } from "~/api/client"
import { Of } from "~/features/transaction/of"
import { Panel, type Source } from "~/parts/panel"
import { rankOf, Service, type ServiceRanks } from "~/parts/service"
import { Empty } from "~/parts/states"
import { duration, percent } from "~/view/format"
import { clock } from "~/view/time"

type Props = {
  view: Schemas["JoinedView"]
  ranks: ServiceRanks
  source: Source
}

const SHOWN = 3

export function WhySlow({ view, ranks, source }: Props) {
  const worst = [...view.breakdown]
    .filter((row) => row.slow.critical_share > 0)
    .sort((one, other) => extra(other) - extra(one))
    .slice(0, SHOWN)
  return (
    <Panel title="Why slow" source={source} note="where slow ones spend more than others">
      {worst.length ? (
        <ol className="why">
          {worst.map((row) => (
            <li key={`${row.service} ${row.operation} ${row.kind}`}>
              <p>
                <Of
                  chosen={{ operation: [row.service, row.operation, row.kind], sort: "duration" }}
                  className="one-line strong"
                >
                  {row.operation}
                </Of>
                <Service name={row.service} rank={rankOf(ranks, row.service)} />
              </p>
              <p>
                {percent(row.slow.critical_share)} of the path of slow ones,{" "}
                <span className="muted">{percent(row.typical.critical_share)} of others</span>
              </p>
              <p className="muted">
                p95 without it: {duration(row.p95_without_ms)} of {duration(view.transaction.duration_ms.p95)}
              </p>
            </li>
          ))}
        </ol>
      ) : (
        <Empty>No settled trace in this time yet.</Empty>
      )}
      <Examples name="Slowest" traces={view.traces.slowest} />
      <Examples name="Errors" traces={view.traces.errors} />
      <Examples name="Typical" traces={view.traces.typical} />
    </Panel>
  )
}

/** Milliseconds of a slow trace that a typical one does not spend there. */
const extra = (row: Schemas["BreakdownRow"]) =>
  row.slow.self_time_ms_per_trace - row.typical.self_time_ms_per_trace

function Examples({ name, traces }: { name: string; traces: readonly Schemas["TraceSummary"][] }) {
  if (!traces.length) return null
  return (
    <>
      <h3>{name}</h3>
      <ul className="examples">
        {traces.slice(0, SHOWN).map((trace) => (
          <li key={trace.trace_id}>
            <Link to="/traces/$id" params={{ id: trace.trace_id }}>
              {duration(trace.duration_ms)}
            </Link>{" "}
            <span className="muted">
              {clock(Date.parse(trace.start))} · {trace.span_count} {trace.span_count === 1 ? "span" : "spans"}
              {trace.error_count ? ` · ✕ ${trace.error_count}` : ""}
            </span>
          </li>
        ))}
      </ul>
    </>
  )
}
