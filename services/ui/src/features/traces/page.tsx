// The search of traces: what every number of the other pages opens.
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query"
import { getRouteApi, Link } from "@tanstack/react-router"
import { type FormEvent, useMemo } from "react"

import type { Schemas } from "~/api/client"
import { found, PATH, searchQuery } from "~/features/traces/queries"
import { readSearch, type Search } from "~/features/traces/search"
import { Chip } from "~/parts/chip"
import { Heading } from "~/parts/heading"
import { Panel } from "~/parts/panel"
import { rankOf, Service, serviceRanks } from "~/parts/service"
import { Empty, Failure, Loading } from "~/parts/states"
import { Status } from "~/parts/status"
import { type Column, Table } from "~/parts/table"
import { count, duration } from "~/view/format"
import { clockWithMillis, dateOf, exact } from "~/view/time"
import { LIVE_MS, useView } from "~/view/view"

const route = getRouteApi("/traces")

type Trace = Schemas["MatchingTrace"]

export function TracesPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { window, live } = useView()
  const { data, error, isPending, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } =
    useInfiniteQuery({
      ...found(window, search),
      placeholderData: keepPreviousData,
      refetchInterval: live ? LIVE_MS : false,
    })
  const traces = useMemo(() => data?.pages.flatMap((page) => page.traces) ?? [], [data])
  const set = (next: Partial<Search>) =>
    void navigate({ search: (current) => ({ ...current, ...next }) })
  return (
    <div className="page">
      <div className="page-head">
        <Heading text="Traces" />
      </div>
      <Filters key={JSON.stringify(search)} search={search} set={set} />
      <Panel
        title="Traces"
        source={{ path: PATH, query: searchQuery(window, search) }}
        note={traces.length ? `${count(traces.length)}${hasNextPage ? " or more" : ""}` : ""}
      >
        {error && !data ? (
          <Failure error={error} again={() => void refetch()} />
        ) : isPending ? (
          <Loading rows={8} name="traces" />
        ) : traces.length ? (
          <>
            <Table
              name="Traces"
              columns={columnsOf(traces)}
              rows={traces}
              id={(trace) => trace.trace_id}
              order={search.sort ?? "start"}
              onOrder={(sort) => set({ sort: sort === "start" ? undefined : sort })}
            />
            {hasNextPage && (
              <button
                type="button"
                className="button"
                disabled={isFetchingNextPage}
                onClick={() => void fetchNextPage()}
              >
                More
              </button>
            )}
          </>
        ) : (
          <Empty>No trace matches in this time.</Empty>
        )}
      </Panel>
    </div>
  )
}

function columnsOf(traces: readonly Trace[]): Column<Trace>[] {
  const ranks = serviceRanks([...new Set(traces.map((trace) => trace.root_service))])
  return [
    {
      name: "status",
      head: <span className="hidden">Status</span>,
      cell: (trace) =>
        trace.error_count ? (
          <Status status="error" name={`${trace.error_count} spans in error`} />
        ) : (
          <Status status="ok" />
        ),
    },
    {
      name: "start",
      head: "Start",
      sort: "start",
      cell: (trace) => (
        <time title={exact(trace.start)}>
          <span className="wide-only muted">{dateOf(Date.parse(trace.start))} </span>
          {clockWithMillis(trace.start)}
        </time>
      ),
    },
    {
      name: "operation",
      head: "Operation",
      cell: (trace) => (
        <Link
          to="/traces/$id"
          params={{ id: trace.trace_id }}
          className="one-line cell-name"
          title={trace.root_operation}
          data-row
        >
          {trace.root_operation || "(no name)"}
        </Link>
      ),
    },
    {
      name: "service",
      head: "Service",
      narrow: "hide",
      cell: (trace) => <Service name={trace.root_service} rank={rankOf(ranks, trace.root_service)} />,
    },
    {
      name: "duration",
      head: "Duration",
      align: "end",
      sort: "duration",
      cell: (trace) => duration(trace.duration_ms),
    },
    { name: "spans", head: "Spans", align: "end", sort: "span_count", narrow: "hide", cell: (trace) => count(trace.span_count) },
    {
      name: "errors",
      head: "Errors",
      align: "end",
      sort: "errors",
      narrow: "hide",
      cell: (trace) => (trace.error_count ? <span className="error">{count(trace.error_count)}</span> : ""),
    },
    {
      name: "services",
      head: "Services",
      narrow: "hide",
      cell: (trace) => <span className="one-line cell-name muted">{trace.services.join(", ")}</span>,
    },
  ]
}

function Filters({ search, set }: { search: Search; set: (next: Partial<Search>) => void }) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const attr = String(form.get("attr") ?? "").trim()
    set(
      readSearch({
        ...Object.fromEntries([...form].filter(([name]) => name !== "attr")),
        transaction: search.transaction,
        sort: search.sort,
        attr: [...(search.attr ?? []), ...(attr ? [attr] : [])],
      }),
    )
  }
  const without = (attr: string) => search.attr?.filter((one) => one !== attr)
  return (
    <form className="controls" onSubmit={submit}>
      <input name="service" type="search" defaultValue={search.service} placeholder="service" aria-label="Service" />
      <input name="operation" type="search" defaultValue={search.operation} placeholder="operation" aria-label="Operation" />
      <select name="status" defaultValue={search.status ?? ""} aria-label="Status" onChange={(event) => event.target.form?.requestSubmit()}>
        <option value="">any status</option>
        <option value="error">errors</option>
        <option value="ok">ok</option>
      </select>
      <input name="min" className="short" defaultValue={search.min} placeholder="from ms" aria-label="At least, in milliseconds" inputMode="decimal" />
      <input name="max" className="short" defaultValue={search.max} placeholder="to ms" aria-label="At most, in milliseconds" inputMode="decimal" />
      <input name="attr" placeholder="key=value" aria-label="Attribute: key=value, key~part, key>number" />
      <button type="submit" className="button">
        Search
      </button>
      {search.transaction && (
        <Chip name={`transaction ${search.transaction}`} remove={() => set({ transaction: undefined })} />
      )}
      {search.attr?.map((attr) => (
        <Chip key={attr} name={attr} remove={() => set({ attr: without(attr) })} />
      ))}
    </form>
  )
}
