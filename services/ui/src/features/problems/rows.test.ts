import { expect, test } from "vitest"

import { type Alert, contains, rowsOf } from "~/features/problems/rows"

const alert = (id: string, group = id) =>
  ({ id, group, headline: `${id} is slow`, rule: "rule", labels: { service: "payments" } }) as unknown as Alert

const shown = (alerts: Alert[], ...opened: string[]) =>
  rowsOf(alerts, new Set(opened)).map((row) => [row.alert.id, row.depth, row.members])

test("what another problem stands for lies below it", () => {
  const alerts = [alert("b", "a"), alert("a"), alert("c", "a"), alert("d")]
  expect(shown(alerts)).toEqual([["a", 0, 2], ["d", 0, 0]])
  expect(shown(alerts, "a", "d")).toEqual([["a", 0, 2], ["b", 1, 0], ["c", 1, 0], ["d", 0, 0]])
})

test("what stands for a problem may be filtered out", () => {
  expect(shown([alert("b", "a")])).toEqual([["b", 0, 0]])
})

test("a circle of groups hides nothing for good", () => {
  expect(shown([alert("a", "b"), alert("b", "a")])).toEqual([["a", 0, 0], ["b", 0, 0]])
})

test("a search looks into headline, rule and labels", () => {
  expect(["A is", "RULE", "pay"].map((text) => contains(alert("a"), text))).toEqual([true, true, true])
  expect(contains(alert("a"), "cart")).toBe(false)
})
