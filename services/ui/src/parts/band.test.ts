import { expect, test, vi } from "vitest"

import { bandAt } from "~/parts/band"

vi.hoisted(() => vi.stubGlobal("location", { origin: "http://127.0.0.1" }))

const HOUR = Date.parse("2026-03-02T10:00:00Z") / 1000

const point = (time: string, expected: number | null) => ({ time, value: 1, expected, lower: expected, upper: expected })

test("each time has the band of its hour, in the chart's unit", () => {
  const points = [point("2026-03-02T10:00:00Z", 2), point("2026-03-02T11:00:00Z", 3)]
  const lines = bandAt([HOUR, HOUR + 3599, HOUR + 3600, HOUR + 7200], points, 10)
  expect(lines.map((line) => line.edge)).toEqual(["upper", "lower", undefined])
  expect(lines[0]?.values).toEqual([20, 20, 30, null])
})

test("where nothing is usual yet there is no band", () => {
  expect(bandAt([HOUR], [point("2026-03-02T10:00:00Z", null)])).toEqual([])
})
