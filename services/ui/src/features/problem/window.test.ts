import { expect, test } from "vitest"

import type { Problem } from "~/features/problem/queries"
import { firstSeen, windowOf } from "~/features/problem/window"

const problem = (state: string, since: string, ...history: [number, string][]) =>
  ({
    alert: { state, since, episode: 2 },
    window_ms: 300_000,
    history: history.map(([episode, time]) => ({ episode, time })),
  }) as unknown as Problem

test("the window of an open problem begins before it and lasts", () => {
  expect(windowOf(problem("firing", "2026-11-29T10:00:00Z"))).toEqual({ start: "2026-11-29T09:30:00.000Z" })
})

test("the window of a problem that is over is that of its last episode", () => {
  const over = problem("resolved", "2026-11-29T11:00:00Z", [2, "2026-11-29T10:00:00Z"], [1, "2026-11-28T10:00:00Z"])
  expect(windowOf(over)).toEqual({ start: "2026-11-29T09:30:00.000Z", end: "2026-11-29T11:00:00.000Z" })
})

test("a problem was seen first a window before its alert changed first", () => {
  const pending = problem("firing", "2026-11-29T10:05:00Z", [2, "2026-11-29T10:00:00Z"])
  expect(firstSeen(pending)).toBe("2026-11-29T09:55:00.000Z")
})
