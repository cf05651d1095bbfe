// The single runs of a transaction.
import { useInfiniteQuery } from "@tanstack/react-query"
import { getRouteApi, Link } from "@tanstack/react-router"
import { useMemo } from "react"

import type { Schemas } from "~/api/client"
import type { PartProps } from "~/features/transaction/page"
import { occurrences, occurrencesQuery, pathOf } from "~/features/transaction/queries"
import { type Chosen, readChosen, ROW_FILTERS, type RowFilter } from "~/features/transaction/search"
import { Chip } from "~/parts/chip"
import { Panel } from "~/parts/panel"
import { Empty, Failure, Loading } from "~/parts/states"
import { Status } from "~/parts/status"
import { type Column, Table } from "~/parts/table"
import { count, duration, money } from "~/view/format"
import { clockWithMillis, exact } from "~/view/time"
import { useView } from "~/view/view"

const route = getRouteApi("/transactions/$id")

type Row = Schemas["Instance"]

export function Occurrences({ id, view }: PartProps) {
  const { window } = useView()
  const of = readChosen(route.useSearch())
  const { outcome } = of
  const navigate = route.useNavigate()
  const set = (next: Chosen) =>
    void navigate({ search: (current) => ({ ...current, ...next }) })
  const { data, error, isPending, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } =
    useInfiniteQuery(occurrences(id, window, of))
  const instances = useMemo(() => data?.pages.flatMap((page) => page.instances) ?? [], [data])
  const isDefined = view.transaction.source === "defined"
  const columns: (Column<Row> | false)[] = [
    { name: "status", head: <span className="hidden">Status</span>, cell: (row) => <Status status={row.status} /> },
    {
      name: "start",
      head: "Start",
      sort: "start",
      cell: (row) => <time title={exact(row.start)}>{clockWithMillis(row.start)}</time>,
    },
    {
      name: "key",
      head: isDefined ? "Key" : "Trace",
      cell: (row) => (
        <Link
          to="/traces/$id"
          params={{ id: row.trace_ids[0] ?? row.key }}
          className="one-line mono cell-key"
          data-row
        >
          {row.key}
        </Link>
      ),
    },
    {
      name: "duration",
      head: "Duration",
      align: "end",
      sort: "duration",
      cell: (row) => duration(row.entry_duration_ms ?? row.duration_ms),
    },
    isDefined && { name: "user", head: "User", narrow: "hide", cell: (row) => <span className="one-line">{row.user ?? ""}</span> },
    isDefined && {
      name: "value",
      head: "Value",
      align: "end",
      sort: "value",
      narrow: "hide",
      cell: (row) => (row.value === null ? "" : money(row.value)),
    },
    isDefined && { name: "steps", head: "Steps", narrow: "hide", cell: (row) => <Steps row={row} /> },
    { name: "traces", head: "Traces", align: "end", narrow: "hide", cell: (row) => row.trace_ids.length },
    { name: "spans", head: "Spans", align: "end", narrow: "hide", cell: (row) => row.span_count },
  ]
  return (
    <Panel
      title="Occurrences"
      note={data && `${count(instances.length)}${hasNextPage ? " or more" : ""}`}
      source={{ path: `${pathOf(id)}/instances`, query: occurrencesQuery(window, of) }}
      actions={
        <button
          type="button"
          className="button quiet"
          aria-pressed={outcome === "error"}
          onClick={() => set({ outcome: outcome ? undefined : "error" })}
        >
          Errors only
        </button>
      }
    >
      <Chips of={of} set={set} />
      {isPending ? (
        <Loading rows={8} name="occurrences" />
      ) : error && !data ? (
        <Failure error={error} again={() => void refetch()} />
      ) : instances.length ? (
        <>
          <Table
            name="Occurrences"
            columns={columns.filter((column) => column !== false)}
            rows={instances}
            id={(row) => row.key}
            order={of.sort ?? "start"}
            onOrder={(order) => set({ sort: order === "start" ? undefined : order })}
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
        <Empty>No occurrence in this time.</Empty>
      )}
    </Panel>
  )
}

/** What is listed, in words; a click on one of them lists it no longer. */
function Chips({ of, set }: { of: Chosen; set: (next: Chosen) => void }) {
  const { min, max, attr, reached, last_step, slo } = of
  return (
    <p className="chips">
      {(min !== undefined || max !== undefined) && (
        <Chip name={lengths(min, max)} remove={() => set({ min: undefined, max: undefined })} />
      )}
      {reached && <Chip name={`reached ${reached}`} remove={() => set({ reached: undefined })} />}
      {last_step && <Chip name={`no further than ${last_step}`} remove={() => set({ last_step: undefined })} />}
      {slo && <Chip name={`${slo} by the objective`} remove={() => set({ slo: undefined })} />}
      {ROW_FILTERS.map((name) => {
        const texts = of[name]?.filter((text) => text !== "")
        return texts && <Chip key={name} name={`${ROW_NAMES[name]} ${texts.join(" · ")}`} remove={() => set({ [name]: undefined })} />
      })}
      {attr?.map((one) => (
        <Chip key={one} name={one} remove={() => set({ attr: attr.filter((other) => other !== one) })} />
      ))}
    </p>
  )
}

const ROW_NAMES: Record<RowFilter, string> = {
  operation: "with",
  call: "call of",
  failed_call: "failed call of",
  exception: "exception",
}

const lengths = (min = 0, max?: number) =>
  max === undefined ? `at least ${duration(min)}` : `${duration(min)} to ${duration(max)}`

function Steps({ row }: { row: Row }) {
  return (
    <span className="one-line">
      {row.steps.map((step) => (
        <span key={step.name} className={step.status === "error" ? "error" : "muted"}>
          {step.status === "error" ? "✕ " : ""}
          {step.name}{" "}
        </span>
      ))}
    </span>
  )
}
