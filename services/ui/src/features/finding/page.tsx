// One finding: what to do, what it costs whom, and where to see it.
import { getRouteApi, Link } from "@tanstack/react-router"

import { Actions } from "~/features/finding/actions"
import { type Finding, finding, pathOf } from "~/features/finding/queries"
import { perDayText, savedText, StateMark } from "~/features/findings/texts"
import { Fact } from "~/parts/fact"
import { Heading } from "~/parts/heading"
import { Panel, type Source, StatementList } from "~/parts/panel"
import { Since } from "~/parts/since"
import { Failure, Loading } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { money, percent } from "~/view/format"
import { useLive } from "~/view/view"

const route = getRouteApi("/findings/$id")

export function FindingPage() {
  const { id } = route.useParams()
  const { data, error, refetch } = useLive(finding(id))
  if (!data || data.id !== id) {
    return (
      <div className="page">
        {error ? <Failure error={error} again={() => void refetch()} /> : <Loading rows={10} name="the finding" />}
      </div>
    )
  }
  const source = { path: pathOf(id), query: {} }
  return (
    <div className="page">
      <Head finding={data} />
      <div className="two-thirds">
        <div>
          <Panel title="What to do">
            <p className="foreign">{data.advice}</p>
          </Panel>
          <Costs finding={data} source={source} />
        </div>
        <div>
          <Panel title="What became of it">
            <Actions key={data.id} finding={data} />
          </Panel>
          <Panel title="Where to look">
            <Places finding={data} />
          </Panel>
        </div>
      </div>
      <Panel title="The statement that shows it">
        <StatementList statements={[data.sql]} />
      </Panel>
    </div>
  )
}

function Head({ finding }: { finding: Finding }) {
  return (
    <div className="page-head">
      <Heading text={`${finding.title}: ${finding.service} ${finding.operation}`} foreign />
      <dl className="facts">
        <Fact name="state">
          <StateMark state={finding.state} />
        </Fact>
        {finding.reason && <Fact name="why">{finding.reason}</Fact>}
        {finding.author && <Fact name="by">{finding.author}</Fact>}
        <Fact name="first seen">
          <Since time={finding.first_seen} />
        </Fact>
        <Fact name="last seen">
          <Since time={finding.last_seen} />
        </Fact>
        <Fact name="about">{finding.subject}</Fact>
        {finding.place && <Fact name="in the code">{finding.place}</Fact>}
      </dl>
    </div>
  )
}

type Cost = Finding["transactions"][number]

function Costs({ finding, source }: { finding: Finding; source: Source }) {
  const columns: Column<Cost>[] = [
    {
      name: "transaction",
      head: "Transaction",
      cell: (cost) => (
        <Link to="/transactions/$id" params={{ id: cost.id }} className="one-line cell-headline" data-row>
          {cost.name}
        </Link>
      ),
    },
    { name: "share", head: "Traces", align: "end", cell: (cost) => percent(cost.share) },
    { name: "saved", head: "Saves a trace", align: "end", cell: (cost) => savedText(cost.saved_ms) },
    { name: "cost", head: "Saves a day", align: "end", cell: (cost) => perDayText(cost.per_day_s) },
    {
      name: "p95",
      head: "of p95",
      align: "end",
      narrow: "hide",
      cell: (cost) => (cost.saved_ms > 0 ? percent(cost.p95_share) : "–"),
    },
    {
      name: "value",
      head: "Worth a day",
      align: "end",
      narrow: "hide",
      cell: (cost) => (cost.value === null ? "–" : money(cost.value)),
    },
  ]
  return (
    <Panel title="What it costs" note="at the rate of the last hour" source={source}>
      <Table name="What it costs" columns={columns} rows={finding.transactions} id={(cost) => cost.id} />
    </Panel>
  )
}

function Places({ finding }: { finding: Finding }) {
  return (
    <ul className="examples">
      {finding.traces.map((trace, index) => (
        <li key={trace}>
          <Link to="/traces/$id" params={{ id: trace }}>
            Example {index + 1}
          </Link>
        </li>
      ))}
      <li className="foreign">
        <Link to="/traces" search={{ service: finding.service, operation: finding.operation || undefined }}>
          Traces of {finding.service} {finding.operation}
        </Link>
      </li>
    </ul>
  )
}
