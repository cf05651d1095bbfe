// One cause of a diagnosis: what differs, where in the code, what to do, and where to look further.
import { Link } from "@tanstack/react-router"
import type { ReactNode } from "react"

import type { Schemas } from "~/api/client"
import { FindingsOf } from "~/parts/findings-of"
import { Instance } from "~/parts/instance"
import { Service } from "~/parts/service"
import { count, digits, duration, measured, percent } from "~/view/format"
import { clock } from "~/view/time"

type Cause = Schemas["Cause"]
type Change = Cause["evidence"]["time"]["changes"][number]
type Value = Cause["values"][number]
type Example = Cause["examples"][number]
type Times = Schemas["ComparedWindow"]

const SHOWN = 3

const KINDS: Record<Cause["kind"], string> = {
  own: "takes longer itself",
  link: "the way to or from it takes longer",
  code: "does something else than before",
  missing: "something that it always did does not happen",
  process: "its process is loaded, or waits for a connection",
  database: "its database takes longer or fails",
  external: "what it calls outside takes longer or fails",
  version: "one version of it has the change",
  value: "calls with one value have the change",
}

const ADDED: Record<Value["measure"], string> = { time: "added time", failures: "added failures" }

type Props = { cause: Cause; rank: number; window: Times }

export function CauseItem({ cause, rank, window }: Props) {
  return (
    <li>
      <p>
        <span className="strong">
          <Service name={cause.service} rank={rank} />
          {subjectOf(cause) && <span className="foreign"> {subjectOf(cause)}</span>}: {whatOf(cause)}
        </span>
        <span className="muted" title={`score ${digits(cause.score)}`}>
          {percent(cause.confidence)}
        </span>
      </p>
      <dl className="evidence">
        <Evidence cause={cause} window={window} />
        <dt>next</dt>
        <dd className="strong foreign">{cause.advice}</dd>
      </dl>
      <ul className="examples" aria-label="Examples">
        {cause.examples.map((example) => (
          <li key={example.trace_id}>
            <SpanLink trace={example.trace_id} span={example.span_id}>
              Trace of {duration(example.duration_ms)}
            </SpanLink>
            {example.is_error && <span className="error"> ✕ failed</span>}
          </li>
        ))}
      </ul>
      <ul className="examples" aria-label="Further">
        <li className="foreign">
          <Link to="/services/$name" params={{ name: cause.service }} search={window}>
            Resources of {cause.service}
          </Link>
        </li>
        {cause.kind === "external" && (
          <li className="foreign">
            <Link to="/third-parties" search={window}>
              {cause.target} among third parties
            </Link>
          </li>
        )}
        <FindingsOf service={cause.service} operation={cause.operation} since={window.start} />
      </ul>
    </li>
  )
}

/** It calls itself: what is slow is the way into it. */
const isLoop = (cause: Cause) => cause.target === cause.service

const subjectOf = (cause: Cause) =>
  [cause.operation, cause.target && !isLoop(cause) && `→ ${cause.target}`].filter(Boolean).join(" ")

const whatOf = (cause: Cause) => (isLoop(cause) ? "calls to it take longer before it runs" : KINDS[cause.kind])

function Evidence({ cause, window }: { cause: Cause; window: Times }) {
  const { evidence, versions, values, instances, events, examples } = cause
  const [first] = examples
  const record = examples.find((example) => example.record)
  const place = examples.find((example) => example.place)?.place
  return (
    <>
      {evidence.time.changes.slice(0, SHOWN).map((change) => (
        <Item key={`${change.operation} ${change.target} ${change.type}`} name="time">
          <Found example={first} text={change.operation}>
            {timeSubject(change)}
          </Found>
          : {change.type === "calls" && "more calls, or one after the other, "}
          {duration(change.baseline_ms)} → {duration(change.ms)} a call, {duration(change.extra_ms)} more a trace
        </Item>
      ))}
      {evidence.structure.changes.slice(0, SHOWN).map((change) => (
        <Item key={`${change.operation} ${change.target} ${change.what}`} name="calls">
          <Found example={first} text={change.operation || change.target}>
            {change.operation || change.target}
          </Found>
          : {count(Math.round(change.came))} {change.what}, {count(Math.round(change.expected))} expected
        </Item>
      ))}
      {evidence.logs.changes.slice(0, SHOWN).map((change) => (
        <Item key={`${change.place} ${change.change} ${change.text}`} name={change.change}>
          <Placed place={change} /> {count(Math.round(change.came))} came, {count(Math.round(change.expected))} expected: {change.text}
        </Item>
      ))}
      {evidence.process.changes.slice(0, SHOWN).map((change) => (
        <Item key={`${change.metric} ${change.instance}`} name="process">
          {change.metric} of <Instance id={change.instance} name={change.instance_name} />: {used(change.highest, change.unit)}, usually{" "}
          {used(change.usual, change.unit)}
        </Item>
      ))}
      <Values name="version" values={versions} cause={cause} window={window} />
      <Values name="value" values={values} cause={cause} window={window} />
      <Values name="instance" values={instances} cause={cause} window={window} />
      {events.slice(0, SHOWN).map((event) => (
        <Item key={`${event.time} ${event.name}`} name="event">
          {clock(Date.parse(event.time))} {event.type}: {event.name}
        </Item>
      ))}
      {place && (
        <Item name="code">
          <code>{place}</code>
        </Item>
      )}
      {record?.record && <LogItem example={record} record={record.record} />}
    </>
  )
}

function LogItem({ example, record }: { example: Example; record: NonNullable<Example["record"]> }) {
  return (
    <Item name="log">
      <SpanLink trace={example.trace_id} span={record.span_id || example.span_id} part="logs">
        {record.severity} {record.text}
      </SpanLink>
      {record.place && (
        <span className="muted">
          {" "}
          at <code>{record.place}</code>
        </span>
      )}
    </Item>
  )
}

/** What a process uses: a number without a unit is a share of its limit. */
const used = (value: number, unit: string) => (unit === "1" ? percent(value) : measured(value, unit))

const timeSubject = ({ operation, target }: Change) => [operation || "calls", target && `→ ${target}`].filter(Boolean).join(" ")

function Item({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd className="foreign">{children}</dd>
    </>
  )
}

/** Values of attributes; each opens the traces of the window that have it. */
function Values({ name, values, cause, window }: { name: string; values: readonly Value[]; cause: Cause; window: Times }) {
  return values.slice(0, SHOWN).map((one) => (
    <Item key={`${one.key} ${one.value} ${one.measure}`} name={name}>
      <Link to="/traces" search={{ ...window, service: cause.service, attr: [`${quoted(one.key)}=${one.value}`] }}>
        {one.key}={name === "instance" ? <Instance id={one.value} /> : one.value}
      </Link>{" "}
      has {percent(one.share)} of the {ADDED[one.measure]} in {percent(one.calls_share)} of the calls
    </Item>
  ))
}

/** A place in the code; it opens the span that reports it, or a trace with such a record. */
function Placed({ place }: { place: Cause["places"][number] }) {
  const text = place.place || "a log record"
  if (!place.example) return <code>{text}</code>
  return (
    <SpanLink trace={place.example} span={place.span_id} part={place.kind === "record" ? "logs" : "events"}>
      {text}
    </SpanLink>
  )
}

/** The spans of the example with this text: a statement, an operation that repeats. */
function Found({ example, text, children }: { example?: Example; text: string; children: ReactNode }) {
  if (!example || !text) return children
  return (
    <Link to="/traces/$id" params={{ id: example.trace_id }} search={{ q: text }}>
      {children}
    </Link>
  )
}

type SpanLinkProps = { trace: string; span: string; part?: "logs" | "events"; children: ReactNode }

function SpanLink({ trace, span, part, children }: SpanLinkProps) {
  return (
    <Link to="/traces/$id" params={{ id: trace }} search={span ? { span, part } : {}}>
      {children}
    </Link>
  )
}

/** A key as the search's filter reads it: quoted if it has an operator's sign. */
const quoted = (key: string) => (/[=!~<> ]/.test(key) ? JSON.stringify(key) : key)
