// Numbers as the pages write them.
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 })
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })
const MONEY = new Intl.NumberFormat("en", { maximumFractionDigits: 2 })

/** Three digits that count: 0.042, 4.2, 42, 420, 4,200. */
export function digits(value: number): string {
  const size = Math.abs(value)
  if (size === 0 || size >= 100) return WHOLE.format(value)
  return Number(value.toPrecision(size >= 10 ? 3 : 2)).toString()
}

/** A count: 1,204, 12.3K. */
export const count = (value: number) =>
  Math.abs(value) < 10_000 ? WHOLE.format(value) : COMPACT.format(value)

/** A duration: 7 ns, 420 µs, 4.2 ms, 1.3 s, 2 min 5 s. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–"
  const size = Math.abs(ms)
  if (size === 0) return "0 ms"
  if (size < 0.001) return `${digits(ms * 1e6)} ns`
  if (size < 1) return `${digits(ms * 1000)} µs`
  if (size < 1000) return `${digits(ms)} ms`
  if (size < 60_000) return `${digits(ms / 1000)} s`
  if (size < 3_600_000) return twoUnits(Math.floor(ms / 60_000), "min", Math.round((ms % 60_000) / 1000), "s")
  return twoUnits(Math.floor(ms / 3_600_000), "h", Math.round((ms % 3_600_000) / 60_000), "min")
}

const twoUnits = (large: number, unit: string, small: number, part: string) =>
  `${large} ${unit}${small ? ` ${small} ${part}` : ""}`

/** A share from 0 to 1: 0 %, 0.02 %, 5.3 %. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–"
  return `${digits(share * 100)} %`.replace("-", "−")
}

/** A share of which only the size matters: 53 %, 0.2 %, below 0.1 %. */
export const roughPercent = (share: number) => (share > 0 && share < 0.001 ? "below 0.1 %" : percent(share))

/** What is left of an error budget: 12 % left, 863 % over. */
export const budgetLeft = (left: number) => (left < 0 ? `${percent(-left)} over` : `${percent(left)} left`)

/** The name of a resource in words: CPU host, connection pool. */
export const resourceName = (name: string) => name.replaceAll("_", " ").replace(/^cpu/, "CPU")

/** A change as a share: +310 %, −12 %, 0 %. */
export function change(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–"
  const rounded = Math.round(share * 100)
  if (rounded === 0) return "0 %"
  return `${rounded > 0 ? "+" : "−"}${count(Math.abs(rounded))} %`
}

/** A rate per second: 1.9/s, 3.2/min for what is rare. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return "0/s"
  if (perSecond < 0.1) return perSecond * 60 < 0.1 ? `${digits(perSecond * 3600)}/h` : `${digits(perSecond * 60)}/min`
  return `${digits(perSecond)}/s`
}

export const money = (value: number) => (Math.abs(value) >= 100_000 ? COMPACT : MONEY).format(value)

/** An amount with its interval, which need not be even around it: 867 (740 to 1,100). */
export const moneyBetween = (value: number, lower: number, upper: number) =>
  value > 0 ? `${money(value)} (${digits(lower)} to ${digits(upper)})` : money(value)

/** The unit that the numbers of an axis are written with: a word would not fit. */
export const axisUnit = (unit: string) => (["By", "s", "ms"].includes(unit) ? unit : "1")

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** An id that is a UUID by its first eight letters; others as they are. */
export const shortId = (id: string) => (UUID.test(id) ? id.slice(0, 8) : id)

/** A metric's value with its unit, as UCUM writes it. */
export function measured(value: number, unit: string): string {
  if (unit === "By") return bytes(value)
  if (unit === "s") return duration(value * 1000)
  if (unit === "ms") return duration(value)
  if (unit === "1") return digits(value)
  return `${Math.abs(value) < 10_000 ? digits(value) : COMPACT.format(value)}${unit && !unit.startsWith("{") ? ` ${unit}` : ""}`
}

export function bytes(value: number): string {
  const [unit, ...larger] = ["B", "KiB", "MiB", "GiB", "TiB"]
  let [size, name] = [value, unit]
  for (const next of larger) {
    if (Math.abs(size) < 1023.5) break
    ;[size, name] = [size / 1024, next]
  }
  return `${digits(size)} ${name}`
}
