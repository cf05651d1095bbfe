// What the bar chooses: environment, time range, live. It stands in the URL of every page.
import { useQuery, type QueryKey, type UseQueryOptions } from "@tanstack/react-query"
import { keepPreviousData } from "@tanstack/react-query"
import { useNavigate, useSearch } from "@tanstack/react-router"
import { useCallback } from "react"

import type { Problem, Window } from "~/api/client"

export type View = { env?: string; start?: string; end?: string; live?: boolean }

export const VIEW = ["env", "start", "end", "live"] as const
export const DEFAULT_START = "-1h"
export const LIVE_MS = 5000

export function readView(search: Record<string, unknown>): View {
  return {
    env: text(search.env),
    start: text(search.start),
    end: text(search.end),
    live: flag(search.live, true),
  }
}

/** A search parameter as a text that is not empty. */
export const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined

/** A search parameter as texts; undefined if there is none. */
export function texts(value: unknown): string[] | undefined {
  const read = typeof value === "string" ? [value] : value
  return Array.isArray(read) && read.length ? read.map(String) : undefined
}

/** A search parameter that is only there as `wanted`: the other is what holds without it. */
export const flag = <Wanted extends boolean>(value: unknown, wanted: Wanted): Wanted | undefined =>
  value === wanted || value === String(wanted) ? wanted : undefined

/** A search parameter as a number of at least 0. */
export function number(value: unknown): number | undefined {
  const read = typeof value === "number" ? value : Number.parseFloat(String(value))
  return Number.isFinite(read) && read >= 0 ? read : undefined
}

/** One of the choices, or undefined. */
export function oneOf<T extends string>(value: unknown, choices: readonly T[]): T | undefined {
  return choices.find((choice) => choice === value)
}

export function useView(): View & { window: Window } {
  const { env, start, end, live } = useSearch({ strict: false })
  const window = { environment: env, start: start ?? DEFAULT_START, end: end ?? "now" }
  return { env, start, end, live, window }
}

/** Changes the view, on the same page. A function gets the view as it is by then. */
export function useChangeView(): (change: View | ((view: View) => View)) => void {
  const navigate = useNavigate()
  return useCallback(
    (change) =>
      void navigate({
        to: ".",
        search: (search: View) => ({
          ...search,
          ...withoutDefaults(typeof change === "function" ? change(search) : change),
        }),
      }),
    [navigate],
  )
}

/** What holds anyway does not stand in the URL. */
const withoutDefaults = (change: View): View => ({
  ...change,
  ...(change.start === DEFAULT_START && { start: undefined }),
  ...(change.end === "now" && { end: undefined }),
})

export const toggleLive = ({ live }: View): View => ({ live: live ? undefined : true })

/** A query whose answer is asked for again while the view is live, and stays until the next. */
export function useLive<Answer, Key extends QueryKey>(
  options: UseQueryOptions<Answer, Error, Answer, Key>,
) {
  const { live } = useView()
  return useQuery<Answer, Problem | Error, Answer, Key>({
    placeholderData: keepPreviousData as never,
    refetchInterval: live ? LIVE_MS : false,
    ...options,
  })
}
