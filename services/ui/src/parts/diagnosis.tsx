// Why something became slow or fails: the causes that a diagnosis names, or why it names none.
import { queryOptions, useQuery } from "@tanstack/react-query"

import { client, read, type Schemas } from "~/api/client"
import { CauseItem } from "~/parts/cause"
import { Panel } from "~/parts/panel"
import { rankOf, serviceRanks } from "~/parts/service"
import { Empty, Failure, Loading } from "~/parts/states"
import { count, digits, money, moneyBetween, percent } from "~/view/format"
import { clock } from "~/view/time"

const PATH = "/api/v1/diagnose"
const SHOWN = 3
const MIN_APDEX = 0.01 // by which it fell, if it is said

/** What is asked: a transaction in a window, or an alert. */
export type Question = { transaction?: string; alert?: string; environment?: string; start?: string; end?: string }

// It is asked once: an answer costs more than those of other panels, and what it explains is over.
const diagnosis = (question: Question) =>
  queryOptions({
    queryKey: ["diagnosis", question],
    meta: { name: "the diagnosis" },
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: ({ signal }) => read(client.GET(PATH, { params: { query: question }, signal })),
  })

/** `isAsked`: whether it is time to ask. */
export function Diagnosis({ question, isAsked = true }: { question: Question; isAsked?: boolean }) {
  const { data, error, isPending, refetch } = useQuery({ ...diagnosis(question), enabled: isAsked })
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
        <Answer answer={data} again={() => void refetch()} />
      )}
    </Panel>
  )
}

function Answer({ answer, again }: { answer: Schemas["Diagnosis"]; again: () => void }) {
  const ranks = serviceRanks(answer.causes.map((cause) => cause.service))
  return (
    <>
      {answer.window_because && <p className="muted foreign">{answer.window_because}</p>}
      {answer.impact && <p className="muted">{impactText(answer.impact)}</p>}
      {answer.none_because && (
        <>
          <Empty>No cause: {answer.none_because}.</Empty>
          <button type="button" className="button" onClick={again}>
            Ask again
          </button>
        </>
      )}
      <ol className="why causes">
        {answer.causes.slice(0, SHOWN).map((cause) => (
          <CauseItem key={cause.service} cause={cause} rank={rankOf(ranks, cause.service)} window={answer.window} />
        ))}
      </ol>
    </>
  )
}

function impactText({ traces, failed, apdex, users, value, budget_share: budget }: Schemas["Impact"]): string {
  const parts = [`${count(traces)} traces`]
  if (failed.lower > 0) parts.push(`${count(Math.round(failed.value))} more failed than usual`)
  if (apdex.before !== null && apdex.after !== null && apdex.before - apdex.after >= MIN_APDEX) {
    parts.push(`Apdex ${digits(apdex.before)} before, ${digits(apdex.after)} now`)
  }
  if (users && users.excess >= 1) {
    parts.push(`${count(Math.round(users.excess))} of ${count(users.touched)} users worse off than usual`)
  }
  if (value && value.lost > 0) parts.push(`value lost ${moneyBetween(value.lost, value.lost_lower, value.lost_upper)}`)
  if (value && value.at_risk > 0) parts.push(`value at risk ${money(value.at_risk)}`)
  if (budget) parts.push(`${percent(budget)} of the month's error budget`)
  return parts.join(" · ")
}
