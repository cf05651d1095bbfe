// What a problem costs: failures, users, value and error budget beyond what is usual.
import { Link } from "@tanstack/react-router"

import type { Schemas } from "~/api/client"
import { impact, pathOf } from "~/features/problem/queries"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { count, digits, duration, money, moneyBetween, percent, resourceName, roughPercent } from "~/view/format"
import { useLive } from "~/view/view"

type Impact = Schemas["AlertImpact"]
type Transaction = Schemas["TransactionImpact"]

const NAMES = { failed: "failures", budget: "error budget", users: "users", value: "value" } as const

export function ImpactPanel({ id }: { id: string }) {
  const { data, error, refetch } = useLive(impact(id))
  return (
    <Panel
      title="What it costs"
      note="beyond what the day before lets expect"
      source={{ path: `${pathOf(id)}/impact`, query: {} }}
    >
      {data ? <Content impact={data} /> : error ? <Failure error={error} again={() => void refetch()} /> : <Loading rows={3} name="the impact" />}
    </Panel>
  )
}

function Content({ impact }: { impact: Impact }) {
  if (impact.score === null) return <Empty>No transaction is known to be touched.</Empty>
  const { touched, headroom } = impact
  const worse = impact.transactions.filter((one) => one.score > 0 || one.user_hours > 0)
  const others = impact.transactions.length - worse.length
  return (
    <>
      <p className="foreign">
        <span title="1 − Π(1 − part)">Score {roughPercent(impact.score)}</span>
        <span className="muted">{partsText(impact.parts)}</span>
        {touched.services.length > 0 && ` · services touched: ${touched.services.join(", ")}`}
        {touched.slos.length > 0 && ` · objectives of ${touched.slos.join(", ")}`}
        {headroom && ` · ${resourceName(headroom.resource)} ${percent(headroom.remaining)} left`}
      </p>
      {worse.length > 0 && <Table name="Transactions that it touches" columns={COLUMNS} rows={worse} id={(one) => one.id} />}
      {others > 0 && <p className="muted">{count(others)} more transactions that it touches are as usual.</p>}
    </>
  )
}

const partsText = (parts: Impact["parts"]) =>
  Object.entries(NAMES)
    .flatMap(([key, name]) => {
      const part = parts[key as keyof typeof NAMES]
      return part == null ? [] : [` · ${name} ${roughPercent(part)}`]
    })
    .join("")

const COLUMNS: Column<Transaction>[] = [
  {
    name: "name",
    head: "Transaction",
    cell: (one) => (
      <Link to="/transactions/$id" params={{ id: one.id }} data-row>
        {one.name}
      </Link>
    ),
  },
  { name: "score", head: "Score", align: "end", cell: (one) => roughPercent(one.score) },
  { name: "failed", head: "Failed", align: "end", cell: (one) => betweenText(one.failed) },
  {
    name: "users",
    head: "Users worse",
    align: "end",
    cell: (one) => (one.users ? `${count(Math.round(one.users.excess))} of ${count(one.users.touched)}` : ""),
  },
  { name: "lost", head: "Value lost", align: "end", cell: (one) => (one.value ? moneyBetween(one.value.lost, one.value.lost_lower, one.value.lost_upper) : "") },
  {
    name: "at-risk",
    head: "At risk",
    align: "end",
    narrow: "hide",
    cell: (one) => (one.value ? money(one.value.at_risk) : ""),
  },
  {
    name: "budget",
    head: "Budget of a month",
    align: "end",
    cell: (one) => (one.budget_share === null ? "" : roughPercent(one.budget_share)),
  },
  {
    name: "hours",
    head: "Waited longer",
    align: "end",
    narrow: "hide",
    cell: (one) => duration(Math.max(0, one.user_hours) * 3_600_000),
  },
  {
    name: "apdex",
    head: "Apdex",
    align: "end",
    narrow: "hide",
    cell: (one) => [one.apdex.before, one.apdex.after].map((score) => (score === null ? "?" : digits(score))).join(" → "),
  },
]

/** The excess with half of its interval: 98 ± 24. */
const betweenText = ({ value, lower, upper }: Transaction["failed"]) =>
  `${digits(value)} ± ${digits((upper - lower) / 2)}`
