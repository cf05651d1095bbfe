import { expect, test } from "vitest"

import type { Schemas } from "~/api/client"
import { eventMarks } from "~/features/transaction/marks"

const START = Date.parse("2026-11-22T10:00:00Z")
const HOUR = 3_600_000

const event = (minute: number, given: Partial<Schemas["NotedEvent"]>): Schemas["NotedEvent"] => ({
  id: String(minute),
  time: new Date(START + minute * 60_000).toISOString(),
  end: null,
  type: "deployment",
  name: `${given.service} ${given.version}`,
  service: "",
  version: "",
  environment: "",
  attributes: {},
  source: "posted",
  author: "",
  ...given,
})

test("events have marks; those at almost the same time have one", () => {
  const events = [
    event(40, { type: "campaign", name: "Black Friday" }),
    event(20.5, { service: "orders", version: "2" }),
    event(20, { service: "payments", version: "2" }),
    event(-5, { type: "holiday", name: "before" }),
    event(40.2, { service: "orders", version: "3" }),
    event(50, { type: "feature_flag", name: "cart: on" }),
  ]
  expect(eventMarks(events, START, START + HOUR)).toEqual([
    { time: START + 20 * 60_000, name: "2 of 2 services" },
    { time: START + 40 * 60_000, name: "Black Friday · orders 3" },
    { time: START + 50 * 60_000, name: "cart: on" },
  ])
})
