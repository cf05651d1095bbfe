import { number, oneOf, text, texts } from "~/view/view"

/** What the URL of the search may say: the API's own parameters. */
export type Search = {
  service?: string
  operation?: string
  status?: "ok" | "error"
  transaction?: string
  min?: number
  max?: number
  attr?: string[]
  sort?: string
}

export const readSearch = (search: Record<string, unknown>): Search => ({
  service: text(search.service),
  operation: text(search.operation),
  status: oneOf(search.status, ["ok", "error"] as const),
  transaction: text(search.transaction),
  min: number(search.min),
  max: number(search.max),
  attr: texts(search.attr),
  sort: text(search.sort),
})
