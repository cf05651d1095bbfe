import { describe, expect, it } from "vitest"

import { budgetLeft, bytes, change, count, digits, duration, measured, moneyBetween, percent, rate, resourceName, roughPercent } from "~/view/format"

describe("format", () => {
  it.each([
    [0, "0"],
    [0.0421, "0.042"],
    [4.21, "4.2"],
    [42.12, "42.1"],
    [421.2, "421"],
    [4212, "4,212"],
  ])("writes %s in digits that count", (value, text) => expect(digits(value)).toBe(text))

  it.each([
    [null, "–"],
    [0, "0 ms"],
    [0.42, "420 µs"],
    [4.2, "4.2 ms"],
    [1300, "1.3 s"],
    [125_000, "2 min 5 s"],
    [300_000, "5 min"],
    [3_660_000, "1 h 1 min"],
  ])("writes a duration of %s ms", (value, text) => expect(duration(value)).toBe(text))

  it("writes shares, changes, rates, counts and sizes", () => {
    expect(percent(0.053)).toBe("5.3 %")
    expect(change(3.1)).toBe("+310 %")
    expect(change(-0.12)).toBe("−12 %")
    expect(change(0.001)).toBe("0 %")
    expect(rate(1.9)).toBe("1.9/s")
    expect(rate(0.05)).toBe("3/min")
    expect(rate(0.0005)).toBe("1.8/h")
    expect(count(1204)).toBe("1,204")
    expect(count(12_345)).toBe("12.3K")
    expect(bytes(1536)).toBe("1.5 KiB")
    expect(bytes(1023.9 * 1024)).toBe("1 MiB")
    expect(measured(2, "s")).toBe("2 s")
    expect(measured(3, "{request}")).toBe("3")
  })
})

it("what only the size of matters has no tiny numbers", () => {
  expect([0, 0.0000004, 0.002, 0.118].map(roughPercent)).toEqual(["0 %", "below 0.1 %", "0.2 %", "11.8 %"])
  expect(["cpu_host", "connection_pool"].map(resourceName)).toEqual(["CPU host", "connection pool"])
  expect(moneyBetween(867, 740, 1100)).toBe("867 (740 to 1,100)")
  expect(moneyBetween(0, -10, 14)).toBe("0")
})

it("error budgets", () => {
  expect([0.125, 0, -8.63].map(budgetLeft)).toEqual(["12.5 % left", "0 % left", "863 % over"])
})
