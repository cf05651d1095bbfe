// What the answers on a page do not contain, in words.
import { count, percent } from "~/view/format"
import { clock } from "~/view/time"

/** What an answer may say of itself. `pending`: items received and not stored yet; null: not known. */
export type Partial = {
  truncated?: boolean
  pending?: number | null
  settled_until?: string | null
  sample?: { traces: number; of: number; error: number }
}

/** An answer, what it is called, and how many entries a list of it has at most. */
export type Answered = { name: string; limit?: number; answer: Partial }

const BEHIND_MS = 60_000 // what came later than this is expected to be joined
const LISTS: Record<string, string> = { breakdown: "operations", dependencies: "calls", instances: "occurrences" }

/** `end`: the end of the page's window, in milliseconds since 1970. */
export function notesOf(answers: readonly Answered[], end: number): string[] {
  const cut = answers.filter(({ answer }) => answer.truncated).map(cutLists)
  const pending = Math.max(0, ...answers.map(({ answer }) => answer.pending ?? 0))
  const settled = answers.map(({ answer }) => Date.parse(answer.settled_until ?? "")).filter(Number.isFinite)
  const until = Math.min(...settled)
  const samples = answers.map(({ answer }) => answer.sample).filter((sample) => sample && sample.traces < sample.of)
  return [
    ...cut,
    ...(pending ? [`${count(pending)} items are received and not counted yet.`] : []),
    ...(settled.length && end - until > BEHIND_MS ? [`What came after ${clock(until)} is not joined yet.`] : []),
    ...samples.map(
      (sample) =>
        sample &&
        `Operations and calls are from ${count(sample.traces)} of ${count(sample.of)} traces, ± ${percent(sample.error)}.`,
    ),
  ].filter((note) => note !== undefined)
}

/** Which lists of the answer were cut, and to what: those that are as long as they may be, or the
 * only one. */
function cutLists({ name, limit, answer }: Answered): string {
  const members: [string, unknown][] = Object.entries(answer)
  const lists = members.filter((member): member is [string, unknown[]] => Array.isArray(member[1]))
  const cut = lists.length === 1 ? lists : lists.filter(([, list]) => list.length === limit)
  if (!cut.length) return `Not everything is shown of ${name}: narrow the time range or filter.`
  const parts = cut.map(([list, entries]) => `${LISTS[list] ?? list} to ${count(entries.length)}`)
  return `Cut in ${name}: ${parts.join(", ")}.`
}
