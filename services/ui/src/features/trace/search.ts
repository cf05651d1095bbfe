import { flag, number, oneOf, text } from "~/view/view"

export const VIEWS = ["flame", "compare"] as const

/** Of the side panel; its attributes come first. */
export const SPAN_PARTS = ["events", "links", "logs", "resource", "process"] as const
export type SpanPart = (typeof SPAN_PARTS)[number]

/** What the URL of a trace may say. Rows are numbers of the outline. */
export type Search = {
  span?: string // id
  part?: SpanPart
  q?: string
  level?: number
  folds?: false
  critical?: true
  logs?: false
  closed?: string // rows, with commas
  opened?: string // rows of parents whose folds are open
  from?: number // milliseconds of the zoom
  to?: number
  view?: (typeof VIEWS)[number]
  with?: string // id of the trace to compare with
}

export const readSearch = (search: Record<string, unknown>): Search => ({
  span: text(search.span),
  part: oneOf(search.part, SPAN_PARTS),
  q: text(search.q),
  level: number(search.level),
  folds: flag(search.folds, false),
  critical: flag(search.critical, true),
  logs: flag(search.logs, false),
  closed: text(search.closed),
  opened: text(search.opened),
  from: number(search.from),
  to: number(search.to),
  view: oneOf(search.view, VIEWS),
  with: text(search.with),
})

export const rowsOf = (text: string | undefined): ReadonlySet<number> =>
  new Set((text ?? "").split(",").filter(Boolean).map(Number).filter(Number.isInteger))

/** The text with the row added, or removed if it was there. */
export function toggled(text: string | undefined, row: number): string | undefined {
  const rows = new Set(rowsOf(text))
  if (!rows.delete(row)) rows.add(row)
  return [...rows].sort((one, other) => one - other).join(",") || undefined
}
