// One problem: what is wrong and how far off, since when, who knows of it, and where to look.
import { useQuery } from "@tanstack/react-query"
import { getRouteApi, Link } from "@tanstack/react-router"
import type { ReactNode } from "react"

import type { Schemas } from "~/api/client"
import { Actions } from "~/features/problem/actions"
import { ProblemChart } from "~/features/problem/chart"
import { ImpactPanel } from "~/features/problem/impact"
import { pathOf, problem, type Problem, transactionNamed, useIsCostKnown, useTouched } from "~/features/problem/queries"
import { Scale } from "~/features/problem/scale"
import { firstSeen, HOUR_MS, windowOf } from "~/features/problem/window"
import type { Alert } from "~/features/problems/rows"
import { handledText, STATE_NAMES, StateMark, valueText } from "~/features/problems/texts"
import { ResourcesPanel } from "~/features/service/resources"
import { Diagnosis } from "~/parts/diagnosis"
import { Fact } from "~/parts/fact"
import { FindingsOf } from "~/parts/findings-of"
import { Heading } from "~/parts/heading"
import { Panel, type Source, StatementList } from "~/parts/panel"
import { Since } from "~/parts/since"
import { Empty, Failure, Loading } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { count, digits, duration } from "~/view/format"
import { useLive } from "~/view/view"

const route = getRouteApi("/problems/$id")

// The rest of the explanation is written as numbers of its own.
const NUMBERS = ["value", "expected", "usually", "requests", "window", "z", "past"]
// What processes use is shown from so long before: memory that only grows is known after hours.
const USE_MS = 6 * HOUR_MS
const TONES: Record<Notification["state"], string> = { sent: "", waiting: "warn", dropped: "error" }

export function ProblemPage() {
  const { id } = route.useParams()
  const { data, error, refetch } = useLive(problem(id))
  const isCostKnown = useIsCostKnown(id)
  if (!data || data.alert.id !== id) {
    return (
      <div className="page">
        {error ? <Failure error={error} again={() => void refetch()} /> : <Loading rows={10} name="the problem" />}
      </div>
    )
  }
  const source = { path: pathOf(id), query: {} }
  const { alert } = data
  return (
    <div className="page">
      <Head alert={alert} />
      {data.cause && (
        <p className="foreign">
          <span className="muted">Most likely:</span> {data.cause}
        </p>
      )}
      <div className="two-thirds">
        <Numbers view={data} source={source} />
        <div>
          <Panel title="What to do">
            <Actions key={alert.id} alert={alert} />
          </Panel>
          <Panel title="Where to look">
            <Places view={data} />
          </Panel>
        </div>
      </div>
      <ProblemChart view={data} />
      <ImpactPanel id={id} />
      <Used view={data} isAsked={isCostKnown} />
      {alert.episode > 0 && <Diagnosis question={{ alert: id }} isAsked={isCostKnown} />}
      {data.members.length > 0 && <Group view={data} source={source} />}
      <div className="two-halves">
        <History view={data} source={source} />
        <Told view={data} source={source} />
      </div>
      {data.notes.length > 0 && <Notes notes={data.notes} source={source} />}
      {alert.sql && (
        <Panel title="The statement behind the value">
          <StatementList statements={[alert.sql]} />
        </Panel>
      )}
    </div>
  )
}

/** What limits the service of a problem about a metric. */
function Used({ view, isAsked }: { view: Problem; isAsked: boolean }) {
  const { service, metric } = view.alert.labels
  if (!service || !metric || !isAsked) return null
  const { start, end = "now" } = windowOf(view, USE_MS)
  return <ResourcesPanel service={service} window={{ environment: view.alert.labels.environment, start, end }} />
}

function Head({ alert }: { alert: Alert }) {
  const handled = handledText(alert)
  return (
    <div className="page-head">
      <Heading text={alert.headline || alert.rule} foreign />
      <dl className="facts">
        <Fact name="state">
          <StateMark alert={alert} />
        </Fact>
        <Fact name="severity">{alert.severity}</Fact>
        <Fact name="since">
          <Since time={alert.since} />
        </Fact>
        <Fact name="rule">{alert.rule}</Fact>
        {handled && <Fact name="handled">{handled}</Fact>}
      </dl>
    </div>
  )
}

function Numbers({ view, source }: { view: Problem; source: Source }) {
  const { alert, band, z, window_ms, explanation } = view
  const facts = Object.entries(explanation).filter(([name]) => !NUMBERS.includes(name))
  return (
    <Panel title="How far off" note={alert.measure.replaceAll("_", " ")} source={source}>
      {alert.value !== null && <Scale value={alert.value} expected={alert.expected} band={band} unit={alert.unit} />}
      <dl className="facts">
        <Fact name="value">{valueText(alert.value, alert.unit)}</Fact>
        <Fact name="expected">{valueText(alert.expected, alert.unit)}</Fact>
        {band && (
          <Fact name="usually">
            {valueText(band.lower, alert.unit)} to {valueText(band.upper, alert.unit)}
          </Fact>
        )}
        {alert.n > 0 && (
          <Fact name="requests">
            <TracesLink view={view}>{count(alert.n)}</TracesLink>
          </Fact>
        )}
        {window_ms > 0 && <Fact name="window">{duration(window_ms)}</Fact>}
        {z !== null && <Fact name="z">{digits(z)}</Fact>}
        {explanation.past && <Fact name="past">{explanation.past}</Fact>}
      </dl>
      <dl className="attributes">
        {[...facts, ...Object.entries(alert.labels)].map(([name, text]) => (
          <div key={name}>
            <dt className="muted foreign">{name}</dt>
            <dd>
              <span className="foreign">{text}</span>
            </dd>
          </div>
        ))}
      </dl>
    </Panel>
  )
}

/** The traces of what the problem is about, in its time; failed ones if it is about failures. */
function TracesLink({ view, children }: { view: Problem; children: ReactNode }) {
  const { service, operation, environment } = view.alert.labels
  const status = view.alert.measure === "error_rate" ? "error" : undefined
  return (
    <Link to="/traces" search={{ ...windowOf(view), env: environment, service, operation, status }}>
      {children}
    </Link>
  )
}

function Places({ view }: { view: Problem }) {
  const { alert } = view
  const { service, operation, transaction } = alert.labels
  const transactions = useTouched(alert.id)
  // What comes in from outside is a transaction of its own, named so.
  const automatic = service && operation && `${service}: ${operation}`
  return (
    <ul className="examples">
      {transaction ? (
        <TransactionLinks view={view} name={transaction} />
      ) : (
        automatic && <TransactionLinks view={view} name={automatic} isGuess />
      )}
      {service && (
        <>
          <li className="foreign">
            <TracesLink view={view}>
              Traces of {service} {operation}
            </TracesLink>
          </li>
          <li className="foreign">
            <Link to="/services/$name" params={{ name: service }} search={windowOf(view, USE_MS)}>
              Resources of {service}
            </Link>
          </li>
        </>
      )}
      <FindingsOf service={service} operation={operation} transactions={transactions} since={firstSeen(view)} />
      {alert.examples.map((trace, index) => (
        <li key={trace}>
          <Link to="/traces/$id" params={{ id: trace }}>
            Example {index + 1}
          </Link>
        </li>
      ))}
      {!transaction && !service && !alert.examples.length && (
        <li className="muted">It names no service and no transaction.</li>
      )}
    </ul>
  )
}

/** The transaction in the problem's time, and why it is slow or fails since it last changed.
 * `isGuess`: there may be none. */
function TransactionLinks({ view, name, isGuess }: { view: Problem; name: string; isGuess?: boolean }) {
  const { start, end } = windowOf(view)
  const env = view.alert.labels.environment
  const { data: id } = useQuery({
    ...transactionNamed(name, { environment: env, start, end: end ?? "now" }),
    enabled: useIsCostKnown(view.alert.id),
  })
  const text = `Transaction ${name}`
  if (!id) {
    if (isGuess) return null
    return (
      <li className="foreign">
        <Link to="/" search={{ start, end, env, q: name }}>
          {text}
        </Link>
      </li>
    )
  }
  return (
    <>
      <li className="foreign">
        <Link to="/transactions/$id" params={{ id }} search={{ start, end, env }}>
          {text}
        </Link>
      </li>
      <li>
        <Link to="/transactions/$id" params={{ id }} search={{ end, env, tab: "why" }}>
          Why, since its last change
        </Link>
      </li>
    </>
  )
}

function Group({ view, source }: { view: Problem; source: Source }) {
  const { alert, members } = view
  const isCause = alert.group === alert.id
  const columns: Column<Alert>[] = [
    { name: "state", head: "State", cell: (one) => <StateMark alert={one} /> },
    {
      name: "headline",
      head: "What is wrong",
      cell: (one) => (
        <Link to="/problems/$id" params={{ id: one.id }} className="one-line cell-headline" title={one.headline} data-row>
          {one.headline || one.rule}
        </Link>
      ),
    },
    { name: "cause", head: "", cell: (one) => (one.id === alert.group ? "the cause" : "") },
    { name: "since", head: "Since", cell: (one) => <Since time={one.since} /> },
  ]
  const first = [...members].sort((a, b) => Number(b.id === alert.group) - Number(a.id === alert.group))
  return (
    <Panel
      title={isCause ? "Because of it" : "With the same cause"}
      note="they are not told by themselves"
      source={source}
    >
      <Table name="Group" columns={isCause ? columns.filter(({ name }) => name !== "cause") : columns} rows={first} id={(one) => one.id} />
    </Panel>
  )
}

type Change = Problem["history"][number]

function History({ view, source }: { view: Problem; source: Source }) {
  const columns: Column<Change>[] = [
    { name: "time", head: "When", cell: (change) => <Since time={change.time} /> },
    { name: "state", head: "State", cell: (change) => STATE_NAMES[change.state] },
    {
      name: "value",
      head: "Value",
      align: "end",
      cell: (change) => valueText(change.value, view.alert.unit),
    },
    { name: "episode", head: "Episode", align: "end", cell: (change) => <span className="muted">{count(change.episode)}</span> },
  ]
  return (
    <Panel title="History" note="newest first" source={source}>
      {view.history.length ? (
        <Table name="History" columns={columns} rows={view.history} id={(change) => `${change.time} ${change.state}`} />
      ) : (
        <Empty>Its state has not changed in 90 days.</Empty>
      )}
    </Panel>
  )
}

type Notification = Problem["notifications"][number]

function Told({ view, source }: { view: Problem; source: Source }) {
  const columns: Column<Notification>[] = [
    { name: "time", head: "When", cell: (one) => <Since time={one.time} /> },
    { name: "receiver", head: "Receiver", cell: (one) => <span className="one-line cell-name">{one.receiver}</span> },
    { name: "what", head: "What", narrow: "hide", cell: (one) => one.transition },
    { name: "state", head: "State", cell: (one) => <span className={TONES[one.state]}>{one.state}</span> },
    { name: "attempts", head: "Attempts", align: "end", narrow: "hide", cell: (one) => <span className="muted">{count(one.attempts)}</span> },
    {
      name: "error",
      head: "Error",
      cell: (one) => (
        <span className="one-line cell-name" title={one.error}>
          {one.error}
        </span>
      ),
    },
  ]
  return (
    <Panel title="Who was told" note="newest first" source={source}>
      {view.notifications.length ? (
        <Table name="Who was told" columns={columns} rows={view.notifications} id={(one) => one.key} />
      ) : (
        <Empty>Nobody: {whyNobody(view)}</Empty>
      )}
    </Panel>
  )
}

function whyNobody({ alert }: Problem): string {
  if (alert.group !== alert.id) return "another problem stands for it."
  if (alert.silenced_by) return "it is silenced."
  if (!alert.episode) return "it has not opened yet."
  return "no receiver is named for it."
}

const SAID: Record<Schemas["Note"]["kind"], string> = { acknowledged: "took it", useful: "said it was useful", noise: "said it was noise", accepted: "said it is usual from now on" }

function Notes({ notes, source }: { notes: readonly Schemas["Note"][]; source: Source }) {
  return (
    <Panel title="What people said" note="newest first" source={source}>
      <ul className="said">
        {notes.map((note) => (
          <li key={`${note.episode} ${note.kind}`} className="foreign">
            <Since time={note.time} /> {note.author || "somebody"} {SAID[note.kind]}
            {note.text && `: ${note.text}`} <span className="muted">episode {note.episode}</span>
          </li>
        ))}
      </ul>
    </Panel>
  )
}
