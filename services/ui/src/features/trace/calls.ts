// Spans of a trace added up: by the path to them, for the flame graph, and by operation.
import type { Outline, Times } from "~/features/trace/outline"

export type Call = {
  id: number
  parent: number // id; -1 for a root
  depth: number
  name: number
  service: number
  count: number
  errors: number
  total: number // milliseconds
  self: number
  children: number[]
}

/** Spans with the same names on the way from the root become one call, in the order of the trace. */
export function callsOf(outline: Outline, times: Times | undefined): Call[] {
  const calls: Call[] = []
  const known = new Map<string, number>()
  const callOf = new Int32Array(outline.size)
  for (let row = 0; row < outline.size; row++) {
    const above = outline.parent[row] ?? -1
    const parent = above < 0 ? -1 : (callOf[above] ?? -1)
    const [name, service] = [outline.name[row] ?? 0, outline.service[row] ?? 0]
    const key = `${parent} ${service} ${name}`
    let id = known.get(key)
    if (id === undefined) {
      id = calls.length
      known.set(key, id)
      const depth = parent < 0 ? 0 : (calls[parent]?.depth ?? 0) + 1
      calls.push({ id, parent, depth, name, service, count: 0, errors: 0, total: 0, self: 0, children: [] })
      calls[parent]?.children.push(id)
    }
    callOf[row] = id
    const call = calls[id]
    if (!call) continue
    call.count++
    call.errors += outline.isError[row] ?? 0
    call.total += outline.duration[row] ?? 0
    call.self += times?.self[row] ?? 0
  }
  return calls
}

export type Operation = { service: string; name: string; count: number; errors: number; total: number; self: number }

/** Sums for each service and name, by `service\0name`. */
export function operationsOf(outline: Outline, times: Times | undefined): Map<string, Operation> {
  const operations = new Map<string, Operation>()
  for (let row = 0; row < outline.size; row++) {
    const service = outline.services[outline.service[row] ?? 0] ?? ""
    const name = outline.names[outline.name[row] ?? 0] ?? ""
    const key = `${service}\0${name}`
    const known = operations.get(key) ?? { service, name, count: 0, errors: 0, total: 0, self: 0 }
    known.count++
    known.errors += outline.isError[row] ?? 0
    known.total += outline.duration[row] ?? 0
    known.self += times?.self[row] ?? 0
    operations.set(key, known)
  }
  return operations
}
