// A region of the heatmap: a time range and durations. It stands in the URL as one text.
import { iso } from "~/view/time"

/** Times as RFC 3339, durations in milliseconds; without `max` all longer ones. */
export type Region = { start: string; end: string; min?: number; max?: number }

const SEPARATOR = "~"

export const written = ({ start, end, min, max }: Region) =>
  [start, end, min ?? "", max ?? ""].join(SEPARATOR)

export function readRegion(text: string | undefined): Region | undefined {
  const [start, end, min, max] = (text ?? "").split(SEPARATOR)
  const [from, to] = [Date.parse(start ?? ""), Date.parse(end ?? "")]
  if (!(from < to)) return undefined
  return { start: iso(from), end: iso(to), min: positive(min), max: positive(max) }
}

function positive(text: string | undefined): number | undefined {
  const value = Number.parseFloat(text ?? "")
  return value > 0 && Number.isFinite(value) ? value : undefined
}
