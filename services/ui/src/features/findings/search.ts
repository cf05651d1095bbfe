import { oneOf, text } from "~/view/view"

export const STATES = ["ignored", "resolved", "all"] as const

/** What the URL of the list may say. Without a state: what is open, reviewed or regressed. */
export type Search = {
  q?: string
  state?: (typeof STATES)[number]
  sort?: string
}

export const readSearch = (search: Record<string, unknown>): Search => ({
  q: text(search.q),
  state: oneOf(search.state, STATES),
  sort: text(search.sort),
})
