// One span: what it did, its attributes, events, links, log records, and its process at that time.
import { Tab, TabList, TabPanel, TabProvider } from "@ariakit/react"
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { X } from "lucide-react"
import { useEffect, useMemo } from "react"

import { Problem, type Schemas } from "~/api/client"
import type { PlacedLog } from "~/features/trace/logs"
import type { SpanPart } from "~/features/trace/search"
import { metricsOf, spanOf } from "~/features/trace/queries"
import type { Tree } from "~/features/trace/read"
import type { Times } from "~/features/trace/outline"
import { Attributes } from "~/parts/attributes"
import { Chart, type Line } from "~/parts/chart"
import { Copy } from "~/parts/copy"
import { LogLines } from "~/parts/log-lines"
import { rankOf, Service, type ServiceRanks } from "~/parts/service"
import { Empty, Failure, Loading } from "~/parts/states"
import { axisUnit, duration, measured, percent } from "~/view/format"
import { exact, moment } from "~/view/time"

type Props = {
  tree: Tree
  times: Times | undefined
  row: number
  logs: readonly PlacedLog[]
  ranks: ServiceRanks
  close: () => void
  again: () => void
  named: (span: string, row: number) => void
  width: number
  part: SpanPart | undefined
  setPart: (part: SpanPart | undefined) => void
}

export function Detail(props: Props) {
  const { tree, times, row, logs, ranks, close, again, named, width, part, setPart } = props
  const { data: span, error, isPending } = useQuery(spanOf(tree.traceId, tree.version, row))
  useEffect(() => {
    if (span) named(span.span_id, row)
  }, [span, row, named])
  const { outline } = tree
  const name = outline.names[outline.name[row] ?? 0] ?? ""
  const service = outline.services[outline.service[row] ?? 0] ?? ""
  return (
    <aside
      className="detail"
      aria-label="Span"
      style={{ width }}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      <header className="detail-head">
        <h2 className="foreign">{name}</h2>
        <button type="button" className="icon-button" onClick={close} aria-label="Close the span">
          <X size={16} aria-hidden />
        </button>
      </header>
      <p>
        <Service name={service} rank={rankOf(ranks, service)} />
      </p>
      <dl className="facts">
        <div>
          <dt className="muted small">duration</dt>
          <dd>{duration(outline.duration[row])}</dd>
        </div>
        <div>
          <dt className="muted small">self</dt>
          <dd>{times ? duration(times.self[row]) : "…"}</dd>
        </div>
        <div>
          <dt className="muted small">on the critical path</dt>
          <dd>{times ? percent(criticalShare(times, row, outline.duration[row] ?? 0)) : "…"}</dd>
        </div>
        <div>
          <dt className="muted small">starts after</dt>
          <dd>{duration(outline.start[row])}</dd>
        </div>
      </dl>
      {error instanceof Problem && error.status === 409 ? (
        <div className="failure" role="alert">
          <p>Spans of this trace have come since it was read.</p>
          <button type="button" className="button" onClick={again}>
            Read it again
          </button>
        </div>
      ) : error ? (
        <Failure error={error} />
      ) : isPending ? (
        <Loading rows={6} name="the span" />
      ) : span ? (
        <Parts span={span} logs={logs} ranks={ranks} trace={tree.traceId} part={part} setPart={setPart} />
      ) : (
        <Empty>This span is not stored any more.</Empty>
      )}
    </aside>
  )
}

function criticalShare(times: Times, row: number, length: number): number {
  let sum = 0
  for (let index = times.first[row] ?? 0; index < (times.first[row + 1] ?? 0); index++) {
    sum += (times.to[index] ?? 0) - (times.from[index] ?? 0)
  }
  return length > 0 ? sum / length : 0
}

type PartsProps = {
  span: Schemas["SpanDetails"]
  logs: readonly PlacedLog[]
  ranks: ServiceRanks
  trace: string
  part: SpanPart | undefined
  setPart: (part: SpanPart | undefined) => void
}

function Parts({ span, logs, ranks, trace, part, setPart }: PartsProps) {
  const own = logs.filter((log) => log.row === span.row)
  const has: Record<SpanPart, boolean> = {
    events: span.events.length > 0,
    links: span.links.length > 0,
    logs: own.length > 0,
    resource: true,
    process: true,
  }
  return (
    <>
      {span.status_message && <p className="error foreign">✕ {span.status_message}</p>}
      <p className="small muted">
        {span.kind} span{" "}
        <code>{span.span_id}</code> <Copy text={span.span_id} name="the span id" />{" "}
        <Copy text={() => JSON.stringify(span, null, 2)} name="the span as JSON" label="JSON" />
        <Copy text={() => asText(span)} name="the span as text" label="text" />{" "}
        <time title={exact(span.start)}>{moment(span.start)}</time>
        {span.flags.map((flag) => (
          <span key={flag} className="warn">
            {" "}
            ▲ {flag.replaceAll("_", " ")}
          </span>
        ))}
      </p>
      <TabProvider
        selectedId={part && has[part] ? part : "attributes"}
        setSelectedId={(id) => setPart(id === "attributes" ? undefined : (id as SpanPart))}
        selectOnMove={false}
      >
        <TabList className="tabs" aria-label="Parts of the span">
          <Tab id="attributes" className="tab">
            Attributes
          </Tab>
          {has.events && (
            <Tab id="events" className="tab">
              Events {span.events.length}
            </Tab>
          )}
          {has.links && (
            <Tab id="links" className="tab">
              Links {span.links.length}
            </Tab>
          )}
          {has.logs && (
            <Tab id="logs" className="tab">
              Logs {own.length}
            </Tab>
          )}
          <Tab id="resource" className="tab">
            Resource
          </Tab>
          <Tab id="process" className="tab">
            Process
          </Tab>
        </TabList>
        <TabPanel tabId="attributes" className="tab-panel">
          <Attributes attributes={span.attributes} />
        </TabPanel>
        <TabPanel tabId="events" className="tab-panel">
          {span.events.map((event, index) => (
            <details key={index} open>
              <summary>
                <span className="strong foreign">{event.name}</span> <time className="muted small" title={exact(event.time)}>{moment(event.time)}</time>
              </summary>
              <Attributes attributes={event.attributes} />
            </details>
          ))}
        </TabPanel>
        <TabPanel tabId="links" className="tab-panel">
          <ul>
            {span.links.map((link, index) => (
              <li key={index}>
                <Link to="/traces/$id" params={{ id: link.trace_id }} search={{ span: link.span_id }} className="mono">
                  {link.trace_id}
                </Link>
                <Attributes attributes={link.attributes} />
              </li>
            ))}
          </ul>
        </TabPanel>
        <TabPanel tabId="logs" className="tab-panel">
          <LogLines logs={own} ranks={ranks} />
        </TabPanel>
        <TabPanel tabId="resource" className="tab-panel">
          <Attributes attributes={span.resource} />
        </TabPanel>
        <TabPanel tabId="process" className="tab-panel" unmountOnHide>
          <Process trace={trace} span={span} />
        </TabPanel>
      </TabProvider>
    </>
  )
}

function asText(span: Schemas["SpanDetails"]): string {
  const attributes = Object.entries(span.attributes).map(([key, value]) => `  ${key}: ${value}`)
  return [
    `${span.service}: ${span.name} (${span.kind}, ${span.status})`,
    `${span.start}, ${duration(span.duration_ms)}`,
    span.status_message,
    ...attributes,
  ]
    .filter(Boolean)
    .join("\n")
}

function Process({ trace, span }: { trace: string; span: Schemas["SpanDetails"] }) {
  const { data, error, isPending } = useQuery(metricsOf(trace))
  if (isPending) return <Loading name="metrics" />
  if (error) return <Failure error={error} />
  const instance = span.resource["service.instance.id"]
  const own = data.metrics.filter(
    (one) => one.service === span.service && (!instance || !one.resource || one.resource === instance),
  )
  const shown = own.filter((one) => one.points.length > 1).slice(0, 8)
  if (!shown.length) return <Empty>No metric of this process around the trace.</Empty>
  return (
    <>
      {shown.map((series, index) => (
        <MetricChart key={index} series={series} at={Date.parse(span.start)} />
      ))}
    </>
  )
}

function MetricChart({ series, at }: { series: Schemas["LinkedMetric"]; at: number }) {
  const times = useMemo(() => series.points.map((point) => Date.parse(point.time) / 1000), [series])
  const lines = useMemo<Line[]>(
    () => [{ name: series.name, colour: "link", values: series.points.map((point) => point.value) }],
    [series],
  )
  const marks = useMemo(() => [{ time: at, name: "span" }], [at])
  const format = useMemo(() => (value: number) => measured(value, axisUnit(series.unit)), [series.unit])
  return <Chart name={series.name} times={times} lines={lines} format={format} marks={marks} height={90} />
}
