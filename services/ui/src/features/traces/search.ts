import { oneOf, text } from "~/view/view"

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
  attr: Array.isArray(search.attr) ? search.attr.map(String) : undefined,
  sort: text(search.sort),
})

const number = (value: unknown) => {
  const read = typeof value === "number" ? value : Number.parseFloat(String(value))
  return Number.isFinite(read) && read >= 0 ? read : undefined
}
