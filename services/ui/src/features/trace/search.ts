import { text } from "~/view/view"

export type Search = { span?: string; q?: string }

export const readSearch = (search: Record<string, unknown>): Search => ({
  span: text(search.span),
  q: text(search.q),
})
