// Metrics of the processes, one small chart each, the most like the transaction's p95 first.
import { useMemo } from "react"

import type { Schemas } from "~/api/client"
import type { PartProps } from "~/features/transaction/page"
import { Chart, type Line } from "~/parts/chart"
import { Panel } from "~/parts/panel"
import { Empty } from "~/parts/states"
import { axisUnit, digits, measured } from "~/view/format"

type Series = Schemas["LinkedMetric"]

const SHOWN = 24

export function Metrics({ view, source }: PartProps) {
  const series = useMemo(
    () =>
      [...view.metrics]
        .filter((one) => one.points.length > 1)
        .sort((one, other) => strength(other) - strength(one)),
    [view],
  )
  const [from, to] = [Date.parse(view.start) / 1000, Date.parse(view.end) / 1000]
  return (
    <Panel title="Metrics" source={source} note="of its processes; those that move with its p95 first">
      {series.length ? (
        <div className="small-charts">
          {series.slice(0, SHOWN).map((one) => (
            <SmallChart key={keyOf(one)} series={one} from={from} to={to} />
          ))}
        </div>
      ) : (
        <Empty>No metric of its processes in this time.</Empty>
      )}
    </Panel>
  )
}

const strength = (series: Series) => Math.abs(series.correlation ?? 0)
const keyOf = (series: Series) =>
  [series.name, series.service, series.resource, JSON.stringify(series.attributes)].join(" ")

function SmallChart({ series, from, to }: { series: Series; from: number; to: number }) {
  const times = useMemo(() => series.points.map((point) => Date.parse(point.time) / 1000), [series])
  const source = series.service || series.resource
  const lines = useMemo<Line[]>(
    () => [{ name: source, colour: "link", values: series.points.map((point) => point.value) }],
    [series, source],
  )
  const format = useMemo(() => (value: number) => measured(value, axisUnit(series.unit)), [series.unit])
  const attributes = Object.entries(series.attributes)
    .map(([key, value]) => `${key}=${value}`)
    .join(", ")
  return (
    <figure>
      <figcaption>
        <span className="one-line strong" title={series.name}>
          {series.name}
          {axisUnit(series.unit) !== series.unit && /^\w/.test(series.unit) && (
            <span className="muted small"> {series.unit}</span>
          )}
        </span>
        <span className="one-line muted small" title={`${series.resource} ${attributes}`}>
          {source}
          {attributes && ` · ${attributes}`}
          {series.correlation === null ? "" : ` · moves with p95: ${digits(series.correlation).replace("-", "−")}`}
        </span>
      </figcaption>
      <Chart name={`${series.name} of ${source}`} times={times} lines={lines} format={format} height={100} from={from} to={to} />
    </figure>
  )
}
