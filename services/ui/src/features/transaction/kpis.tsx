// What the definition names as business KPIs, by the hour, and how they move with latency and errors.
import { useMemo } from "react"

import type { Schemas } from "~/api/client"
import { kpiQuery, kpis, pathOf } from "~/features/transaction/queries"
import { Chart, type Line } from "~/parts/chart"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { axisUnit, digits, measured } from "~/view/format"
import { useLive, useView } from "~/view/view"

type Kpi = Schemas["TransactionKpi"]

const MEASURES = { p50: "p50", p95: "p95", error_rate: "the error rate" } as const

export function Kpis({ id }: { id: string }) {
  const { window } = useView()
  const { data, error, refetch } = useLive(kpis(id, window))
  return (
    <Panel
      title="KPIs"
      note="seven days by the hour; what moves together need not be a cause"
      source={data?.kpis.length ? { path: `${pathOf(id)}/kpis`, query: kpiQuery(window) } : undefined}
    >
      {!data ? (
        error ? <Failure error={error} again={() => void refetch()} /> : <Loading rows={4} name="the KPIs" />
      ) : data.kpis.length ? (
        data.kpis.map((kpi) => <One key={kpi.name} kpi={kpi} start={data.start} end={data.end} />)
      ) : (
        <Empty>
          Its definition names no KPI: a metric, or the sum of an attribute, under <code>kpi</code>.
        </Empty>
      )}
    </Panel>
  )
}

function One({ kpi, start, end }: { kpi: Kpi; start: string; end: string }) {
  const times = useMemo(() => kpi.points.map((point) => Date.parse(point.time) / 1000), [kpi])
  const lines = useMemo<Line[]>(
    () => [{ name: kpi.name, colour: "link", values: kpi.points.map((point) => point.value) }],
    [kpi],
  )
  const format = useMemo(() => (value: number) => measured(value, axisUnit(kpi.unit)), [kpi.unit])
  return (
    <section className="kpi" aria-label={kpi.name}>
      <h3 className="foreign">
        {kpi.name} <span className="muted small">{kpi.metric ? `${kpi.aggregation} of ${kpi.metric}` : `sum of ${kpi.sum}`}</span>
      </h3>
      {kpi.points.length ? (
        <Chart
          name={`${kpi.name} by the hour`}
          times={times}
          lines={lines}
          format={format}
          height={120}
          from={Date.parse(start) / 1000}
          to={Date.parse(end) / 1000}
        />
      ) : (
        <Empty>No value in this time.</Empty>
      )}
      <ul className="said">
        {kpi.correlations.map((one) => (
          <li key={one.measure} className={one.is_clear ? "" : "muted"}>
            {correlationText(one)}
          </li>
        ))}
        {kpi.reason && <li className="muted">No correlation: {kpi.reason}.</li>}
      </ul>
    </section>
  )
}

/** Moves against p95 by −0.62 (−0.8 to −0.4), 2 h after it. */
function correlationText(one: Kpi["correlations"][number]): string {
  const signed = (value: number) => digits(value).replace("-", "−")
  const { lag_hours: lag } = one
  const when = lag === 0 ? "in the same hour" : `${Math.abs(lag)} h ${lag > 0 ? "after" : "before"} it`
  const range = `${signed(one.r)} (${signed(one.lower)} to ${signed(one.upper)})`
  if (!one.is_clear) return `Not clear with ${MEASURES[one.measure]}: ${range}, ${when}`
  return `Moves ${one.r < 0 ? "against" : "with"} ${MEASURES[one.measure]}: ${range}, ${when}`
}
