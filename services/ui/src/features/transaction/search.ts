import { number, oneOf, text, texts } from "~/view/view"

export const TABS = ["breakdown", "calls", "occurrences", "funnel", "logs", "exceptions", "metrics"] as const
export type Tab = (typeof TABS)[number]

export type Search = { tab?: Tab; chart?: "percentiles"; brush?: string } & Chosen

/** Which occurrences are listed. `min`, `max`: milliseconds. `attr`: as in the search of traces. */
export type Chosen = { outcome?: Outcome; sort?: string; min?: number; max?: number; attr?: string[] }

export type Outcome = "ok" | "error"

export const readSearch = (search: Record<string, unknown>): Search => ({
  tab: oneOf(search.tab, TABS),
  chart: search.chart === "percentiles" ? "percentiles" : undefined,
  brush: text(search.brush),
  outcome: oneOf(search.outcome, ["ok", "error"] as const),
  sort: text(search.sort),
  min: number(search.min),
  max: number(search.max),
  attr: texts(search.attr),
})
