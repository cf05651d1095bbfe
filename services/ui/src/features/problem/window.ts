// The time that the links of a problem open: from before it began to when it was over.
import type { Problem } from "~/features/problem/queries"
import { isOpen } from "~/features/problems/texts"
import { iso } from "~/view/time"

export const HOUR_MS = 3_600_000
const BEFORE_MS = HOUR_MS / 2

/** `start` and `end` as the URL has them, from so long before it began; without an end it lasts. */
export function windowOf(problem: Problem, beforeMs = BEFORE_MS): { start: string; end?: string } {
  const { alert, window_ms } = problem
  const times = changesOf(problem)
  const start = iso(Math.min(...times) - Math.max(window_ms, beforeMs))
  if (isOpen(alert) || alert.state === "pending") return { start }
  return { start, end: iso(Math.max(...times)) }
}

/** When the problem was seen first, RFC 3339: a window before its alert changed first. */
export const firstSeen = (problem: Problem) => windowOf(problem, 0).start

const changesOf = ({ alert, history }: Problem) => [
  Date.parse(alert.since),
  ...history.filter(({ episode }) => episode === alert.episode).map(({ time }) => Date.parse(time)),
]
