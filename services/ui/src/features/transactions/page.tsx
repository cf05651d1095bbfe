// The list of business transactions, worst first.
import { Link, getRouteApi } from "@tanstack/react-router"
import { useMemo } from "react"

import type { Schemas } from "~/api/client"
import { FirstRun } from "~/features/start/first-run"
import { listOptions, listQuery, PATH } from "~/features/transactions/queries"
import { BASELINES, type Baseline } from "~/features/transactions/search"
import { Heading } from "~/parts/heading"
import { SearchField } from "~/parts/search-field"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { Sparkline } from "~/parts/sparkline"
import { Status, type StatusName } from "~/parts/status"
import { type Column, Table } from "~/parts/table"
import { budgetLeft, change, count, duration, money, percent, rate } from "~/view/format"
import { LIVE_MS, useLive, useView } from "~/view/view"

const route = getRouteApi("/")

type Transaction = Schemas["Transaction"]

const NAMES: Record<Baseline, string> = {
  before: "the time before",
  "-1h": "an hour ago",
  "-24h": "a day ago",
  "-7d": "a week ago",
}
const WORSE = 0.5 // a change of p95 by half is worth a mark
const SOME_ERRORS = 0.01
const EMPTY_MS = 2000

export function TransactionsPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { window } = useView()
  const { live } = useView()
  const { data, error, isPending, isPlaceholderData, refetch } = useLive({
    ...listOptions(window, search),
    // Until the first transaction comes, it is waited for.
    refetchInterval: ({ state }) =>
      state.data && !state.data.transactions.length ? EMPTY_MS : live ? LIVE_MS : false,
  })
  const set = (next: Partial<typeof search>) =>
    void navigate({ search: (current) => ({ ...current, ...next }), replace: "q" in next })
  const source = { path: PATH, query: listQuery(window, search) }
  const columns = useMemo(() => columnsOf(data?.transactions ?? []), [data])

  if (error && !data) {
    return (
      <div className="page">
        <Failure error={error} again={() => void refetch()} />
      </div>
    )
  }
  // What is shown until the answer comes may be of another filter.
  const isFirst =
    data && !isPlaceholderData && !data.transactions.length && !search.q && !window.environment
  if (isFirst) return <FirstRun />
  return (
    <div className="page">
      <div className="page-head">
        <Heading text="Business transactions" />
      </div>
      <div className="controls">
        <SearchField value={search.q} onChange={(q) => set({ q })} name="Filter transactions" />
        <label className="field">
          compared with
          <select
            value={search.vs ?? "before"}
            onChange={(event) => set({ vs: chosenBaseline(event.target.value) })}
          >
            {BASELINES.map((name) => (
              <option key={name} value={name}>
                {NAMES[name]}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Panel title="Transactions" source={source} note="worst first: time, errors and value lost">
        {isPending ? (
          <Loading rows={8} name="transactions" />
        ) : data?.transactions.length ? (
          <Table
            name="Transactions"
            columns={columns}
            rows={data.transactions}
            id={(row) => row.id}
            order={search.sort ?? "impact"}
            onOrder={(sort) => set({ sort: sort === "impact" ? undefined : sort })}
          />
        ) : (
          <Empty>No transaction has “{search.q}” in its name.</Empty>
        )}
      </Panel>
    </div>
  )
}

/** The first is compared with anyway, and does not stand in the URL. */
const chosenBaseline = (name: string) => (name === BASELINES[0] ? undefined : (name as Baseline))

function columnsOf(rows: readonly Transaction[]): Column<Transaction>[] {
  const columns: (Column<Transaction> | false)[] = [
    { name: "status", head: <span className="hidden">Status</span>, cell: (row) => <Mark row={row} /> },
    {
      name: "name",
      head: "Name",
      sort: "name",
      cell: (row) => (
        <Link
          to="/transactions/$id"
          params={{ id: row.id }}
          className="one-line cell-name"
          title={row.name}
          data-row
        >
          {row.name}
        </Link>
      ),
    },
    {
      name: "rate",
      head: "Rate",
      align: "end",
      sort: "count",
      cell: (row) => (
        <span className="with-line">
          <Occurrences row={row}>{rate(row.per_second)}</Occurrences>
          {row.series && <Sparkline values={row.series.per_second} name="Rate over time" />}
        </span>
      ),
    },
    { name: "p50", head: "p50", align: "end", sort: "p50", narrow: "hide", cell: (row) => <Slower row={row} than={row.duration_ms.p50} /> },
    {
      name: "p95",
      head: "p95",
      align: "end",
      sort: "p95",
      cell: (row) => (
        <span className="with-line">
          <Slower row={row} than={row.duration_ms.p95} />
          {row.series && <Sparkline values={row.series.p95} name="p95 over time" />}
        </span>
      ),
    },
    {
      name: "change",
      head: "Change of p95",
      align: "end",
      sort: "change",
      narrow: "hide",
      cell: (row) => <Change row={row} />,
    },
    {
      name: "errors",
      head: "Errors",
      align: "end",
      sort: "error_rate",
      cell: (row) =>
        row.errors ? (
          <span className="with-line">
            <Occurrences row={row} status="error">
              {percent(row.error_rate)}
            </Occurrences>
            {row.series && (
              <Sparkline values={row.series.error_rate} name="Errors over time" tone="error" />
            )}
          </span>
        ) : (
          <span className="muted">0 %</span>
        ),
    },
    rows.some((row) => row.value) && {
      name: "lost",
      head: "Value lost",
      align: "end",
      narrow: "hide",
      sort: "value_lost",
      cell: (row) =>
        row.value?.lost ? (
          <Occurrences row={row} status="error" sort="value">
            {money(row.value.lost)}
          </Occurrences>
        ) : (
          ""
        ),
    },
    rows.some((row) => row.slo) && {
      name: "slo",
      head: "SLO",
      align: "end",
      narrow: "hide",
      cell: (row) => (row.slo ? <Slo slo={row.slo} /> : ""),
    },
    {
      name: "count",
      head: "Count",
      align: "end",
      narrow: "hide",
      cell: (row) => <Occurrences row={row}>{count(row.count)}</Occurrences>,
    },
  ]
  return columns.filter((column) => column !== false)
}

type OccurrencesProps = { row: Transaction; status?: "error"; min?: number | null; sort?: string; children: string }

/** A number that opens the occurrences behind it. `min`: milliseconds. */
function Occurrences({ row, status, min, sort, children }: OccurrencesProps) {
  return (
    <Link
      to="/transactions/$id"
      params={{ id: row.id }}
      search={{ tab: "occurrences", outcome: status, min: min ?? undefined, sort }}
      className={status === "error" ? "number error" : "number"}
    >
      {children}
    </Link>
  )
}

function Slower({ row, than }: { row: Transaction; than: number | null }) {
  return (
    <Occurrences row={row} min={than} sort="duration">
      {duration(than)}
    </Occurrences>
  )
}

function Mark({ row }: { row: Transaction }) {
  const [status, name] = judged(row)
  return <Status status={status} name={name} />
}

function judged(row: Transaction): [StatusName, string] {
  if (row.slo && row.slo.error_budget_left < 0) return ["error", "its error budget is spent"]
  if (row.error_rate >= SOME_ERRORS) return ["warn", "it has errors"]
  return ["ok", "ok"]
}

function Change({ row }: { row: Transaction }) {
  const share = row.change?.p95
  const isWorse = typeof share === "number" && share >= WORSE
  return <span className={isWorse ? "error" : "muted"}>{change(share)}</span>
}

function Slo({ slo }: { slo: NonNullable<Transaction["slo"]> }) {
  return <span className={slo.error_budget_left < 0 ? "error" : ""}>{budgetLeft(slo.error_budget_left)}</span>
}
