// Where the time goes, by operation; and what is called.
import type { Schemas } from "~/api/client"
import { Of } from "~/features/transaction/of"
import type { PartProps } from "~/features/transaction/page"
import { Panel } from "~/parts/panel"
import { rankOf, Service } from "~/parts/service"
import { Empty } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { count, digits, duration, percent } from "~/view/format"

type Row = Schemas["BreakdownRow"]
type Call = Schemas["Dependency"]

const texts = (row: Row) => [row.service, row.operation, row.kind]
const textsOf = (call: Call) => [call.type, call.name, call.source, call.summary]

export function Breakdown({ view, ranks, source }: PartProps) {
  const columns: Column<Row>[] = [
    {
      name: "operation",
      head: "Operation",
      cell: (row) => (
        <Of chosen={{ operation: texts(row) }} className="one-line cell-name" title={row.operation} isRow>
          {row.operation}
        </Of>
      ),
    },
    {
      name: "service",
      head: "Service",
      cell: (row) => <Service name={row.service} rank={rankOf(ranks, row.service)} />,
    },
    {
      name: "critical",
      head: "Of the path",
      align: "end",
      cell: (row) => (
        <span className="with-bar">
          {percent(row.critical_share)}
          <Bar share={row.critical_share} />
        </span>
      ),
    },
    { name: "slow", head: "when slow", align: "end", narrow: "hide", cell: (row) => percent(row.slow.critical_share) },
    { name: "typical", head: "otherwise", align: "end", narrow: "hide", cell: (row) => percent(row.typical.critical_share) },
    { name: "without", head: "p95 without", align: "end", narrow: "hide", cell: (row) => duration(row.p95_without_ms) },
    { name: "self", head: "Self time", align: "end", narrow: "hide", cell: (row) => duration(row.self_time_ms / Math.max(row.calls, 1)) },
    { name: "calls", head: "Calls", align: "end", narrow: "hide", cell: (row) => <span className="muted">{count(row.calls)}</span> },
    { name: "in", head: "Occurrences", align: "end", cell: (row) => <Of chosen={{ operation: texts(row) }}>{count(row.instances)}</Of> },
  ]
  return (
    <Panel title="Breakdown" source={source} note={sampleNote(view)}>
      {view.breakdown.length ? (
        <Table
          name="Breakdown"
          columns={columns}
          rows={view.breakdown}
          id={(row) => `${row.service} ${row.operation} ${row.kind}`}
        />
      ) : (
        <Empty>No settled trace in this time yet.</Empty>
      )}
    </Panel>
  )
}

function sampleNote({ sample }: PartProps["view"]): string {
  if (!sample || sample.traces >= sample.of) return "self time and critical path of every trace"
  return `from ${count(sample.traces)} of ${count(sample.of)} traces, ± ${percent(sample.error)}`
}

function Bar({ share }: { share: number }) {
  return (
    <svg className="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden>
      <rect width={share * 100} height="8" />
    </svg>
  )
}

function Called({ call }: { call: Call }) {
  const name = call.summary || call.name
  return (
    <Of chosen={{ call: textsOf(call) }} className="one-line cell-name" title={name} isRow>
      {name}
    </Of>
  )
}

export function Dependencies({ view, ranks, source }: PartProps) {
  const columns: Column<Call>[] = [
    { name: "what", head: "Called", cell: (call) => <Called call={call} /> },
    { name: "name", head: "Where", narrow: "hide", cell: (call) => <span className="one-line">{call.name}</span> },
    { name: "type", head: "Type", narrow: "hide", cell: (call) => call.type },
    { name: "source", head: "By", narrow: "hide", cell: (call) => <Service name={call.source} rank={rankOf(ranks, call.source)} /> },
    { name: "each", head: "Calls a trace", align: "end", narrow: "hide", cell: (call) => <span className="muted">{digits(call.calls_per_trace)}</span> },
    { name: "p50", head: "p50", align: "end", narrow: "hide", cell: (call) => duration(call.duration_ms.p50) },
    { name: "p95", head: "p95", align: "end", cell: (call) => duration(call.duration_ms.p95) },
    { name: "rate", head: "Errors", align: "end", narrow: "hide", cell: (call) => <span className="muted">{percent(call.error_rate)}</span> },
    { name: "in", head: "Occurrences", align: "end", cell: (call) => <Of chosen={{ call: textsOf(call) }}>{count(call.instances)}</Of> },
    {
      name: "failed",
      head: "with errors",
      align: "end",
      cell: (call) =>
        call.failed_instances ? (
          <Of chosen={{ failed_call: textsOf(call) }}>{count(call.failed_instances)}</Of>
        ) : (
          <span className="muted">0</span>
        ),
    },
  ]
  return (
    <Panel title="Calls" source={source} note="services, databases, queues and hosts">
      {view.dependencies.length ? (
        <Table
          name="Calls"
          columns={columns}
          rows={view.dependencies}
          id={(call) => `${call.type} ${call.name} ${call.source} ${call.summary}`}
        />
      ) : (
        <Empty>It calls nothing that its spans name.</Empty>
      )}
    </Panel>
  )
}
