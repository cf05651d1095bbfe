// One problem: why it is one, what it is about, what happened and who was told.
import { getRouteApi, Link } from "@tanstack/react-router"
import type { ReactNode } from "react"

import type { Schemas } from "~/api/client"
import { explained, pathOf } from "~/features/problem/queries"
import { ALERT_COLUMNS, amount, Mark, Moment, stateOf } from "~/features/problems/alerts"
import { Attributes } from "~/parts/attributes"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { count } from "~/view/format"
import { useLive } from "~/view/view"

const route = getRouteApi("/problems/$id")

type View = Schemas["AlertView"]
type Change = Schemas["AlertChange"]
type Message = Schemas["Notification"]
type Note = Schemas["Note"]

export function ProblemPage() {
  const { id } = route.useParams()
  const { data, error, refetch } = useLive(explained(id))
  if (error && !data) {
    return (
      <div className="page">
        <Failure error={error} again={() => void refetch()} />
      </div>
    )
  }
  if (!data) {
    return (
      <div className="page">
        <Loading rows={8} name="the problem" />
      </div>
    )
  }
  const { alert } = data
  return (
    <div className="page">
      <Head view={data} />
      <Panel title="Why" source={{ path: pathOf(id), query: {} }} note={`rule ${alert.rule}`}>
        <Attributes attributes={data.explanation} />
      </Panel>
      <Panel title="What it is about">
        <Attributes attributes={alert.labels} />
      </Panel>
      {alert.examples.length > 0 && (
        <Panel title="Traces that show it">
          <ul className="examples">
            {alert.examples.map((trace) => (
              <li key={trace}>
                <Link to="/traces/$id" params={{ id: trace }} className="mono">
                  {trace}
                </Link>
              </li>
            ))}
          </ul>
        </Panel>
      )}
      {data.members.length > 0 && (
        <Panel title="Problems with the same cause" note={count(data.members.length)}>
          <Table
            name="Problems with the same cause"
            columns={ALERT_COLUMNS}
            rows={data.members}
            id={(member) => member.id}
          />
        </Panel>
      )}
      <Records title="History" rows={data.history} columns={changeColumns(alert.unit)} id={(change) => `${change.time} ${change.state}`} />
      <Records title="Messages" rows={data.notifications} columns={MESSAGES} id={(message) => message.key} />
      <Records title="Notes" rows={data.notes} columns={NOTES} id={(note) => `${note.time} ${note.kind}`} />
    </div>
  )
}

function Head({ view: { alert } }: { view: View }) {
  return (
    <>
      <div className="page-head">
        <h1 className="foreign">
          <Mark alert={alert} /> {alert.headline || alert.rule}
        </h1>
      </div>
      <dl className="facts">
        <Fact name="state">{stateOf(alert)}</Fact>
        <Fact name="severity">{alert.severity}</Fact>
        <Fact name="since">
          <Moment time={alert.since} />
        </Fact>
        {alert.value !== null && <Fact name="value">{amount(alert.value, alert.unit)}</Fact>}
        {alert.expected !== null && (
          <Fact name="limit, or usual">{amount(alert.expected, alert.unit)}</Fact>
        )}
        {alert.acknowledged_by !== null && (
          <Fact name="taken care of by">{alert.acknowledged_by || "somebody"}</Fact>
        )}
        {alert.group !== alert.id && (
          <Fact name="because of">
            <Link to="/problems/$id" params={{ id: alert.group }}>
              another problem
            </Link>
          </Fact>
        )}
      </dl>
    </>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt className="muted small">{name}</dt>
      <dd className="foreign">{children}</dd>
    </div>
  )
}

type RecordsProps<Row> = {
  title: string
  rows: readonly Row[]
  columns: readonly Column<Row>[]
  id: (row: Row) => string
}

function Records<Row>({ title, rows, columns, id }: RecordsProps<Row>) {
  return (
    <Panel title={title} note={rows.length ? count(rows.length) : ""}>
      {rows.length ? <Table name={title} columns={columns} rows={rows} id={id} /> : <Empty>None.</Empty>}
    </Panel>
  )
}

const changeColumns = (unit: string): Column<Change>[] => [
  { name: "time", head: "Time", cell: (change) => <Moment time={change.time} /> },
  { name: "state", head: "State", cell: (change) => change.state },
  { name: "value", head: "Value", align: "end", cell: (change) => amount(change.value, unit) },
  {
    name: "headline",
    head: "What was wrong",
    narrow: "hide",
    cell: (change) => <span className="one-line cell-name">{change.headline}</span>,
  },
]

const MESSAGES: Column<Message>[] = [
  { name: "time", head: "Time", cell: (message) => <Moment time={message.time} /> },
  { name: "receiver", head: "Receiver", cell: (message) => <span className="one-line">{message.receiver}</span> },
  { name: "transition", head: "What", cell: (message) => message.transition },
  { name: "state", head: "State", cell: (message) => message.state },
  {
    name: "error",
    head: "Error",
    narrow: "hide",
    cell: (message) => <span className="one-line cell-name muted">{message.error}</span>,
  },
]

const NOTES: Column<Note>[] = [
  { name: "time", head: "Time", cell: (note) => <Moment time={note.time} /> },
  { name: "kind", head: "What", cell: (note) => note.kind },
  { name: "author", head: "Who", cell: (note) => <span className="one-line">{note.author}</span> },
  { name: "text", head: "Text", cell: (note) => <span className="one-line cell-name">{note.text}</span> },
]
