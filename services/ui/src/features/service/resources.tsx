// What limits a service: how full each of its resources was, what is left, and what helps.
import { Link } from "@tanstack/react-router"

import type { Window } from "~/api/client"
import { pathOf, type Resources, resources } from "~/features/service/queries"
import { Instance } from "~/parts/instance"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { bytes, count, digits, percent, rate, resourceName, shortId } from "~/view/format"
import { clock } from "~/view/time"
import { useLive, useView } from "~/view/view"

type Constraint = Resources["constraints"][number]
type Bound = Resources["transactions"][number]

const SHOWN = 8
const MEMORY = "process.memory.usage"
const FULL = 0.8 // a peak from which on what helps is said

/** `window`: without one that of the bar. */
type Props = { service: string; window?: Window; withTransactions?: boolean }

export function ResourcesPanel({ service, window: given, withTransactions = false }: Props) {
  const { window: ofBar } = useView()
  const window = given ?? ofBar
  const { data, error, refetch } = useLive(resources(service, window))
  return (
    <Panel
      title={`Resources of ${service}`}
      note={data?.peak_per_second ? `at the peak ${rate(data.peak_per_second)}` : undefined}
      source={{ path: pathOf(service), query: window }}
    >
      {data ? (
        <Content data={data} withTransactions={withTransactions} />
      ) : error ? (
        <Failure error={error} again={() => void refetch()} />
      ) : (
        <Loading rows={4} name={`the resources of ${service}`} />
      )}
    </Panel>
  )
}

function Content({ data, withTransactions }: { data: Resources; withTransactions: boolean }) {
  const { bound_by, constraints, leaks, transactions, usages } = data
  const memory = usages.filter(({ metric }) => metric === MEMORY)
  const first = constraints.find((one) => one.name === bound_by)
  if (!constraints.length && !leaks.length && !memory.length) {
    return <Empty>No process, container or host of it sent a metric whose limit is known in this time.</Empty>
  }
  return (
    <>
      {first ? (
        <p>
          <span className="error">▲ {resourceName(first.name)} limits it</span>: {first.advice}.
        </p>
      ) : (
        <p className="muted">Nothing limits it: no peak reached {percent(FULL)}.</p>
      )}
      {constraints.length > 0 && <Table name="Resources" columns={COLUMNS} rows={constraints} id={(one) => one.name} />}
      {memory.map(({ mean, peak, source }) => (
        <p key={source} className="foreign">
          Memory of a process: {bytes(mean)} on average, at most {bytes(peak)} in <Instance id={source} />
        </p>
      ))}
      {leaks.length > 0 && (
        <ul className="said" aria-label="Memory that only grows">
          {leaks.map((leak) => (
            <li key={leak.source} className="foreign">
              <span className="warn">▲ Memory only grows</span>: {bytes(leak.bytes_per_hour)} an hour (
              {percent(leak.share_per_hour)}) in <Instance id={leak.source} />, over {digits(leak.hours)} h. Two
              snapshots of its heap, compared, say what is kept; the <Link to="/findings" search={{ q: "Memory leak" }}>finding</Link> says how.
            </li>
          ))}
        </ul>
      )}
      {withTransactions && transactions.length > 0 && (
        <Table name="Transactions that wait for it" columns={WAITING} rows={transactions.slice(0, SHOWN)} id={(one) => one.id} />
      )}
    </>
  )
}

const COLUMNS: Column<Constraint>[] = [
  { name: "name", head: "Resource", cell: (one) => <span title={one.advice}>{resourceName(one.name)}</span> },
  { name: "mean", head: "Used", align: "end", cell: (one) => percent(one.mean) },
  {
    name: "peak",
    head: "Peak",
    align: "end",
    cell: (one) => (
      <span className={one.peak >= FULL ? "error" : ""} title={`${shortId(one.source)} at ${clock(Date.parse(one.peak_at))}`}>
        {percent(one.peak)}
      </span>
    ),
  },
  { name: "headroom", head: "Left", align: "end", cell: (one) => percent(one.headroom) },
  {
    name: "load",
    head: "Full at a load of",
    align: "end",
    narrow: "hide",
    cell: (one) =>
      one.fit ? (
        <span title={`the load explains ${percent(one.fit.r2)} of its use`}>{rate(one.fit.saturation_per_second)}</span>
      ) : (
        <span className="muted" title={one.reason}>
          –
        </span>
      ),
  },
  {
    name: "replicas",
    head: "Replicas advised",
    align: "end",
    narrow: "hide",
    cell: (one) => (one.replicas === null ? <span className="muted">–</span> : `${count(one.replicas)} of now ${count(one.sources)}`),
  },
  {
    name: "source",
    head: "Where",
    narrow: "hide",
    cell: (one) => (
      <span className="one-line cell-name muted">
        <Instance id={one.source} />
      </span>
    ),
  },
]

const WAITING: Column<Bound>[] = [
  {
    name: "name",
    head: "Waits for it",
    cell: (one) => (
      <Link to="/transactions/$id" params={{ id: one.id }} className="one-line cell-headline foreign" data-row>
        {one.service}: {one.operation}
      </Link>
    ),
  },
  { name: "share", head: "Of its time", align: "end", cell: (one) => percent(one.critical_share) },
  { name: "traces", head: "Traces", align: "end", narrow: "hide", cell: (one) => count(one.traces) },
  { name: "bound", head: "Limited by", narrow: "hide", cell: (one) => (one.bound_by ? resourceName(one.bound_by) : "") },
]
