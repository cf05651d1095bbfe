// A trace as columns: one entry for each span, in pre-order. 100,000 spans are a few megabytes.

export type Outline = {
  size: number
  services: readonly string[]
  names: readonly string[]
  kinds: readonly string[]
  parent: Int32Array // row of the parent; -1 for a root
  end: Int32Array // row after the last of the subtree
  depth: Uint16Array
  start: Float64Array // milliseconds since the trace's start
  duration: Float64Array // milliseconds
  service: Uint16Array
  name: Uint32Array
  kind: Uint8Array
  flags: Uint8Array // as the API has them
  isError: Uint8Array
}

/** What is computed after the tree has been read. */
export type Times = {
  self: Float64Array // milliseconds
  // The critical segments of row r are those from first[r] to first[r + 1].
  first: Int32Array
  from: Float64Array // milliseconds since the trace's start
  to: Float64Array
}

/** The columns that follow from parents in pre-order. */
export function shapeOf(parent: Int32Array): { depth: Uint16Array; end: Int32Array } {
  const size = parent.length
  const depth = new Uint16Array(size)
  const end = new Int32Array(size)
  for (let row = 0; row < size; row++) {
    const above = parent[row] ?? -1
    depth[row] = above < 0 ? 0 : Math.min((depth[above] ?? 0) + 1, 65_535)
    end[row] = row + 1
  }
  for (let row = size - 1; row > 0; row--) {
    const above = parent[row] ?? -1
    if (above >= 0 && (end[above] ?? 0) < (end[row] ?? 0)) end[above] = end[row] ?? 0
  }
  return { depth, end }
}

export const isLeaf = (outline: Outline, row: number) => outline.end[row] === row + 1

export const isCritical = (times: Times | undefined, row: number) =>
  times !== undefined && (times.first[row + 1] ?? 0) > (times.first[row] ?? 0)
