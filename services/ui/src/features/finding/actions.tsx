// What becomes of a finding: reviewed, ignored for a reason, resolved, open again.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { useState } from "react"

import { setup } from "~/api/setup"
import { changeState, type Finding } from "~/features/finding/queries"
import { Empty, Failure } from "~/parts/states"

const CHANGES = [
  ["reviewed", "Reviewed"],
  ["ignored", "Ignore"],
  ["resolved", "Resolved"],
  ["open", "Open again"],
] as const

export function Actions({ finding }: { finding: Finding }) {
  const scopes = useQuery(setup).data?.scopes
  const queries = useQueryClient()
  const [reason, setReason] = useState("")
  const { mutate, error, isPending } = useMutation({
    mutationFn: (state: Finding["state"]) => changeState(finding.id, state, reason),
    onSuccess: () => {
      setReason("")
      return Promise.all(["finding", "findings"].map((name) => queries.invalidateQueries({ queryKey: [name] })))
    },
  })
  if (!scopes) return null
  if (!scopes.includes("operate")) {
    return <Empty>Your key can only read: what one does here needs the scope operate.</Empty>
  }
  return (
    <div className="actions">
      <input
        value={reason}
        maxLength={1000}
        placeholder="why; needed to ignore it"
        aria-label="Why"
        onChange={(event) => setReason(event.target.value)}
      />
      <div className="controls">
        {CHANGES.filter(([state]) => state !== finding.state).map(([state, name]) => (
          <button key={state} type="button" className="button" disabled={isPending} onClick={() => mutate(state)}>
            {name}
          </button>
        ))}
      </div>
      {error && <Failure error={error} />}
    </div>
  )
}
