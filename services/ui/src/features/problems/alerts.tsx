// Alerts as rows: of the list of problems, and of those that one stands for.
import { Link } from "@tanstack/react-router"

import type { Schemas } from "~/api/client"
import { Status, type StatusName } from "~/parts/status"
import type { Column } from "~/parts/table"
import { count, duration, measured, percent, rate } from "~/view/format"
import { clock, dateOf, exact } from "~/view/time"

export type Alert = Schemas["Alert"]

const MARKS: Record<string, StatusName> = { page: "error", ticket: "warn", info: "ok" }

export const ALERT_COLUMNS: Column<Alert>[] = [
  { name: "status", head: <span className="hidden">Severity</span>, cell: (alert) => <Mark alert={alert} /> },
  {
    name: "headline",
    head: "What is wrong",
    cell: (alert) => (
      <Link
        to="/problems/$id"
        params={{ id: alert.id }}
        className="one-line cell-name"
        title={alert.headline}
        data-row
      >
        {alert.headline || alert.rule}
      </Link>
    ),
  },
  { name: "state", head: "State", sort: "state", cell: (alert) => stateOf(alert) },
  { name: "severity", head: "Severity", sort: "severity", narrow: "hide", cell: (alert) => alert.severity },
  {
    name: "since",
    head: "Since",
    sort: "since",
    cell: (alert) => <Moment time={alert.since} />,
  },
  {
    name: "rule",
    head: "Rule",
    sort: "rule",
    narrow: "hide",
    cell: (alert) => <span className="one-line cell-name muted">{alert.rule}</span>,
  },
  {
    name: "value",
    head: "Value",
    align: "end",
    narrow: "hide",
    cell: (alert) => amount(alert.value, alert.unit),
  },
  { name: "n", head: "Requests", align: "end", narrow: "hide", cell: (alert) => count(alert.n) },
]

export function Mark({ alert }: { alert: Alert }) {
  const isOver = alert.state === "resolved" || alert.state === "ok"
  return <Status status={isOver ? "ok" : (MARKS[alert.severity] ?? "warn")} name={alert.severity} />
}

export function Moment({ time }: { time: string }) {
  const at = Date.parse(time)
  return (
    <time title={exact(time)}>
      <span className="muted">{dateOf(at)} </span>
      {clock(at)}
    </time>
  )
}

/** The state, and what else is to be known of it. */
export function stateOf(alert: Alert): string {
  const parts: string[] = [alert.state]
  if (alert.is_flapping) parts.push("flapping")
  if (alert.known !== "known") parts.push(alert.known.replace("_", " "))
  if (alert.silenced_by !== null) parts.push("silent")
  return parts.join(", ")
}

/** A value in the unit that the API says. */
export function amount(value: number | null, unit: string): string {
  if (value === null) return ""
  if (unit === "ms") return duration(value)
  if (unit === "1") return percent(value)
  if (unit === "/s") return rate(value)
  return measured(value, unit)
}
