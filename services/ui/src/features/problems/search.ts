import { oneOf, text } from "~/view/view"

export const SEVERITIES = ["page", "ticket", "info"] as const

/** What the URL of the list may say. Without `show` only what is open. */
export type Search = { show?: "all"; severity?: (typeof SEVERITIES)[number]; sort?: string }

export const readSearch = (search: Record<string, unknown>): Search => ({
  show: oneOf(search.show, ["all"] as const),
  severity: oneOf(search.severity, SEVERITIES),
  sort: text(search.sort),
})
