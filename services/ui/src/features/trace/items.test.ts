import { describe, expect, it } from "vitest"

import { ancestors, foldTotals, itemsOf, lineOf, matches, type Options } from "~/features/trace/items"
import { type Outline, shapeOf } from "~/features/trace/outline"

const OPTIONS: Options = { closed: new Set(), opened: new Set(), folds: true, level: 0, criticalOnly: false }

/** A trace of these [parent, name] pairs, one millisecond each. */
function trace(spans: [number, string][]): Outline {
  const names = [...new Set(spans.map(([, name]) => name))]
  const parent = Int32Array.from(spans, ([above]) => above)
  return {
    size: spans.length,
    services: ["shop"],
    names,
    kinds: [],
    parent,
    ...shapeOf(parent),
    start: Float64Array.from(spans.keys()),
    duration: new Float64Array(spans.length).fill(1),
    service: new Uint16Array(spans.length),
    name: Uint32Array.from(spans, ([, name]) => names.indexOf(name)),
    kind: new Uint8Array(spans.length),
    flags: new Uint8Array(spans.length),
    isError: Uint8Array.from(spans, ([, name]) => Number(name === "fails")),
  }
}

const lines = (outline: Outline, options: Partial<Options> = {}) => {
  const items = itemsOf(outline, { ...OPTIONS, ...options })
  return Array.from({ length: items.length }, (_, line) => [items.row[line], items.count[line]])
}

const FLAT = trace([[-1, "root"], ...Array.from({ length: 6 }, () => [0, "query"] as [number, string]), [0, "pay"]])

describe("the lines of a waterfall", () => {
  it("folds five equal leaves and more", () => {
    expect(lines(FLAT)).toEqual([[0, 1], [1, 6], [7, 1]])
    expect(lines(FLAT, { folds: false })).toHaveLength(8)
    expect(lines(FLAT, { opened: new Set([0]) })).toHaveLength(8)
    const four = trace([[-1, "root"], [0, "q"], [0, "q"], [0, "q"], [0, "q"]])
    expect(lines(four)).toHaveLength(5)
  })

  it("does not fold what has children", () => {
    const parents = trace([[-1, "root"], ...Array.from({ length: 5 }, (_, n) => [[0, "a"], [1 + 2 * n, "b"]] as [number, string][]).flat()])
    expect(lines(parents)).toHaveLength(11)
  })

  it("closes rows and levels", () => {
    expect(lines(FLAT, { closed: new Set([0]) })).toEqual([[0, 1]])
    expect(lines(FLAT, { level: 1 })).toEqual([[0, 1]])
    expect(lines(FLAT, { level: 2 })).toEqual([[0, 1], [1, 6], [7, 1]])
  })

  it("shows log records below their span", () => {
    const items = itemsOf(FLAT, { ...OPTIONS, logs: [{ row: 0, index: 4 }, { row: 7, index: 2 }] })
    expect(Array.from(items.log.slice(0, items.length))).toEqual([-1, 4, -1, -1, 2])
    expect(lineOf(items, 0)).toBe(0)
    expect(lineOf(items, 7)).toBe(3)
  })

  it("finds the line of a row, in a fold too", () => {
    const items = itemsOf(FLAT, OPTIONS)
    expect(lineOf(items, 4)).toBe(1)
    expect(lineOf(items, 7)).toBe(2)
    expect(lineOf(itemsOf(FLAT, { ...OPTIONS, closed: new Set([0]) }), 4)).toBe(-1)
  })

  it("adds up a fold", () => {
    const some = trace([[-1, "root"], [0, "fails"], [0, "fails"]])
    expect(foldTotals(some, 1, 2)).toEqual({ total: 2, longest: 1, errors: 2, start: 1, end: 3 })
  })

  it("finds text, and the way to a row", () => {
    expect(Array.from(matches(FLAT, "PAY"))).toEqual([7])
    expect(matches(FLAT, "shop")).toHaveLength(8)
    expect(matches(FLAT, " ")).toHaveLength(0)
    expect(ancestors(trace([[-1, "a"], [0, "b"], [1, "c"]]), 2)).toEqual([1, 0])
  })
})
