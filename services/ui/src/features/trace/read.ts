// Reads a trace's outline: two lines of JSON, the tree and then the times.
import type { QueryClient } from "@tanstack/react-query"
import { queryOptions } from "@tanstack/react-query"

import { client, read, type Schemas } from "~/api/client"
import { type Outline, shapeOf, type Times } from "~/features/trace/outline"

export type Tree = {
  traceId: string
  version: string
  start: string // RFC 3339
  duration: number // milliseconds
  services: string[]
  spanCount: number
  errorCount: number
  isComplete: boolean
  truncated: boolean
  span: number | null // row of the span that the URL names
  outline: Outline
  unit: number // milliseconds of a unit of the times
}

export type Read = { tree: Tree; times?: Times }

export const pathOf = (id: string) => `/api/v1/traces/${encodeURIComponent(id)}`

/** The outline; the tree is there before the times are. `span`: its row is looked up. */
export const outlineOf = (queries: QueryClient, id: string, span: string | undefined) => {
  const queryKey = ["outline", id, span ?? ""]
  return queryOptions({
    queryKey,
    staleTime: 60_000,
    structuralSharing: false,
    queryFn: async ({ signal }): Promise<Read> => {
      const path = "/api/v1/traces/{trace_id}/outline"
      const params = { path: { trace_id: id }, query: { span } }
      const lines = linesOf(await read(client.GET(path, { params, parseAs: "stream", signal })))
      const tree = treeOf(JSON.parse((await lines.next()).value ?? "null") as Schemas["OutlineTree"])
      queries.setQueryData<Read>(queryKey, { tree })
      const second = (await lines.next()).value
      if (!second) return { tree }
      return { tree, times: timesOf(JSON.parse(second) as Schemas["OutlineTimes"], tree) }
    },
  })
}

async function* linesOf(body: ReadableStream<BufferSource> | null): AsyncGenerator<string, undefined> {
  if (!body) return undefined
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let parts: string[] = []
  for (;;) {
    const { value, done } = await reader.read()
    if (done) break
    let rest = value ?? ""
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      yield [...parts, rest.slice(0, end)].join("")
      parts = []
      rest = rest.slice(end + 1)
    }
    parts.push(rest)
  }
  const last = parts.join("")
  if (last) yield last
  return undefined
}

export function treeOf(document: Schemas["OutlineTree"]): Tree {
  const unit = document.unit_ns / 1e6
  return {
    traceId: document.trace_id,
    version: document.version,
    start: document.start,
    duration: document.duration_ms,
    services: document.services,
    spanCount: document.span_count,
    errorCount: document.error_count,
    isComplete: document.complete,
    truncated: document.truncated,
    span: document.span?.row ?? null,
    outline: decoded(document, unit),
    unit,
  }
}

function decoded(document: Schemas["OutlineTree"], unit: number): Outline {
  const { columns, groups, dictionaries } = document
  const size = columns.depth.length
  const isError = dictionaries.status.map((status) => Number(/error/i.test(status)))
  const [parent, start, duration] = [new Int32Array(size), new Float64Array(size), new Float64Array(size)]
  const [name, service] = [new Uint32Array(size), new Uint16Array(size)]
  const [kind, failed, flags] = [new Uint8Array(size), new Uint8Array(size), new Uint8Array(size)]
  const above: number[] = [] // the last row of each depth
  let time = 0
  for (let row = 0; row < size; row++) {
    const depth = columns.depth[row] ?? 0
    const group = columns.group[row] ?? 0
    time += columns.start[row] ?? 0
    above[depth] = row
    parent[row] = depth ? (above[depth - 1] ?? -1) : -1
    start[row] = time * unit
    duration[row] = (columns.duration[row] ?? 0) * unit
    name[row] = groups.name[group] ?? 0
    service[row] = groups.service[group] ?? 0
    kind[row] = groups.kind[group] ?? 0
    failed[row] = isError[groups.status[group] ?? 0] ?? 0
    flags[row] = columns.flags[row] ?? 0
  }
  return {
    size,
    services: dictionaries.service,
    names: dictionaries.name,
    kinds: dictionaries.kind,
    parent,
    ...shapeOf(parent),
    start,
    duration,
    service,
    name,
    kind,
    flags,
    isError: failed,
  }
}

export function timesOf(document: Schemas["OutlineTimes"], { outline, unit }: Tree): Times {
  const { size } = outline
  const { whole, row, count, gap, length } = document.critical
  const first = new Int32Array(size + 1)
  eachRow(whole, (critical) => (first[critical + 1] = 1))
  eachRow(row, (critical, index) => (first[critical + 1] = count[index] ?? 0))
  for (let index = 1; index <= size; index++) first[index]! += first[index - 1]!
  const total = first[size] ?? 0
  const [from, to] = [new Float64Array(total), new Float64Array(total)]
  eachRow(whole, (critical) => {
    const place = first[critical] ?? 0
    from[place] = outline.start[critical] ?? 0
    to[place] = (outline.start[critical] ?? 0) + (outline.duration[critical] ?? 0)
  })
  let segment = 0 // of all rows together
  eachRow(row, (critical, index) => {
    let end = outline.start[critical] ?? 0
    const place = first[critical] ?? 0
    for (let number = 0; number < (count[index] ?? 0); number++, segment++) {
      from[place + number] = end + (gap[segment] ?? 0) * unit
      end = to[place + number] = (from[place + number] ?? 0) + (length[segment] ?? 0) * unit
    }
  })
  const self = outline.duration.slice()
  eachRow(document.self.row, (parent, index) => (self[parent] = (document.self.time[index] ?? 0) * unit))
  return { self, first, from, to }
}

/** Rows are written as differences. */
function eachRow(differences: readonly number[], act: (row: number, index: number) => void) {
  let row = 0
  differences.forEach((difference, index) => act((row += difference), index))
}
