import { oneOf, text } from "~/view/view"

export const STATES = ["open", "pending", "over"] as const
export const SEVERITIES = ["page", "ticket", "info"] as const

/** What the URL of the list may say. `opened`: ids of problems whose group is unfolded, with commas. */
export type Search = {
  q?: string
  state?: (typeof STATES)[number]
  severity?: (typeof SEVERITIES)[number]
  sort?: string
  opened?: string
}

export const readSearch = (search: Record<string, unknown>): Search => ({
  q: text(search.q),
  state: oneOf(search.state, STATES),
  severity: oneOf(search.severity, SEVERITIES),
  sort: text(search.sort),
  opened: text(search.opened),
})
