import { number, oneOf, text, texts } from "~/view/view"

export const TABS = ["breakdown", "why", "calls", "occurrences", "funnel", "logs", "exceptions", "metrics", "resources", "kpis"] as const
export type Tab = (typeof TABS)[number]

export type Search = { tab?: Tab; chart?: "percentiles"; brush?: string } & Chosen

/** Which occurrences are listed. `min`, `max`: milliseconds. `attr`: as in the search of traces. The
 * rest are what the panels count, by the API's own names: a step of the funnel, the objective, and
 * rows of the tables, as the texts that tell a row apart. */
export type Chosen = {
  outcome?: Outcome
  sort?: string
  min?: number
  max?: number
  attr?: string[]
  reached?: string
  last_step?: string
  slo?: "good" | "bad"
} & { [Name in RowFilter]?: string[] }

export const ROW_FILTERS = ["operation", "call", "failed_call", "exception"] as const
export type RowFilter = (typeof ROW_FILTERS)[number]

export type Outcome = "ok" | "error"

export const readSearch = (search: Record<string, unknown>): Search => ({
  tab: oneOf(search.tab, TABS),
  chart: search.chart === "percentiles" ? "percentiles" : undefined,
  brush: text(search.brush),
  ...readChosen(search),
})

export const readChosen = (search: Record<string, unknown>): Chosen => ({
  outcome: oneOf(search.outcome, ["ok", "error"] as const),
  sort: text(search.sort),
  min: number(search.min),
  max: number(search.max),
  attr: texts(search.attr),
  reached: text(search.reached),
  last_step: text(search.last_step),
  slo: oneOf(search.slo, ["good", "bad"] as const),
  operation: texts(search.operation),
  call: texts(search.call),
  failed_call: texts(search.failed_call),
  exception: texts(search.exception),
})

/** The search that lists these occurrences and no others, on a page that shows `search`. */
export const listing = (search: object, chosen: Chosen): Search => ({
  ...search,
  ...readChosen({}),
  tab: "occurrences",
  ...chosen,
})
