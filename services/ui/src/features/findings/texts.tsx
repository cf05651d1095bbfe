// A finding in words.
import type { Finding } from "~/features/findings/queries"
import { Status, type StatusName } from "~/parts/status"
import { duration } from "~/view/format"

const TONES: Record<Finding["state"], StatusName> = {
  open: "warn",
  reviewed: "warn",
  regressed: "error",
  ignored: "ok",
  resolved: "ok",
}

export function StateMark({ state }: { state: Finding["state"] }) {
  return (
    <span className="state-mark">
      <Status status={TONES[state]} name={state} />{" "}
      <span className="state-name" aria-hidden>
        {state}
      </span>
    </span>
  )
}

/** What a rule about failures saves is not time. */
export const savedText = (ms: number) => (ms > 0 ? duration(ms) : "–")

/** Time of a day, in all traces. */
export const perDayText = (seconds: number) => (seconds > 0 ? `${duration(seconds * 1000)}` : "–")

export const contains = (finding: Finding, text: string) =>
  [
    finding.title,
    finding.service,
    finding.operation,
    finding.subject,
    ...finding.transactions.map((cost) => cost.name),
  ].some((part) => part.toLowerCase().includes(text.toLowerCase()))
