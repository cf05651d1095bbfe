// How many occurrences reached each step, and what was lost on the way.
import { useQuery } from "@tanstack/react-query"

import { Of } from "~/features/transaction/of"
import type { PartProps } from "~/features/transaction/page"
import { funnel, pathOf } from "~/features/transaction/queries"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { count, duration, money, percent } from "~/view/format"
import { useView } from "~/view/view"

export function Funnel({ id }: PartProps) {
  const { window } = useView()
  const { data, error, isPending, refetch } = useQuery(funnel(id, window))
  const most = Math.max(1, ...(data?.steps ?? []).map((step) => step.reached))
  return (
    <Panel title="Funnel" source={{ path: `${pathOf(id)}/funnel`, query: window }} note="occurrences that reached each step">
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
                <Of chosen={{ reached: step.name }}>{count(step.reached)}</Of>
              </span>
              <svg className="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden>
                <rect width={(step.reached / most) * 100} height="8" />
              </svg>
              <span className="muted">
                {step.drop_off > 0 ? `${percent(step.drop_off)} did not come this far. ` : ""}
                {step.from_previous_ms ? `p50 ${duration(step.from_previous_ms.p50)} from the step before. ` : ""}
                {step.errors ? (
                  <Of chosen={{ last_step: step.name, outcome: "error" }}>
                    ✕ {count(step.errors)} ended here in an error, {money(step.lost_value)} lost.
                  </Of>
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
