// Times: what a time range means, and how it is written.
export type Range = { start: string; end: string }

export const RANGES: readonly { start: string; name: string }[] = [
  { start: "-5m", name: "5 minutes" },
  { start: "-15m", name: "15 minutes" },
  { start: "-1h", name: "hour" },
  { start: "-6h", name: "6 hours" },
  { start: "-24h", name: "day" },
  { start: "-7d", name: "7 days" },
  { start: "-14d", name: "14 days" },
]

const UNITS: Record<string, number> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 }

/** Milliseconds since 1970 of a time as the API takes it: relative, `now`, or RFC 3339. */
export function instant(time: string, now = Date.now()): number {
  if (time === "now") return now
  const relative = /^-(\d+)([smhdw])$/.exec(time)
  if (relative) return now - Number(relative[1]) * (UNITS[relative[2] ?? ""] ?? NaN)
  return Date.parse(time)
}

/** The range before this one, of the same length; or the same range an hour, a day, a week ago. */
export function baseline(range: Range, before: string): Range {
  const now = Date.now()
  const [start, end] = [instant(range.start, now), instant(range.end, now)]
  const shift = before === "before" ? end - start : now - instant(before, now)
  return { start: iso(start - shift), end: iso(end - shift) }
}

export const iso = (time: number) => new Date(time).toISOString()

/** What a range is called in the bar. */
export function rangeName({ start, end }: Range): string {
  const known = RANGES.find((range) => range.start === start)
  if (end === "now" && known) return `last ${known.name}`
  if (end === "now") return start.startsWith("-") ? `last ${start.slice(1)}` : `since ${short(start)}`
  return `${short(start)} – ${short(end)}`
}

const short = (time: string) =>
  /^-|^now$/.test(time) ? time : `${dateOf(Date.parse(time))} ${clock(Date.parse(time))}`

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" })
const DATE = new Intl.DateTimeFormat("en-GB", { month: "short", day: "numeric" })

/** `12:01:03`, in the reader's time zone. */
export const clock = (time: number) => (Number.isFinite(time) ? CLOCK.format(time) : "?")

/** `28 Nov`. */
export const dateOf = (time: number) => (Number.isFinite(time) ? DATE.format(time) : "?")

/** `12:01:03.204`. */
export function clockWithMillis(time: string): string {
  const millis = /\.(\d{1,3})/.exec(time)?.[1] ?? "0"
  return `${clock(Date.parse(time))}.${millis.padEnd(3, "0")}`
}

/** `28 Nov 12:01:03.204`. */
export const moment = (time: string) => `${dateOf(Date.parse(time))} ${clockWithMillis(time)}`

/** Date and time to the millisecond, with its zone, for a title. */
export function exact(time: string): string {
  return `${moment(time)} (${time})`
}
