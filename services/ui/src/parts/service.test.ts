import { expect, test } from "vitest"

import { rankOf, serviceRanks } from "~/parts/service"

const SHOP = ["storefront", "orders", "payments", "inventory", "shipping", "mail", "search", "users"]

test("a service has the same colour whatever the order and the page", () => {
  const ranks = serviceRanks(SHOP)
  expect(serviceRanks([...SHOP].reverse())).toEqual(ranks)
  expect(new Set(ranks.values()).size).toBe(SHOP.length)
  for (const name of SHOP) expect(serviceRanks([name]).get(name)).toBe(rankOf(new Map(), name))
})

test("from the ninth on the colours come again", () => {
  const ranks = serviceRanks([...SHOP, "zoo", "zulu"])
  expect([...ranks.values()].filter((rank) => rank >= 8)).toHaveLength(2)
})
