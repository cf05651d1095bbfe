// A problem in words: its state, its value, what it is about.
import type { Schemas } from "~/api/client"
import type { Alert } from "~/features/problems/rows"
import { rankOf, Service, type ServiceRanks } from "~/parts/service"
import { Status, type StatusName } from "~/parts/status"
import { count, measured, percent, rate } from "~/view/format"

export const STATE_NAMES: Record<Alert["state"], string> = {
  firing: "open",
  recovering: "ending",
  pending: "about to open",
  resolved: "over",
  ok: "over",
}

/** Why it could not be judged in the last minute. */
export const UNKNOWN: Record<Alert["known"], string> = {
  known: "",
  no_data: "no data",
  late: "data is late",
  error: "the rule has an error",
  learning: "still learning",
}

export const isOpen = ({ state }: Alert) => state === "firing" || state === "recovering"

export function StateMark({ alert }: { alert: Alert }) {
  const name = STATE_NAMES[alert.state]
  return (
    <span className="state-mark">
      <Status status={toneOf(alert)} name={name} /> <span className="state-name" aria-hidden>
        {name}
      </span>
    </span>
  )
}

function toneOf(alert: Alert): StatusName {
  if (alert.state === "firing" && alert.severity === "page") return "error"
  return isOpen(alert) || alert.state === "pending" ? "warn" : "ok"
}

const HUGE = 1e12 // from here on digits do not fit

/** A value in the unit of its alert. */
export function valueText(value: number | null, unit: string): string {
  if (value === null) return "–"
  if (Math.abs(value) >= HUGE) return value.toExponential(2)
  if (unit === "1") return percent(value)
  return unit === "/s" ? rate(value) : measured(value, unit)
}

/** The label that says most, without its service. */
export function subjectOf({ labels }: Alert): string {
  const { service, transaction, operation, dependency, metric } = labels
  const subject = transaction ?? (operation || (dependency && `→ ${dependency}`) || metric)
  return subject === service ? "" : (subject ?? "")
}

export function About({ alert, ranks }: { alert: Alert; ranks: ServiceRanks }) {
  const subject = subjectOf(alert)
  const { service } = alert.labels
  // The name of an automatic transaction begins with its service.
  const rest = service && subject.startsWith(`${service}: `) ? subject.slice(service.length + 2) : subject
  return (
    <span className="about">
      {service && <Service name={service} rank={rankOf(ranks, service)} />}
      {rest && <span className="one-line">{rest}</span>}
    </span>
  )
}

/** What holds people back from looking at it, or says that somebody does. */
export function handledText(alert: Alert): string {
  return [
    alert.acknowledged_by !== null && `taken by ${alert.acknowledged_by || "somebody"}`,
    alert.silenced_by === "maintenance" ? "maintenance" : alert.silenced_by && "silenced",
    alert.is_flapping && "flapping",
    UNKNOWN[alert.known],
  ]
    .filter(Boolean)
    .join(", ")
}

/** How many series are not compared with their past, and the first of them. */
export function unwatchedText({ limit, unwatched, largest_unwatched }: Schemas["Watched"]): string {
  const first = largest_unwatched.slice(0, 3).map(({ labels }) => Object.values(labels).join(" "))
  const names = `${first.join(", ")}${unwatched > first.length ? " …" : ""}`
  const series = unwatched === 1 ? "1 series is" : `${count(unwatched)} series are`
  return `${series} not compared with the past, as the limit (--watch-limit) is ${count(limit)}: ${names}`
}
