import { oneOf, text } from "~/view/view"

export const TABS = ["breakdown", "calls", "occurrences", "funnel", "logs", "exceptions", "metrics"] as const
export type Tab = (typeof TABS)[number]

export type Search = { tab?: Tab; chart?: "percentiles"; brush?: string; outcome?: Outcome; sort?: string }

export type Outcome = "ok" | "error"

export const readSearch = (search: Record<string, unknown>): Search => ({
  tab: oneOf(search.tab, TABS),
  chart: search.chart === "percentiles" ? "percentiles" : undefined,
  brush: text(search.brush),
  outcome: oneOf(search.outcome, ["ok", "error"] as const),
  sort: text(search.sort),
})
