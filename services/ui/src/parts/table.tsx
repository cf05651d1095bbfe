// A table whose head sorts it by the URL, and whose rows are reached by keys.
import type { ReactNode } from "react"

export type Column<Row> = {
  name: string
  head: ReactNode
  cell: (row: Row) => ReactNode
  align?: "end"
  sort?: string // the API's name of the order; without it the column does not sort
  narrow?: "hide" // on a narrow screen
}

type Props<Row> = {
  name: string
  columns: readonly Column<Row>[]
  rows: readonly Row[]
  id: (row: Row) => string
  order?: string
  onOrder?: (order: string) => void
}

export function Table<Row>({ name, columns, rows, id, order, onOrder }: Props<Row>) {
  return (
    <div className="table-frame">
      <table aria-label={name}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                key={column.name}
                scope="col"
                className={classes(column)}
                aria-sort={sorting(order, column.sort)}
              >
                {column.sort && onOrder ? (
                  <button
                    type="button"
                    className="sort"
                    onClick={() => onOrder(next(order, column.sort ?? ""))}
                  >
                    {column.head}
                    <span aria-hidden>{mark(order, column.sort)}</span>
                  </button>
                ) : (
                  column.head
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)}>
              {columns.map((column) => (
                <td key={column.name} className={classes(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

const classes = <Row,>(column: Column<Row>) =>
  [column.align === "end" ? "end" : "", column.narrow === "hide" ? "wide-only" : ""].join(" ").trim() ||
  undefined

const next = (order: string | undefined, sort: string) => (order === sort ? `-${sort}` : sort)

/** The API's order gives the greatest first; a leading minus reverses it. */
function sorting(order: string | undefined, sort?: string) {
  if (!sort || !order) return undefined
  if (order === sort) return "descending" as const
  return order === `-${sort}` ? ("ascending" as const) : undefined
}

const mark = (order: string | undefined, sort?: string) =>
  order === sort ? " ↓" : order === `-${sort}` ? " ↑" : ""
