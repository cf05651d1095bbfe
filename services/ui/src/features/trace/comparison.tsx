// Two traces side by side: operations by the difference of their time.
import { useQuery, useQueryClient } from "@tanstack/react-query"
import { type FormEvent, useMemo } from "react"

import { operationsOf, type Operation } from "~/features/trace/calls"
import { outlineOf, type Read } from "~/features/trace/read"
import { rankOf, Service, type ServiceRanks } from "~/parts/service"
import { Empty, Failure, Loading } from "~/parts/states"
import { type Column, Table } from "~/parts/table"
import { count, duration } from "~/view/format"

type Props = {
  read: Read
  ranks: ServiceRanks
  other: string | undefined
  choose: (id: string | undefined) => void
}

type Row = { service: string; name: string; here?: Operation; there?: Operation; change: number }

export function Comparison({ read, ranks, other, choose }: Props) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const id = String(new FormData(event.currentTarget).get("id")).trim().toLowerCase()
    choose(id || undefined)
  }
  return (
    <>
      <form className="controls" onSubmit={submit}>
        <input
          key={other}
          name="id"
          type="search"
          defaultValue={other}
          placeholder="id of another trace"
          aria-label="Id of the trace to compare with"
          className="trace-id mono"
          pattern="[0-9a-fA-F]{1,32}"
        />
        <button type="submit" className="button">
          Compare
        </button>
      </form>
      {other ? <Differences read={read} ranks={ranks} other={other} /> : <Empty>Which trace does this one differ from?</Empty>}
    </>
  )
}

function Differences({ read, ranks, other }: { read: Read; ranks: Props["ranks"]; other: string }) {
  const queries = useQueryClient()
  const { data, error } = useQuery(outlineOf(queries, other, undefined))
  const rows = useMemo(() => (data?.times && read.times ? rowsOf(read, data) : undefined), [read, data])
  if (error) return <Failure error={error} />
  if (!rows) return <Loading rows={6} name="the other trace" />
  const columns: Column<Row>[] = [
    { name: "name", head: "Operation", cell: (row) => <span className="one-line cell-name">{row.name}</span> },
    { name: "service", head: "Service", narrow: "hide", cell: (row) => <Service name={row.service} rank={rankOf(ranks, row.service)} /> },
    { name: "here", head: "Self here", align: "end", cell: (row) => duration(row.here?.self ?? 0) },
    { name: "there", head: "there", align: "end", cell: (row) => duration(row.there?.self ?? 0) },
    {
      name: "change",
      head: "Difference",
      align: "end",
      cell: (row) => (
        <span className={row.change > 0 ? "error" : row.change < 0 ? "ok" : "muted"}>
          {row.change > 0 ? "+" : ""}
          {duration(row.change)}
        </span>
      ),
    },
    {
      name: "calls",
      head: "Calls",
      align: "end",
      narrow: "hide",
      cell: (row) => `${count(row.here?.count ?? 0)} / ${count(row.there?.count ?? 0)}`,
    },
  ]
  return <Table name="Operations of both traces" columns={columns} rows={rows} id={(row) => `${row.service} ${row.name}`} />
}

function rowsOf(read: Read, with_: Read): Row[] {
  const here = operationsOf(read.tree.outline, read.times)
  const there = operationsOf(with_.tree.outline, with_.times)
  return [...new Set([...here.keys(), ...there.keys()])]
    .map((key) => {
      const [one, other] = [here.get(key), there.get(key)]
      const { service, name } = (one ?? other) as Operation
      return { service, name, here: one, there: other, change: (one?.self ?? 0) - (other?.self ?? 0) }
    })
    .sort((one, other) => Math.abs(other.change) - Math.abs(one.change))
    .slice(0, 500)
}
