import { expect, test } from "vitest"

import { unwatchedText } from "~/features/problems/texts"

const left = (service: string) => ({ kind: "service", labels: { environment: "prod", service }, requests: 3, why: "" })

test("series that are not watched are counted, and the first named", () => {
  const watched = { limit: 2000, series: 2000, learning: 0 }
  expect(unwatchedText({ ...watched, unwatched: 1, largest_unwatched: [left("mail")] })).toBe(
    "1 series is not compared with the past, as the limit (--watch-limit) is 2,000: prod mail",
  )
  const names = ["a", "b", "c", "d"].map(left)
  expect(unwatchedText({ ...watched, unwatched: 12, largest_unwatched: names })).toMatch(/^12 series are .*prod c …$/)
})
