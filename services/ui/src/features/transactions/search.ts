import { oneOf, text } from "~/view/view"

export const BASELINES = ["before", "-1h", "-24h", "-7d"] as const
export type Baseline = (typeof BASELINES)[number]

/** What the URL of the list may say. Without `sort` the worst come first. */
export type Search = { q?: string; sort?: string; vs?: Baseline }

export const readSearch = (search: Record<string, unknown>): Search => ({
  q: text(search.q),
  sort: text(search.sort),
  vs: oneOf(search.vs, BASELINES),
})
