// Log records of a trace with their place in it.
import type { Schemas } from "~/api/client"
import type { LogAt } from "~/features/trace/items"

export type PlacedLog = Schemas["TraceLog"] & { offset: number } // milliseconds since its start

/** Milliseconds from one RFC 3339 time to another, to the nanosecond. */
export function elapsed(from: string, to: string): number {
  return seconds(to) * 1000 - seconds(from) * 1000 + (nanos(to) - nanos(from)) / 1e6
}

const seconds = (time: string) => Date.parse(`${time.slice(0, 19)}Z`) / 1000
const nanos = (time: string) => Number((/\.(\d{1,9})/.exec(time)?.[1] ?? "").padEnd(9, "0"))

export function placedLogs(logs: readonly Schemas["TraceLog"][], start: string): PlacedLog[] {
  return logs
    .map((log) => ({ ...log, offset: elapsed(start, log.time) }))
    .sort((one, other) => one.offset - other.offset)
}

/** The records that have a span, in the order in which the waterfall shows them. */
export function logsByRow(logs: readonly PlacedLog[]): LogAt[] {
  return logs
    .map((log, index) => ({ row: log.row ?? -1, index }))
    .filter((log) => log.row >= 0)
    .sort((one, other) => one.row - other.row || one.index - other.index)
}
