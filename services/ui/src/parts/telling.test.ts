import { expect, test } from "vitest"

import { headline, telling } from "~/parts/telling"

type Findings = Parameters<typeof telling>[0]

const finding = (id: string, service: string, operation: string, first_seen: string, ...ids: string[]) => ({
  id,
  service,
  operation,
  first_seen,
  transactions: ids.map((one) => ({ id: one, defined: [`${one}-defined`] })),
})

const SINCE = "2026-11-29T10:00:00Z"
const [OLD, NEW] = ["2026-11-20T10:00:00Z", "2026-11-29T09:55:00Z"]
const FINDINGS = [
  finding("costly", "orders", "GET /", OLD),
  finding("new", "orders", "POST /ship", NEW),
  finding("same", "orders", "POST /orders", OLD),
  finding("touched", "shop", "POST /checkout", NEW, "t1"),
  finding("touched before", "shop", "POST /checkout", OLD, "t1"),
  finding("elsewhere", "shop", "GET /", NEW, "t2"),
] as unknown as Findings

const names = (place: Parameters<typeof telling>[1]) => telling(FINDINGS, place).map(({ finding: { id } }) => id)

test("findings of the operation come first, then new ones", () => {
  const place = { service: "orders", operation: "POST /orders", since: SINCE }
  expect(names(place)).toEqual(["same", "new", "costly"])
})

test("of other services only what came with it and is in a transaction that it touches is shown", () => {
  const place = { service: "orders", operation: "POST /orders", transactions: ["t1"], since: SINCE }
  expect(names(place)).toEqual(["same", "new", "touched", "costly"])
  expect(names({ transactions: ["t1-defined"], since: SINCE })).toEqual(["touched"])
})

test("without a time nothing is new, and the most expensive come first", () => {
  expect(names({ service: "orders" })).toEqual(["costly", "new", "same"])
})

test("a finding of a whole service has no operation", () => {
  const leak = { title: "Memory leak", service: "orders", operation: "" } as Findings[number]
  expect(headline(leak, { service: "orders" })).toBe("Memory leak")
  expect(headline(leak, {})).toBe("Memory leak, orders")
  expect(headline({ ...leak, operation: "GET /" }, {})).toBe("Memory leak, orders GET /")
})
