// What the waterfall shows, line by line: spans, folds of equal leaves, log records.
import { isCritical, isLeaf, type Outline, type Times } from "~/features/trace/outline"

/** At least so many equal leaves become one line. */
export const FOLD_FROM = 5

export type Options = {
  closed: ReadonlySet<number> // rows whose children are not shown
  opened: ReadonlySet<number> // parents whose folds are shown leaf by leaf
  folds: boolean
  level: number // rows at this depth and below are closed; 0 for none
  criticalOnly: boolean
  times?: Times
  logs?: readonly LogAt[] // by row, then by time
}

export type LogAt = { row: number; index: number }

/** Parallel arrays. `count`: 1 for a span, the number of leaves for a fold, 0 for a log record, whose
 * index is then in `log`. */
export type Items = {
  length: number
  row: Int32Array
  count: Int32Array
  log: Int32Array
}

export function itemsOf(outline: Outline, options: Options): Items {
  const logs = options.logs ?? []
  const room = outline.size + logs.length
  const items = { length: 0, row: new Int32Array(room), count: new Int32Array(room), log: new Int32Array(room) }
  const add = (row: number, count: number, log = -1) => {
    items.row[items.length] = row
    items.count[items.length] = count
    items.log[items.length++] = log
  }
  let nextLog = 0
  let row = 0
  while (row < outline.size) {
    if (options.criticalOnly && options.times && !isCritical(options.times, row)) {
      row = outline.end[row] ?? row + 1
      continue
    }
    const count = options.folds ? foldAt(outline, options, row) : 1
    add(row, count)
    while (nextLog < logs.length && (logs[nextLog]?.row ?? 0) < row) nextLog++
    for (; nextLog < logs.length && logs[nextLog]?.row === row; nextLog++) {
      if (count === 1) add(row, 0, logs[nextLog]?.index)
    }
    row = isClosed(outline, options, row) ? (outline.end[row] ?? row + 1) : row + count
  }
  return items
}

export function isClosed(outline: Outline, { closed, level }: Options, row: number): boolean {
  return closed.has(row) || (level > 0 && (outline.depth[row] ?? 0) >= level - 1 && !isLeaf(outline, row))
}

/** How many equal leaves begin at this row: 1 if they are too few, or shown one by one. */
function foldAt(outline: Outline, { opened }: Options, row: number): number {
  const parent = outline.parent[row] ?? -1
  if (parent < 0 || opened.has(parent) || !isLeaf(outline, row)) return 1
  const [name, service] = [outline.name[row], outline.service[row]]
  const last = outline.end[parent] ?? 0
  let next = row + 1
  while (next < last && outline.name[next] === name && outline.service[next] === service && isLeaf(outline, next)) {
    next++
  }
  const count = next - row
  return count >= FOLD_FROM ? count : 1
}

/** Sum, longest and errors of the leaves of a fold. */
export function foldTotals(outline: Outline, row: number, count: number) {
  let [total, longest, errors] = [0, 0, 0]
  let [start, end] = [Infinity, 0]
  for (let leaf = row; leaf < row + count; leaf++) {
    const [from, length] = [outline.start[leaf] ?? 0, outline.duration[leaf] ?? 0]
    total += length
    longest = Math.max(longest, length)
    errors += outline.isError[leaf] ?? 0
    start = Math.min(start, from)
    end = Math.max(end, from + length)
  }
  return { total, longest, errors, start, end }
}

/** The line that shows a row, or the fold it is in; -1 if its parent is closed. */
export function lineOf(items: Items, row: number): number {
  let [low, high] = [0, items.length - 1]
  while (low <= high) {
    const middle = (low + high) >> 1
    const [first, count] = [items.row[middle] ?? 0, items.count[middle] ?? 0]
    if (row < first) high = middle - 1
    else if (count === 0 || row >= first + count) {
      if (count === 0 && row === first) high = middle - 1
      else low = middle + 1
    } else return middle
  }
  return -1
}

/** The rows above a row, which must be open for it to be shown. */
export function ancestors(outline: Outline, row: number): number[] {
  const rows = []
  for (let above = outline.parent[row] ?? -1; above >= 0; above = outline.parent[above] ?? -1) rows.push(above)
  return rows
}

/** Rows whose name or service contains the text; case-insensitive. */
export function matches(outline: Outline, text: string): Int32Array {
  const wanted = text.trim().toLowerCase()
  if (!wanted) return new Int32Array()
  const names = outline.names.map((name) => name.toLowerCase().includes(wanted))
  const services = outline.services.map((service) => service.toLowerCase().includes(wanted))
  const rows: number[] = []
  for (let row = 0; row < outline.size; row++) {
    if (names[outline.name[row] ?? 0] || services[outline.service[row] ?? 0]) rows.push(row)
  }
  return Int32Array.from(rows)
}
