// What one can do about a problem: take it, say whether it was worth it, silence it for a time.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { useState } from "react"

import { setup } from "~/api/setup"
import { accept, acknowledge, endSilence, feedback, silence } from "~/features/problem/queries"
import type { Alert } from "~/features/problems/rows"
import { Empty, Failure } from "~/parts/states"

const LENGTHS = [
  ["1h", "1 hour"],
  ["4h", "4 hours"],
  ["1d", "1 day"],
] as const

export function Actions({ alert }: { alert: Alert }) {
  const scopes = useQuery(setup).data?.scopes
  const queries = useQueryClient()
  const [text, setText] = useState("")
  const { mutate, error, isPending } = useMutation<unknown, Error, () => Promise<unknown>>({
    mutationFn: (act) => act(),
    onSuccess: () => {
      setText("")
      return Promise.all(["problem", "problems"].map((name) => queries.invalidateQueries({ queryKey: [name] })))
    },
  })
  if (!scopes) return null
  if (!scopes.includes("operate")) {
    return <Empty>Your key can only read: what one does here needs the scope operate.</Empty>
  }
  const hasFired = alert.episode > 0
  const isTaken = alert.acknowledged_by !== null
  const { silenced_by: silencedBy } = alert
  return (
    <div className="actions">
      <input
        value={text}
        maxLength={1000}
        placeholder="a note, or why"
        aria-label="A note, or why"
        onChange={(event) => setText(event.target.value)}
      />
      {hasFired && (
        <div className="controls">
          <button
            type="button"
            className="button"
            aria-pressed={isTaken}
            disabled={isPending}
            onClick={() => mutate(() => acknowledge(alert.id, text))}
          >
            Acknowledge
          </button>
          <button type="button" className="button" disabled={isPending} onClick={() => mutate(() => feedback(alert.id, true, text))}>
            Useful
          </button>
          <button type="button" className="button" disabled={isPending} onClick={() => mutate(() => feedback(alert.id, false, text))}>
            Noise
          </button>
          <button
            type="button"
            className="button"
            title="The change is meant to stay: from its begin on it counts as usual."
            disabled={isPending}
            onClick={() => mutate(() => accept(alert.id, text))}
          >
            Usual from now on
          </button>
        </div>
      )}
      <div className="controls">
        {silencedBy === "maintenance" ? (
          <span className="muted">A maintenance window silences it.</span>
        ) : silencedBy ? (
          <button type="button" className="button" disabled={isPending} onClick={() => mutate(() => endSilence(silencedBy))}>
            End the silence
          </button>
        ) : (
          <>
            <span className="muted">Silence for</span>
            {LENGTHS.map(([length, name]) => (
              <button
                key={length}
                type="button"
                className="button"
                aria-label={`Silence for ${name}`}
                disabled={isPending}
                onClick={() => mutate(() => silence(alert, length, text.trim() || "silenced on its page"))}
              >
                {name}
              </button>
            ))}
          </>
        )}
      </div>
      {error && <Failure error={error} />}
    </div>
  )
}
