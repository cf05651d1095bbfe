import { oneOf, text } from "~/view/view"

export const TABS = ["breakdown", "occurrences", "funnel", "logs", "exceptions", "metrics"] as const
export type Tab = (typeof TABS)[number]

export type Search = { tab?: Tab; chart?: "percentiles"; brush?: string; q?: string }

export const readSearch = (search: Record<string, unknown>): Search => ({
  tab: oneOf(search.tab, TABS),
  chart: search.chart === "percentiles" ? "percentiles" : undefined,
  brush: text(search.brush),
  q: text(search.q),
})
