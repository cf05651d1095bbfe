// What is slow every day, the most expensive first.
import { getRouteApi, Link } from "@tanstack/react-router"
import { useMemo } from "react"

import { type Finding, listOptions, listQuery, PATH } from "~/features/findings/queries"
import { readSearch, type Search } from "~/features/findings/search"
import { contains, perDayText, savedText, StateMark } from "~/features/findings/texts"
import { Heading } from "~/parts/heading"
import { Panel } from "~/parts/panel"
import { SearchField } from "~/parts/search-field"
import { rankOf, Service, serviceRanks } from "~/parts/service"
import { Empty, Failure, Loading } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { count, money, percent } from "~/view/format"
import { useLive, useView } from "~/view/view"

const route = getRouteApi("/findings")

export function FindingsPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { env } = useView()
  const { data, error, isPending, refetch } = useLive(listOptions(env, search))
  const set = (next: Partial<Search>) =>
    void navigate({ search: (current) => ({ ...current, ...next }), replace: "q" in next })
  const rows = useMemo(
    () => data?.findings.filter((finding) => !search.q || contains(finding, search.q)) ?? [],
    [data, search.q],
  )
  const isFiltered = Boolean(search.q ?? search.state ?? env)
  return (
    <div className="page">
      <div className="page-head">
        <Heading text="Findings" />
      </div>
      <div className="controls">
        <SearchField value={search.q} onChange={(q) => set({ q })} name="Filter findings" />
        <select
          value={search.state ?? ""}
          aria-label="State"
          onChange={(event) => set({ state: readSearch({ state: event.target.value }).state })}
        >
          <option value="">to do</option>
          <option value="ignored">ignored</option>
          <option value="resolved">resolved</option>
          <option value="all">any state</option>
        </select>
      </div>
      <Panel
        title="Slow every day"
        source={{ path: PATH, query: listQuery(env, search) }}
        note={data && `${count(rows.length)}${data.next_cursor ? " of more: filter for others" : ""}`}
      >
        {data?.failed_rules.map((failed) => (
          <Empty key={failed.rule}>
            The rule {failed.rule} did not run: {failed.error}
          </Empty>
        ))}
        {error && !data ? (
          <Failure error={error} again={() => void refetch()} />
        ) : isPending ? (
          <Loading rows={8} name="findings" />
        ) : rows.length ? (
          <Table
            name="Findings"
            columns={columnsOf(rows)}
            rows={rows}
            id={(finding) => finding.id}
            order={search.sort ?? "cost"}
            onOrder={(sort) => set({ sort: sort === "cost" ? undefined : sort })}
          />
        ) : (
          <Empty>
            {isFiltered
              ? "No finding is like that."
              : "Nothing is slow every day that a rule knows of. Rules look at the traces of the last hour every few minutes."}
          </Empty>
        )}
      </Panel>
    </div>
  )
}

function columnsOf(rows: readonly Finding[]): Column<Finding>[] {
  const ranks = serviceRanks(rows.map((finding) => finding.service))
  return [
    { name: "state", head: "State", narrow: "hide", cell: (finding) => <StateMark state={finding.state} /> },
    {
      name: "rule",
      head: "What",
      sort: "rule",
      cell: (finding) => (
        <Link to="/findings/$id" params={{ id: finding.id }} className="one-line" data-row>
          {finding.title}
        </Link>
      ),
    },
    {
      name: "where",
      head: "Where",
      cell: (finding) => (
        <span className="about">
          <Service name={finding.service} rank={rankOf(ranks, finding.service)} />
          <span className="one-line">{finding.operation}</span>
        </span>
      ),
    },
    {
      name: "subject",
      head: "About",
      narrow: "hide",
      cell: (finding) => (
        <span className="one-line cell-headline muted" title={finding.subject}>
          {finding.subject}
        </span>
      ),
    },
    {
      name: "saved",
      head: "Saves a trace",
      align: "end",
      narrow: "hide",
      sort: "saved_ms",
      cell: (finding) => (
        <Link to="/findings/$id" params={{ id: finding.id }} className="number">
          {savedText(finding.saved_ms)}
        </Link>
      ),
    },
    {
      name: "cost",
      head: "Saves a day",
      align: "end",
      sort: "cost",
      cell: (finding) => perDayText(finding.per_day_s),
    },
    {
      name: "p95",
      head: "of p95",
      align: "end",
      narrow: "hide",
      cell: (finding) => (finding.saved_ms > 0 ? percent(finding.p95_share) : "–"),
    },
    {
      name: "value",
      head: "Worth a day",
      align: "end",
      narrow: "hide",
      sort: "value",
      cell: (finding) => (finding.value === null ? "–" : money(finding.value)),
    },
  ]
}
