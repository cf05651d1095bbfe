import { describe, expect, it, vi } from "vitest"

import { timesOf, treeOf } from "~/features/trace/read"
import type { Schemas } from "~/api/client"

// The API's client reads it as it is loaded.
vi.hoisted(() => vi.stubGlobal("location", { origin: "http://127.0.0.1" }))

/** A root of 10 ms with a child from 2 ms to 8 ms that has a child of its own from 4 ms on. */
const document = {
  trace_id: "t",
  version: "1",
  start: "2026-11-22T10:00:00Z",
  duration_ms: 10,
  services: ["shop"],
  span_count: 3,
  error_count: 0,
  complete: true,
  truncated: false,
  unit_ns: 1_000_000,
  span: null,
  dictionaries: { service: ["shop"], name: ["a", "b"], kind: ["Server"], status: ["Ok"], scope: [""] },
  groups: { service: [0, 0], name: [0, 1], kind: [0, 0], status: [0, 0], scope: [0, 0] },
  columns: { depth: [0, 1, 2], group: [0, 1, 1], start: [0, 2, 2], duration: [10, 6, 4], flags: [0, 0, 0] },
} as unknown as Schemas["OutlineTree"]

describe("the times of an outline", () => {
  it("has several segments of a span, of rows that are written as differences", () => {
    const times = timesOf(
      {
        self: { row: [0, 1], time: [4, 2] },
        critical: { whole: [2], row: [0, 1], count: [2, 1], gap: [0, 6, 0], length: [2, 2, 2] },
      },
      treeOf(document),
    )
    expect([...times.self]).toEqual([4, 2, 4])
    expect([...times.first]).toEqual([0, 2, 3, 4])
    expect([...times.from]).toEqual([0, 8, 2, 4])
    expect([...times.to]).toEqual([2, 10, 4, 8])
  })
})
