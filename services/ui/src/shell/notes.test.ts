import { expect, test } from "vitest"

import { notesOf } from "~/shell/notes"

const END = Date.parse("2026-11-29T12:00:00Z")

test("whole answers need no note", () => {
  const answer = { truncated: false, pending: 0, settled_until: "2026-11-29T11:59:30Z", logs: [1] }
  expect(notesOf([{ name: "x", answer }, { name: "y", answer: { pending: null, settled_until: null } }], END)).toEqual([])
})

test("lists that were cut are named, with what they were cut to", () => {
  const view = { truncated: true, logs: [1, 2], dependencies: [1, 2], metrics: [1] }
  expect(notesOf([{ name: "the transaction", limit: 2, answer: view }], END)).toEqual([
    "Cut in the transaction: logs to 2, calls to 2.",
  ])
  expect(notesOf([{ name: "the trace's logs", answer: { truncated: true, logs: [1, 2, 3] } as object }], END)).toEqual([
    "Cut in the trace's logs: logs to 3.",
  ])
  expect(notesOf([{ name: "the heatmap", answer: { truncated: true, counts: [], errors: [] } as object }], END)).toEqual([
    "Not everything is shown of the heatmap: narrow the time range or filter.",
  ])
})

test("what is pending, not joined, or only a sample", () => {
  const answer = { pending: 7, settled_until: "2026-11-29T11:00:00Z", sample: { traces: 10, of: 4000, error: 0.03 } }
  const [pending, joined, sample] = notesOf([{ name: "x", answer }, { name: "y", answer: { pending: 3 } }], END)
  expect(pending).toBe("7 items are received and not counted yet.")
  expect(joined).toMatch(/^What came after .* is not joined yet\.$/)
  expect(sample).toBe("Operations and calls are from 10 of 4,000 traces, ± 3 %.")
})
