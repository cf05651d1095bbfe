// Why something became slow or fails: the causes that a diagnosis names, or why it names none.
import { queryOptions, useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"

import { client, read, type Schemas } from "~/api/client"
import { Panel } from "~/parts/panel"
import { rankOf, Service, serviceRanks } from "~/parts/service"
import { Empty, Failure, Loading } from "~/parts/states"
import { count, digits, duration, money, percent } from "~/view/format"
import { clock } from "~/view/time"

const PATH = "/api/v1/diagnose"
const SHOWN = 3

/** What is asked: a transaction in a window, or an alert. */
export type Question = { transaction?: string; alert?: string; environment?: string; start?: string; end?: string }
type Cause = Schemas["Cause"]

const KINDS: Record<Cause["kind"], string> = {
  own: "takes longer itself",
  link: "the way to or from it takes longer",
  code: "does something else than before",
  missing: "something that it always did does not happen",
  process: "its process is loaded",
  database: "its database takes longer or fails",
  external: "what it calls outside takes longer or fails",
  version: "one version of it has the change",
  value: "calls with one value have the change",
}

// It is asked once: an answer costs more than those of other panels, and what it explains is over.
const diagnosis = (question: Question) =>
  queryOptions({
    queryKey: ["diagnosis", question],
    meta: { name: "the diagnosis" },
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: ({ signal }) => read(client.GET(PATH, { params: { query: question }, signal })),
  })

export function Diagnosis({ question }: { question: Question }) {
  const { data, error, isPending, refetch } = useQuery(diagnosis(question))
  return (
    <Panel
      title="Why"
      source={{ path: PATH, query: question }}
      note={data && `since ${clock(Date.parse(data.onset))}, compared with ${clock(Date.parse(data.baseline.start))} to ${clock(Date.parse(data.baseline.end))}`}
    >
      {isPending ? (
        <Loading rows={4} name="the diagnosis" />
      ) : error ? (
        <Failure error={error} again={() => void refetch()} />
      ) : (
        <Answer answer={data} />
      )}
    </Panel>
  )
}

function Answer({ answer }: { answer: Schemas["Diagnosis"] }) {
  const ranks = serviceRanks(answer.causes.map((cause) => cause.service))
  return (
    <>
      {answer.window_because && <p className="muted foreign">{answer.window_because}</p>}
      {answer.impact && <p className="muted">{impactText(answer.impact)}</p>}
      {answer.none_because && <Empty>No cause: {answer.none_because}.</Empty>}
      <ol className="why causes">
        {answer.causes.slice(0, SHOWN).map((cause) => (
          <CauseItem key={cause.service} cause={cause} rank={rankOf(ranks, cause.service)} />
        ))}
      </ol>
    </>
  )
}

function impactText({ traces, failed, apdex, users, value, budget_share: budget }: Schemas["Impact"]): string {
  const parts = [`${count(traces)} traces`]
  if (failed.lower > 0) parts.push(`${count(Math.round(failed.value))} more failed than usual`)
  if (apdex.before !== null && apdex.after !== null) {
    parts.push(`Apdex ${digits(apdex.before)} before, ${digits(apdex.after)} now`)
  }
  if (users) parts.push(`${count(users.worse)} of ${count(users.touched)} users worse off`)
  if (value && value.lost > 0) parts.push(`value lost ${money(value.lost)}`)
  if (budget) parts.push(`${percent(budget)} of the month's error budget`)
  return parts.join(" · ")
}

function CauseItem({ cause, rank }: { cause: Cause; rank: number }) {
  return (
    <li>
      <p>
        <span className="strong">
          <Service name={cause.service} rank={rank} />: {KINDS[cause.kind]}
        </span>
        <span className="muted" title={`score ${digits(cause.score)}`}>
          {percent(cause.confidence)}
        </span>
      </p>
      <ul className="said">
        {evidenceTexts(cause).map((text) => (
          <li key={text} className="foreign">
            {text}
          </li>
        ))}
      </ul>
      <Places places={cause.places} />
      <Examples examples={cause.examples} />
    </li>
  )
}

function evidenceTexts({ evidence, versions, values, instances, events }: Cause): string[] {
  const times = evidence.time.changes.slice(0, SHOWN).map((change) => {
    const where = [change.operation || "calls", change.target && `to ${change.target}`].filter(Boolean).join(" ")
    const why = change.type === "calls" ? "more calls, or one after the other, " : ""
    return `${where}: ${why}${duration(change.ms)} a call, ${duration(change.baseline_ms)} before`
  })
  const calls = evidence.structure.changes.slice(0, SHOWN).map(
    (change) =>
      `${change.operation || change.target}: ${count(Math.round(change.came))} ${change.what}, ${count(Math.round(change.expected))} expected`,
  )
  const gauges = evidence.process.changes
    .slice(0, SHOWN)
    .map((change) => `${change.metric} of ${change.instance}: ${digits(change.highest)}, usually ${digits(change.usual)}`)
  const shares = [...versions, ...values, ...instances]
    .slice(0, SHOWN)
    .map((one) => `${one.key}=${one.value} has ${percent(one.share)} of the change in ${percent(one.calls_share)} of the calls`)
  const marks = events.slice(0, SHOWN).map((event) => `${clock(Date.parse(event.time))} ${event.type}: ${event.name}`)
  return [...new Set([...times, ...calls, ...gauges, ...shares, ...marks])]
}

function Places({ places }: { places: Cause["places"] }) {
  if (!places.length) return null
  return (
    <ul className="said" aria-label="Places in the code">
      {places.slice(0, SHOWN).map((place) => (
        <li key={`${place.place} ${place.change} ${place.text}`} className="foreign">
          {place.change}{" "}
          {place.example ? (
            <Link to="/traces/$id" params={{ id: place.example }}>
              {place.place}
            </Link>
          ) : (
            <code>{place.place}</code>
          )}
          <span className="muted">
            {" "}
            {count(Math.round(place.came))} came, {count(Math.round(place.expected))} expected: {place.text}
          </span>
        </li>
      ))}
    </ul>
  )
}

function Examples({ examples }: { examples: Cause["examples"] }) {
  return (
    <ul className="examples" aria-label="Examples">
      {examples.map((example) => (
        <li key={example.trace_id}>
          <Link to="/traces/$id" params={{ id: example.trace_id }}>
            Trace of {duration(example.duration_ms)}
          </Link>
          {example.is_error && <span className="error"> ✕ failed</span>}
        </li>
      ))}
    </ul>
  )
}
