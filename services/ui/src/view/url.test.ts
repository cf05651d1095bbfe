import { expect, test } from "vitest"

import { parseSearch, stringifySearch } from "~/view/url"

test("the state of a page stands in the URL as plain text", () => {
  const search = { start: "2026-11-29T10:00:00Z", closed: "0,4", q: "5", live: true, folds: false, min: 1.5 }
  const query = "?start=2026-11-29T10:00:00Z&closed=0,4&q=5&live=true&folds=false&min=1.5"
  expect(stringifySearch(search)).toBe(query)
  expect(parseSearch(query)).toEqual({ ...search, live: "true", folds: "false", min: "1.5" })
})

test("what is not set does not stand there", () => {
  expect(stringifySearch({ q: "", attr: [], tab: undefined })).toBe("")
  expect(parseSearch("")).toEqual({})
})

test.each([["a=b&c"], ["+ %20?#"], ["\u202e\u0000"], ["true"], ["[1]"]])("any text comes back: %j", (text) => {
  expect(parseSearch(stringifySearch({ text, several: [text, ""] }))).toEqual({ text, several: [text, ""] })
})
