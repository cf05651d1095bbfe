// How many occurrences reached each step, and what was lost on the way.
import { useQuery } from "@tanstack/react-query"
import { getRouteApi } from "@tanstack/react-router"

import type { PartProps } from "~/features/transaction/page"
import { funnel, pathOf } from "~/features/transaction/queries"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading, Part } from "~/parts/states"
import { count, duration, money, percent } from "~/view/format"
import { useView } from "~/view/view"

const { Link } = getRouteApi("/transactions/$id")

export function Funnel({ id }: PartProps) {
  const { window } = useView()
  const { data, error, isPending, refetch } = useQuery(funnel(id, window))
  const most = Math.max(1, ...(data?.steps ?? []).map((step) => step.reached))
  return (
    <Panel title="Funnel" source={{ path: `${pathOf(id)}/funnel`, query: window }} note="occurrences that reached each step">
      <Part answer={data} />
      {isPending ? (
        <Loading rows={4} name="the funnel" />
      ) : error ? (
        <Failure error={error} again={() => void refetch()} />
      ) : data.steps.length ? (
        <ol className="funnel">
          {data.steps.map((step) => (
            <li key={step.name}>
              <span className="strong one-line">{step.name}</span>
              <span className="end">
                {step === data.steps[0] ? (
                  <Link to="." search={(search) => ({ ...search, tab: "occurrences" })}>
                    {count(step.reached)}
                  </Link>
                ) : (
                  count(step.reached)
                )}
              </span>
              <svg className="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden>
                <rect width={(step.reached / most) * 100} height="8" />
              </svg>
              <span className="muted">
                {step.drop_off > 0 ? `${percent(step.drop_off)} did not come this far. ` : ""}
                {step.from_previous_ms ? `p50 ${duration(step.from_previous_ms.p50)} from the step before. ` : ""}
                {step.errors ? (
                  <Link
                    to="."
                    search={(search) => ({ ...search, tab: "occurrences", outcome: "error" })}
                    className="error"
                  >
                    ✕ {count(step.errors)} ended here in an error, {money(step.lost_value)} lost.
                  </Link>
                ) : null}
              </span>
            </li>
          ))}
        </ol>
      ) : (
        <Empty>Its definition has no steps.</Empty>
      )}
    </Panel>
  )
}
