import { describe, expect, it, vi } from "vitest"

import { baseline, instant, rangeName } from "~/view/time"

const NOW = Date.parse("2026-11-22T10:00:00Z")

describe("times", () => {
  it("reads what the API reads", () => {
    expect(instant("now", NOW)).toBe(NOW)
    expect(instant("-15m", NOW)).toBe(NOW - 900_000)
    expect(instant("2026-11-22T09:00:00Z", NOW)).toBe(NOW - 3_600_000)
    expect(instant("nonsense", NOW)).toBeNaN()
  })

  it("names a range", () => {
    expect(rangeName({ start: "-1h", end: "now" })).toBe("last hour")
    expect(rangeName({ start: "-2h", end: "now" })).toBe("last 2h")
  })

  it("finds the range to compare with", () => {
    vi.setSystemTime(NOW)
    const hour = { start: "-1h", end: "now" }
    expect(baseline(hour, "before")).toEqual({
      start: "2026-11-22T08:00:00.000Z",
      end: "2026-11-22T09:00:00.000Z",
    })
    expect(baseline(hour, "-7d").end).toBe("2026-11-15T10:00:00.000Z")
    vi.useRealTimers()
  })
})
