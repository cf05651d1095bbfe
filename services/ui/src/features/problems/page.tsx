// What is wrong: open problems first, those with one cause folded below what stands for them.
import { getRouteApi, Link } from "@tanstack/react-router"
import { useMemo } from "react"

import { NoProblems } from "~/features/problems/first-rule"
import { listOptions, listQuery, PATH, status } from "~/features/problems/queries"
import { contains, type Row, rowsOf } from "~/features/problems/rows"
import { readSearch, type Search } from "~/features/problems/search"
import { About, handledText, isOpen, StateMark, unwatchedText, valueText } from "~/features/problems/texts"
import { Heading } from "~/parts/heading"
import { Panel } from "~/parts/panel"
import { SearchField } from "~/parts/search-field"
import { type ServiceRanks, serviceRanks } from "~/parts/service"
import { Since } from "~/parts/since"
import { Empty, Failure, Loading } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { useKey } from "~/shell/keys"
import { count } from "~/view/format"
import { useLive, useView } from "~/view/view"

const route = getRouteApi("/problems")

export function ProblemsPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { env } = useView()
  const { data, error, isPending, isPlaceholderData, refetch } = useLive(listOptions(env, search))
  const set = (next: Partial<Search>) =>
    void navigate({ search: (current) => ({ ...current, ...next }), replace: "q" in next })
  const opened = useMemo(() => new Set(search.opened?.split(",")), [search.opened])
  const alerts = useMemo(
    () => data?.alerts.filter((alert) => !search.q || contains(alert, search.q)) ?? [],
    [data, search.q],
  )
  const rows = useMemo(() => rowsOf(alerts, opened), [alerts, opened])
  const toggle = (id: string) => {
    const next = new Set(opened)
    if (!next.delete(id)) next.add(id)
    set({ opened: [...next].join(",") || undefined })
  }
  useKey("o", () => {
    const row = document.activeElement?.closest("tr")
    row?.querySelector<HTMLElement>("[data-fold]")?.click()
  })

  const isFiltered = Boolean(search.q ?? search.state ?? search.severity ?? env)
  if (data && !isPlaceholderData && !data.alerts.length && !isFiltered) {
    return (
      <div className="page">
        <Heading text="Problems" />
        <Wellness />
        <NoProblems />
      </div>
    )
  }
  return (
    <div className="page">
      <div className="page-head">
        <Heading text="Problems" />
      </div>
      <Wellness />
      <Filters search={search} set={set} />
      <Panel
        title="Problems"
        source={{ path: PATH, query: listQuery(env, search) }}
        note={data && note(rows, Boolean(data.next_cursor), data.alerts.length)}
      >
        {error && !data ? (
          <Failure error={error} again={() => void refetch()} />
        ) : isPending ? (
          <Loading rows={8} name="problems" />
        ) : rows.length ? (
          <Table
            name="Problems"
            columns={columnsOf(rows, toggle)}
            rows={rows}
            id={({ alert }) => alert.id}
            order={search.sort ?? "state"}
            onOrder={(sort) => set({ sort: sort === "state" ? undefined : sort })}
          />
        ) : (
          <Empty>No problem is like that.</Empty>
        )}
      </Panel>
    </div>
  )
}

/** What keeps clew from judging and telling, if anything does, and what it does not watch. */
function Wellness() {
  const { data } = useLive(status)
  if (!data) return null
  return (
    <>
      {data.problems.length > 0 && (
        <p role="status" className="warn foreign">
          Alerts are not judged or told as they should be: {data.problems.join("; ")}.
        </p>
      )}
      {data.watched && data.watched.unwatched > 0 && <p className="muted">{unwatchedText(data.watched)}</p>}
    </>
  )
}

function note(rows: readonly Row[], hasMore: boolean, limit: number): string {
  const open = rows.filter((row) => row.depth === 0 && isOpen(row.alert)).length
  return `${count(open)} open${hasMore ? `; the first ${count(limit)} are shown: filter for others` : ""}`
}

function Filters({ search, set }: { search: Search; set: (next: Partial<Search>) => void }) {
  const change = (name: "state" | "severity", value: string) =>
    set({ [name]: readSearch({ [name]: value })[name] })
  return (
    <div className="controls">
      <SearchField value={search.q} onChange={(q) => set({ q })} name="Filter problems" />
      <select value={search.state ?? ""} aria-label="State" onChange={(event) => change("state", event.target.value)}>
        <option value="">any state</option>
        <option value="open">open</option>
        <option value="pending">about to open</option>
        <option value="over">over</option>
      </select>
      <select
        value={search.severity ?? ""}
        aria-label="Severity"
        onChange={(event) => change("severity", event.target.value)}
      >
        <option value="">any severity</option>
        <option value="page">page</option>
        <option value="ticket">ticket</option>
        <option value="info">info</option>
      </select>
    </div>
  )
}

function columnsOf(rows: readonly Row[], toggle: (id: string) => void): Column<Row>[] {
  const ranks: ServiceRanks = serviceRanks(rows.map(({ alert }) => alert.labels.service ?? "").filter(Boolean))
  return [
    { name: "state", head: "State", sort: "state", cell: ({ alert }) => <StateMark alert={alert} /> },
    {
      name: "severity",
      head: "Severity",
      sort: "severity",
      narrow: "hide",
      cell: ({ alert }) => <span className={alert.severity === "page" ? "" : "muted"}>{alert.severity}</span>,
    },
    { name: "headline", head: "What is wrong", cell: (row) => <Headline row={row} toggle={toggle} /> },
    {
      name: "value",
      head: "Value",
      align: "end",
      narrow: "hide",
      cell: ({ alert }) => (
        <Link to="/problems/$id" params={{ id: alert.id }} className="number">
          {valueText(alert.value, alert.unit)}
        </Link>
      ),
    },
    {
      name: "expected",
      head: "Expected",
      align: "end",
      narrow: "hide",
      cell: ({ alert }) => <span className="muted">{valueText(alert.expected, alert.unit)}</span>,
    },
    { name: "about", head: "About", narrow: "hide", cell: ({ alert }) => <About alert={alert} ranks={ranks} /> },
    { name: "since", head: "Since", sort: "since", cell: ({ alert }) => <Since time={alert.since} /> },
    {
      name: "handled",
      head: "Handled",
      narrow: "hide",
      cell: ({ alert }) => <span className="one-line muted">{handledText(alert)}</span>,
    },
  ]
}

function Headline({ row, toggle }: { row: Row; toggle: (id: string) => void }) {
  const { alert, members, depth, isOpen } = row
  return (
    <span className={depth ? "headline below" : "headline"}>
      <Link
        to="/problems/$id"
        params={{ id: alert.id }}
        className="one-line cell-headline"
        title={alert.headline}
        data-row
      >
        {alert.headline || alert.rule}
      </Link>
      {members > 0 && (
        <button
          type="button"
          className="button quiet"
          data-fold
          aria-expanded={isOpen}
          onClick={() => toggle(alert.id)}
        >
          <span aria-hidden>{isOpen ? "▾" : "▸"}</span> {members} more
          <span className="hidden"> because of {alert.headline}</span>
        </button>
      )}
    </span>
  )
}
