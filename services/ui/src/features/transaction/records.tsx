// Log records and exceptions of the transaction's traces.
import { Link } from "@tanstack/react-router"

import type { Schemas } from "~/api/client"
import { Of } from "~/features/transaction/of"
import type { PartProps } from "~/features/transaction/page"
import { LogLines } from "~/parts/log-lines"
import { Panel } from "~/parts/panel"
import { rankOf, Service } from "~/parts/service"
import { Empty } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { count } from "~/view/format"
import { clock, exact } from "~/view/time"

export function Logs({ view, ranks, source }: PartProps) {
  return (
    <Panel title="Logs" source={source} note="of its traces and their processes; errors first">
      {view.logs.length ? (
        <LogLines logs={view.logs} ranks={ranks} linked />
      ) : (
        <Empty>No log record in this time.</Empty>
      )}
    </Panel>
  )
}

type Group = Schemas["JoinedView"]["exceptions"][number]

export function Exceptions({ view, ranks, source }: PartProps) {
  const columns: Column<Group>[] = [
    {
      name: "type",
      head: "Exception",
      cell: (row) => (
        <Link
          to="/traces/$id"
          params={{ id: row.example_trace_id ?? "" }}
          className="one-line cell-name"
          data-row
        >
          {row.type}
        </Link>
      ),
    },
    { name: "message", head: "Message", narrow: "hide", cell: (row) => <span className="one-line cell-name" title={row.message}>{row.message}</span> },
    { name: "service", head: "Service", cell: (row) => <Service name={row.service} rank={rankOf(ranks, row.service)} /> },
    {
      name: "count",
      head: "Count",
      align: "end",
      narrow: "hide",
      cell: (row) => <span className="muted">{count(row.count)}</span>,
    },
    {
      name: "in",
      head: "Occurrences",
      align: "end",
      cell: (row) => (
        <Of chosen={{ exception: [row.service, row.type, row.message, row.frame ?? ""] }}>
          {count(row.instances)}
        </Of>
      ),
    },
    { name: "last", head: "Last", align: "end", narrow: "hide", cell: (row) => <time title={exact(row.last)}>{clock(Date.parse(row.last))}</time> },
  ]
  return (
    <Panel title="Exceptions" source={source} note="by type and message">
      {view.exceptions.length ? (
        <Table
          name="Exceptions"
          columns={columns}
          rows={view.exceptions}
          id={(row) => `${row.service} ${row.type} ${row.message} ${row.frame}`}
        />
      ) : (
        <Empty>No exception in this time.</Empty>
      )}
    </Panel>
  )
}
