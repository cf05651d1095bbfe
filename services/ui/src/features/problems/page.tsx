// What is wrong now, and what was wrong before.
import { getRouteApi } from "@tanstack/react-router"

import { ALERT_COLUMNS } from "~/features/problems/alerts"
import { listed, listQuery, PATH } from "~/features/problems/queries"
import { SEVERITIES, type Search } from "~/features/problems/search"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { Table } from "~/parts/table"
import { count } from "~/view/format"
import { useLive, useView } from "~/view/view"

const route = getRouteApi("/problems")

export function ProblemsPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { env } = useView()
  const { data, error, refetch } = useLive(listed(env, search))
  const set = (next: Partial<Search>) =>
    void navigate({ search: (current) => ({ ...current, ...next }) })
  const alerts = data?.alerts ?? []
  return (
    <div className="page">
      <div className="page-head">
        <h1>Problems</h1>
      </div>
      <Filters search={search} set={set} />
      <Panel
        title="Problems"
        source={{ path: PATH, query: listQuery(env, search) }}
        note={alerts.length ? `${count(alerts.length)}${data?.next_cursor ? " or more" : ""}` : ""}
      >
        {error && !data ? (
          <Failure error={error} again={() => void refetch()} />
        ) : !data ? (
          <Loading rows={8} name="problems" />
        ) : alerts.length ? (
          <Table
            name="Problems"
            columns={ALERT_COLUMNS}
            rows={alerts}
            id={(alert) => alert.id}
            order={search.sort ?? "state"}
            onOrder={(sort) => set({ sort: sort === "state" ? undefined : sort })}
          />
        ) : (
          <Empty>Nothing is wrong that a rule knows of.</Empty>
        )}
      </Panel>
    </div>
  )
}

function Filters({ search, set }: { search: Search; set: (next: Partial<Search>) => void }) {
  return (
    <div className="controls">
      <label className="field">
        Severity
        <select
          value={search.severity ?? ""}
          onChange={({ target }) =>
            set({ severity: SEVERITIES.find((severity) => severity === target.value) })
          }
        >
          <option value="">any</option>
          {SEVERITIES.map((severity) => (
            <option key={severity} value={severity}>
              {severity}
            </option>
          ))}
        </select>
      </label>
      <button
        type="button"
        className="button"
        aria-pressed={search.show === "all"}
        onClick={() => set({ show: search.show ? undefined : "all" })}
      >
        Those that are over too
      </button>
    </div>
  )
}
