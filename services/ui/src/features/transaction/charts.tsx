// Durations as a heatmap or as percentiles, and rate and errors below on the same time axis.
import { useMemo } from "react"

import type { Schemas } from "~/api/client"
import { eventMarks } from "~/features/transaction/marks"
import { events, heatmap, pathOf } from "~/features/transaction/queries"
import type { Region } from "~/features/transaction/region"
import { bandAt, baseline } from "~/parts/band"
import { Chart, type Line } from "~/parts/chart"
import { type Brushed, type Cells, Heatmap } from "~/parts/heatmap"
import type { Mark } from "~/parts/marks"
import { Panel, type Source } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { digits, duration } from "~/view/format"
import { iso } from "~/view/time"
import { useLive, useView } from "~/view/view"

type Props = {
  id: string
  view: Schemas["JoinedView"]
  chart: "percentiles" | undefined
  region: Region | undefined
  setChart: (chart: "percentiles" | undefined) => void
  setRegion: (region: Region | undefined) => void
  zoom: (start: string, end: string) => void
  source: Source
}

export function Charts(props: Props) {
  const { id, view, chart, setChart, zoom, source } = props
  const { window } = useView()
  const [from, to] = [Date.parse(view.start) / 1000, Date.parse(view.end) / 1000]
  const happened = useLive(events(view.transaction.services, window)).data
  const marks = useMemo(
    () => eventMarks(happened?.events ?? [], Date.parse(view.start), Date.parse(view.end)),
    [happened, view],
  )
  const brush = (start: number, end: number) => zoom(iso(start), iso(end))
  const times = useMemo(() => view.series.map((point) => Date.parse(point.time) / 1000), [view])
  const usual = useUsual(view, chart === "percentiles")
  const counts = useMemo(() => countLines(view, times, usual.rate), [view, times, usual.rate])
  return (
    <div className="charts">
      <Panel
        title={chart ? "Percentiles" : "Durations"}
        note={chart ? "brush to zoom" : "brush a region, or click a cell: what differs there?"}
        source={chart ? source : { path: `${pathOf(id)}/heatmap`, query: window }}
        actions={
          <button
            type="button"
            className="button quiet"
            onClick={() => setChart(chart ? undefined : "percentiles")}
          >
            {chart ? "Heatmap" : "Percentiles"}
          </button>
        }
      >
        {chart ? (
          <Percentiles
            view={view}
            usual={usual.p95}
            times={times}
            from={from}
            to={to}
            marks={marks}
            brush={brush}
          />
        ) : (
          <Cloud {...props} marks={marks} />
        )}
      </Panel>
      <Panel title="Rate and errors" source={source} note="brush to zoom">
        <Chart
          name="Instances and errors in each step of time"
          times={times}
          lines={counts}
          format={digits}
          marks={marks}
          height={140}
          from={from}
          to={to}
          onBrush={brush}
        />
      </Panel>
    </div>
  )
}

function Cloud({ id, view, region, setRegion, marks }: Props & { marks: readonly Mark[] }) {
  const { window } = useView()
  const { data, error, refetch } = useLive(heatmap(id, window))
  const cells = useMemo(() => data && cellsOf(data), [data])
  const chosen = useMemo(() => region && brushedOf(region), [region])
  if (error && !data) return <Failure error={error} again={() => void refetch()} />
  if (!data || !cells) return <Loading rows={6} name="the heatmap" />
  if (!data.bounds_ms.length) return <Empty>No instance in this time.</Empty>
  const choose = ({ start, end, min, max }: Brushed) =>
    setRegion({
      start: iso(start),
      end: iso(end),
      min: min > 0 ? min : undefined,
      max: Number.isFinite(max) ? max : undefined,
    })
  return (
    <Heatmap
      name={`Durations over time: p50 ${duration(view.transaction.duration_ms.p50)}, p95 ${duration(view.transaction.duration_ms.p95)}`}
      cells={cells}
      from={Date.parse(data.start) / 1000}
      to={Date.parse(data.end) / 1000}
      chosen={chosen}
      marks={marks}
      objective={view.transaction.slo?.latency_ms}
      onBrush={choose}
    />
  )
}

const cellsOf = (map: Schemas["Heatmap"]): Cells => ({
  times: map.times.map((time) => Date.parse(time) / 1000),
  step: map.step_seconds,
  bounds: map.bounds_ms,
  counts: map.counts,
  errors: map.errors,
})

const brushedOf = (region: Region): Brushed => ({
  start: Date.parse(region.start),
  end: Date.parse(region.end),
  min: region.min ?? 0,
  max: region.max ?? Infinity,
})

function Percentiles(props: {
  view: Schemas["JoinedView"]
  usual: Usual
  times: number[]
  from: number
  to: number
  marks: Mark[]
  brush: (start: number, end: number) => void
}) {
  const { view, usual, times, from, to, marks, brush } = props
  const lines = useMemo<Line[]>(
    () => [
      ...bandAt(times, usual),
      { name: "p50", colour: "muted", values: view.series.map((point) => point.p50) },
      { name: "p95", colour: "link", values: view.series.map((point) => point.p95) },
      { name: "p99", colour: "warn", values: view.series.map((point) => point.p99), dashed: true },
    ],
    [view, usual, times],
  )
  return (
    <Chart
      name="Percentiles of the duration over time"
      times={times}
      lines={lines}
      format={duration}
      marks={marks}
      height={200}
      from={from}
      to={to}
      onBrush={brush}
    />
  )
}

type Usual = Schemas["BandPoint"][]
const NONE: Usual = []

/** What is usual of the transaction in the window, by the hour; of durations where they are shown as percentiles. */
function useUsual(view: Schemas["JoinedView"], percentiles: boolean): { rate: Usual; p95: Usual } {
  const { window } = useView()
  const { environment } = window
  const query = { start: view.start, end: view.end, transaction: view.transaction.name, environment }
  const rate = useLive(baseline({ ...query, measure: "rate" })).data
  const p95 = useLive(baseline(percentiles ? { ...query, measure: "p95" } : undefined)).data
  return { rate: rate?.series[0]?.points ?? NONE, p95: p95?.series[0]?.points ?? NONE }
}

const countLines = (view: Schemas["JoinedView"], times: number[], usual: Usual): Line[] => [
  ...bandAt(times, usual, (times[1] ?? 0) - (times[0] ?? 0)),
  { name: "instances", colour: "muted", values: view.series.map((point) => point.count) },
  { name: "errors", colour: "error", values: view.series.map((point) => point.errors) },
]
