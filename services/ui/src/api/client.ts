// The API's client. Its types come from the OpenAPI document (`make ui-types`).
import { queryOptions } from "@tanstack/react-query"
import createClient, { type FetchResponse, type MaybeOptionalInit } from "openapi-fetch"

import type { components, paths } from "~/api/schema"

export type Schemas = components["schemas"]

/** The part of a read that every path takes: what the bar and the URL say. */
export type Window = { environment?: string; start: string; end: string }

/** An answer that is not a success, as its problem document says; status 0: no answer. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly retryAfter: number | null = null,
  ) {
    super(detail)
  }
}

const made = createClient<paths>({
  baseUrl: location.origin,
  headers: { "X-Clew": "1" },
  fetch: (request) => fetch(request).catch(refused),
})

type Reads = { [Path in keyof paths]: paths[Path] extends { get: object } ? Path : never }[keyof paths]
type Posts = { [Path in keyof paths]: paths[Path] extends { post: object } ? Path : never }[keyof paths]
type Deletes = { [Path in keyof paths]: paths[Path] extends { delete: object } ? Path : never }[keyof paths]
type Known<Path extends Reads> = NonNullable<paths[Path]["get"]["parameters"]["query"]>

/** Forbids parameters of the query that the path does not have: openapi-fetch lets them through. */
type NoOther<Path extends Reads, Init> = Init extends { params: { query: infer Given } }
  ? { params: { query: { [Name in Exclude<keyof Given, keyof Known<Path>>]?: never } } }
  : unknown

export const client = {
  GET: <Path extends Reads, Init extends MaybeOptionalInit<paths[Path], "get">>(
    path: Path,
    init: Init & NoOther<Path, Init>,
  ): Promise<FetchResponse<paths[Path]["get"], Init, `${string}/${string}`>> =>
    made.GET(path, ...([init] as never)) as never,
  POST: <Path extends Posts, Init extends MaybeOptionalInit<paths[Path], "post">>(
    path: Path,
    init: Init,
  ): Promise<FetchResponse<paths[Path]["post"], Init, `${string}/${string}`>> =>
    made.POST(path, ...([init] as never)) as never,
  DELETE: <Path extends Deletes, Init extends MaybeOptionalInit<paths[Path], "delete">>(
    path: Path,
    init: Init,
  ): Promise<FetchResponse<paths[Path]["delete"], Init, `${string}/${string}`>> =>
    made.DELETE(path, ...([init] as never)) as never,
}

function refused(error: unknown): never {
  if (error instanceof DOMException && error.name === "AbortError") throw error
  throw new Problem(0, "clew does not answer: it is stopped, or the network is gone")
}

/** The document of a successful response; throws Problem. */
export async function read<Answer>(
  sent: Promise<{ data?: Answer; error?: unknown; response: Response }>,
): Promise<Answer> {
  const { data, response, error } = await sent
  if (response.ok && data !== undefined) return data
  throw problem(response, error)
}

export function problem(response: Response, document: unknown): Problem {
  const detail =
    typeof document === "object" && document !== null && "detail" in document
      ? String(document.detail)
      : response.statusText
  const after = response.headers.get("retry-after")
  return new Problem(response.status, detail, after === null ? null : Number(after))
}

/** A GET outside the client's types: of the paths that stream, and of statements. */
export async function fetched(path: string, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(path, { signal, headers: { "X-Clew": "1" } }).catch(refused)
  if (response.ok) return response
  throw problem(response, await response.json().catch(() => null))
}

/** The statements that a read runs, as the API says with `explain`. */
export const statementsOf = (path: string, query: Query) =>
  queryOptions({
    queryKey: ["sql", path, query],
    queryFn: async ({ signal }) => {
      const response = await fetched(address(path, { ...query, explain: "true" }), signal)
      const document = (await response.json()) as { sql?: string[] }
      return document.sql ?? []
    },
  })

export type Query = Record<string, string | number | boolean | string[] | null | undefined>

/** A path with its query; what is empty is left out. */
export function address(path: string, query: Query): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") parameters.append(name, String(one))
    }
  }
  const text = parameters.toString()
  return text ? `${path}?${text}` : path
}
