// The time that the links of a problem open: from before it began to when it was over.
import type { Problem } from "~/features/problem/queries"
import { isOpen } from "~/features/problems/texts"
import { iso } from "~/view/time"

const BEFORE_MS = 1_800_000

/** `start` and `end` as the URL has them; without an end it lasts. */
export function windowOf({ alert, window_ms, history }: Problem): { start: string; end?: string } {
  const times = history.filter((change) => change.episode === alert.episode).map((change) => Date.parse(change.time))
  const began = Math.min(Date.parse(alert.since), ...times)
  const start = iso(began - Math.max(window_ms, BEFORE_MS))
  if (isOpen(alert) || alert.state === "pending") return { start }
  return { start, end: iso(Math.max(Date.parse(alert.since), ...times)) }
}
