// External hosts: how each does against its own past, and what it is of the transactions that call it.
import { Link } from "@tanstack/react-router"

import { type Dependency, PATH, thirdParties } from "~/features/third-parties/queries"
import { Heading } from "~/parts/heading"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { count, duration, percent, rate } from "~/view/format"
import { useLive, useView } from "~/view/view"

const MARKS = { down: "✕", degraded: "▲", ok: "", unknown: "" }
const TONES = { down: "error", degraded: "warn", ok: "", unknown: "muted" }

export function ThirdPartiesPage() {
  const { window } = useView()
  const { data, error, isPending, refetch } = useLive(thirdParties(window))
  return (
    <div className="page">
      <div className="page-head">
        <Heading text="Third parties" />
      </div>
      <Panel
        title="External hosts"
        note="against the same time of the seven days before"
        source={{ path: PATH, query: window }}
      >
        {error && !data ? (
          <Failure error={error} again={() => void refetch()} />
        ) : isPending ? (
          <Loading rows={8} name="third parties" />
        ) : data?.dependencies.length ? (
          <Table name="Third parties" columns={COLUMNS} rows={data.dependencies} id={(one) => one.host} />
        ) : (
          <Empty>No call to an external host in this time.</Empty>
        )}
      </Panel>
    </div>
  )
}

const COLUMNS: Column<Dependency>[] = [
  { name: "host", head: "Host", cell: (one) => <span className="foreign">{one.host}</span> },
  {
    name: "status",
    head: "Status",
    cell: (one) => (
      <span className={TONES[one.status]}>
        {MARKS[one.status]} {one.status}
      </span>
    ),
  },
  {
    name: "reason",
    head: "Why",
    narrow: "hide",
    cell: (one) => (
      <span className="one-line cell-headline muted" title={one.reason}>
        {one.reason}
      </span>
    ),
  },
  { name: "rate", head: "Rate", align: "end", narrow: "hide", cell: (one) => rate(one.per_second) },
  { name: "errors", head: "Errors", align: "end", cell: (one) => beside(percent(one.error_rate), percent(one.usual?.error_rate)) },
  { name: "classes", head: "By class", narrow: "hide", cell: (one) => classesText(one) },
  {
    name: "p95",
    head: "p95",
    align: "end",
    cell: (one) => beside(duration(one.duration_ms.p95), duration(one.usual?.duration_ms.p95)),
  },
  { name: "transactions", head: "Most of", narrow: "hide", cell: (one) => <MostTouched dependency={one} /> },
]

/** A value, and what is usual, if that is known. */
function beside(value: string, usual: string) {
  return (
    <>
      {value} {usual !== "–" && <span className="muted small">usually {usual}</span>}
    </>
  )
}

const classesText = ({ failures }: Dependency) =>
  failures
    .map(({ name, errors, tenants }) => `${name} ${count(errors)}${tenants === null ? "" : ` (${count(tenants)} tenants)`}`)
    .join(", ")

/** The transaction of whose p95 the host has the greatest part. */
function MostTouched({ dependency }: { dependency: Dependency }) {
  const most = [...dependency.transactions].sort((a, b) => b.p95_share - a.p95_share)[0]
  if (!most) return null
  return (
    <Link to="/transactions/$id" params={{ id: most.id }} className="one-line" data-row>
      {most.service}: {most.operation} ({percent(most.p95_share)} of p95)
    </Link>
  )
}
