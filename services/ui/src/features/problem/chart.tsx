// The series that a problem is about, hour by hour, with what is usual of it and when it was wrong.
import { useMemo } from "react"

import type { Schemas } from "~/api/client"
import type { Problem } from "~/features/problem/queries"
import { windowOf } from "~/features/problem/window"
import { valueText } from "~/features/problems/texts"
import { eventMarks } from "~/features/transaction/marks"
import { events } from "~/features/transaction/queries"
import { type BandMeasure, type BaselineQuery, BASELINES, bandLines, baseline } from "~/parts/band"
import { Chart } from "~/parts/chart"
import type { Mark } from "~/parts/marks"
import { Panel } from "~/parts/panel"
import { digits } from "~/view/format"
import { iso } from "~/view/time"
import { useLive } from "~/view/view"

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const BEFORE_MS = 3 * DAY_MS
const AFTER_MS = DAY_MS / 2
const DAY = { start: "-1d", end: "now" }

// What is shown of a problem with a measure that has no baseline of its own.
const MEASURES: Record<string, Measure> = {
  p50: "p50", p75: "p75", p95: "p95", tail: "p95", slow_rate: "p95", error_rate: "error_rate", rate: "rate",
  value_lost: "value_lost",
} // prettier-ignore
type Measure = BandMeasure

/** What to ask for; undefined for a problem of no series that has a baseline. */
export function baselineQuery(view: Problem, now: number): BaselineQuery | undefined {
  const { labels, measure } = view.alert
  const shown = labels.metric === measure ? "value" : MEASURES[measure]
  const { transaction, service, operation, dependency, metric, environment } = labels
  if (!shown || !(transaction ?? service)) return undefined
  const { start, end } = windowOf(view)
  const until = end ? Math.min(now, Date.parse(end) + AFTER_MS) : now
  // An hour's start, so that the same hours are asked for again.
  const from = Math.floor((Date.parse(start) - BEFORE_MS) / HOUR_MS) * HOUR_MS
  const series = transaction ? { transaction } : { service, operation, dependency, metric }
  return { start: iso(from), end: iso(until), measure: shown, environment, ...series }
}

export function ProblemChart({ view }: { view: Problem }) {
  const query = baselineQuery(view, Date.now())
  const { data } = useLive(baseline(query))
  const series = data?.series[0]
  const { service } = view.alert.labels
  const window = query ? wholeHours(query) : DAY
  const happened = useLive({ ...events(service ? [service] : [], window), enabled: query !== undefined }).data
  const { start, end } = window
  const marks = useMemo(() => allMarks(view, happened?.events ?? [], start, end), [view, happened, start, end])
  if (!query || !series?.points.length) return null
  return (
    <Panel title="Hour by hour" note={note(series)} source={{ path: BASELINES, query }}>
      <Series series={series} marks={marks} from={query.start} to={query.end} />
    </Panel>
  )
}

function Series(props: { series: Schemas["Baseline"]; marks: Mark[]; from: string; to: string }) {
  const { series, marks, from, to } = props
  const times = useMemo(() => series.points.map((point) => Date.parse(point.time) / 1000), [series])
  const lines = useMemo(() => bandLines(series.measure, series.points), [series])
  const format = useMemo(() => (value: number) => valueText(value, series.unit), [series.unit])
  return (
    <Chart
      name={`${series.measure} by the hour, with what is usual`}
      times={times}
      lines={lines}
      format={format}
      marks={marks}
      height={180}
      from={Date.parse(from) / 1000}
      to={Date.parse(to) / 1000}
    />
  )
}

function note({ measure, smallest_change: smallest, hours_known: hours }: Schemas["Baseline"]): string {
  if (smallest === null) return hours < 72 ? "too little is known to say what is usual" : ""
  if (measure === "value_lost") return `noticed from ${digits(smallest)} lost in an hour on`
  const share = `${(smallest * 100).toPrecision(2)} %`
  if (measure === "error_rate") return `noticed from ${share} failed requests of an hour on`
  if (measure === "rate") return `noticed when ${share} of two hours' requests are missing`
  if (measure === "value") return `noticed when it is ${share} higher for 15 minutes`
  return `noticed when it is ${share} higher for a day`
}

/** To the end of the hour, so that the same is asked for again. */
const wholeHours = ({ start, end, environment }: BaselineQuery) => ({
  start,
  end: iso(Math.ceil(Date.parse(end) / HOUR_MS) * HOUR_MS),
  environment,
})

/** The problem's episodes, and what happened around them. */
function allMarks(view: Problem, happened: readonly Schemas["NotedEvent"][], start: string, end: string): Mark[] {
  const around = eventMarks(happened, Date.parse(start), Date.parse(end))
  return [...episodeMarks(view), ...around].sort((a, b) => a.time - b.time)
}

/** When the problem's episodes began and ended. */
function episodeMarks({ history }: Problem): Mark[] {
  const named: Partial<Record<string, string>> = { firing: "problem", resolved: "over" }
  return history
    .flatMap(({ time, state }) => {
      const name = named[state]
      return name ? [{ time: Date.parse(time), name }] : []
    })
    .sort((a, b) => a.time - b.time)
}
