// What a page shows, as it stands in its URL: plain text without quotes, and nothing that is not set.

/** Parameters of the query. What comes several times is an array. */
export function parseSearch(query: string): Record<string, string | string[]> {
  const search: Record<string, string | string[]> = {}
  for (const [name, value] of new URLSearchParams(query)) {
    const before = search[name]
    search[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  return search
}

/** The query, with its question mark, or an empty text. */
export function stringifySearch(search: Record<string, unknown>): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(search)) {
    if (value === undefined || value === null || value === "") continue
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one))
  }
  const text = parameters.toString().replace(/%3A|%2C|%2F|%40|%7E/g, decodeURIComponent)
  return text && `?${text}`
}
