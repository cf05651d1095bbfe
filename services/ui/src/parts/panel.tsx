// A titled part of a page, with the SQL behind it.
import { Dialog, DialogDismiss, DialogHeading } from "@ariakit/react"
import { useQuery } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"

import { setup } from "~/api/setup"
import { type Query, statementsOf } from "~/api/client"
import { Copy } from "~/parts/copy"
import { Empty, Failure, Loading } from "~/parts/states"

export type Source = { path: string; query: Query }

type Props = {
  title: string
  source?: Source
  note?: ReactNode
  actions?: ReactNode
  children: ReactNode
  className?: string
}

export function Panel({ title, source, note, actions, children, className = "" }: Props) {
  return (
    <section className={`panel ${className}`} aria-label={title}>
      <header className="panel-head">
        <h2>{title}</h2>
        {note && <span className="muted small">{note}</span>}
        <span className="panel-actions">
          {actions}
          {source && <SqlButton title={title} source={source} />}
        </span>
      </header>
      {children}
    </section>
  )
}

export function SqlButton({ title, source }: { title: string; source: Source }) {
  const [open, setOpen] = useState(false)
  return (
    <>
      <button
        type="button"
        className="button quiet"
        data-sql
        aria-label={`SQL of ${title}`}
        onClick={() => setOpen(true)}
      >
        SQL
      </button>
      <Dialog
        open={open}
        onClose={() => setOpen(false)}
        className="dialog wide"
        backdrop={<div className="backdrop" />}
        unmountOnHide
      >
        <header className="dialog-head">
          <DialogHeading>SQL of {title}</DialogHeading>
          <DialogDismiss className="button">Close</DialogDismiss>
        </header>
        <Statements source={source} />
      </Dialog>
    </>
  )
}

function Statements({ source }: { source: Source }) {
  const statements = useQuery(statementsOf(source.path, source.query))
  if (statements.isPending) return <Loading name="the statements" />
  if (statements.isError) return <Failure error={statements.error} />
  if (!statements.data.length) return <Empty>This needs no statement.</Empty>
  return <StatementList statements={statements.data} />
}

/** Statements that can be copied, and run on the ClickHouse port. */
export function StatementList({ statements }: { statements: readonly string[] }) {
  const address = useQuery(setup).data?.endpoints.clickhouse
  return (
    <>
      <p className="small muted">
        {statements.length === 1 ? "1 statement, with its values." : `${statements.length} statements, with their values.`}{" "}
        {address ? `${statements.length === 1 ? "It runs as it is" : "They run as they are"} on the ClickHouse port, ${address}.` : ""}
      </p>
      <ol className="statements">
        {statements.map((statement) => (
          <li key={statement}>
            <span className="panel-actions">
              {address && (
                <a href={rowsAt(address, statement)} target="_blank" rel="noreferrer">
                  Rows
                </a>
              )}
              <Copy text={statement} name="the statement" />
            </span>
            <pre className="foreign" tabIndex={0}>
              {statement}
            </pre>
          </li>
        ))}
      </ol>
    </>
  )
}

function rowsAt(address: string, statement: string): string {
  return `${address}/?query=${encodeURIComponent(statement)}&default_format=PrettyCompact`
}
