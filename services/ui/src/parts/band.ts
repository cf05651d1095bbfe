// A series and the band in which nine of ten of its hours lie, as lines of a chart.
import { queryOptions } from "@tanstack/react-query"

import { client, read, type Schemas } from "~/api/client"
import type { Line } from "~/parts/chart"

export type BandMeasure = "rate" | "error_rate" | "p50" | "p75" | "p95" | "value_lost" | "value"
type Edges = Pick<Schemas["BandPoint"], "expected" | "lower" | "upper">
type Named = "transaction" | "service" | "operation" | "dependency" | "metric" | "environment"
export type BaselineQuery = { start: string; end: string; measure: BandMeasure } & Partial<Record<Named, string>>
export const BASELINES = "/api/v1/baselines"
const HOUR = 3600 // seconds

export const baseline = (query: BaselineQuery | undefined) =>
  queryOptions({
    queryKey: ["baseline", query && { ...query, start: hour(query.start), end: hour(query.end) }],
    meta: { name: "what is usual" },
    enabled: query !== undefined,
    refetchInterval: false, // what is usual changes once an hour
    queryFn: ({ signal }) => read(client.GET(BASELINES, { params: { query: query ?? {} }, signal })),
  })

const hour = (time: string) => time.slice(0, 13) // so that the same hours are not asked for again

const edgeLines = (points: readonly (Edges | undefined)[], factor = 1): Line[] => {
  const of = (name: keyof Edges) => points.map((point) => scaled(point?.[name], factor))
  return [
    { name: "usually to", colour: "muted", values: of("upper"), edge: "upper" },
    { name: "usually from", colour: "muted", values: of("lower"), edge: "lower" },
    { name: "usual", colour: "muted", values: of("expected"), dashed: true },
  ]
}

const scaled = (value: number | null | undefined, factor: number) => (value == null ? null : value * factor)

export const bandLines = (name: string, points: readonly Schemas["BandPoint"][]): Line[] => [
  ...edgeLines(points),
  { name, colour: "link", values: points.map((point) => point.value) },
]

/** The band at times (seconds), each in its hour; none where nothing is usual yet. `factor`: of the chart's unit. */
export function bandAt(times: readonly number[], points: readonly Schemas["BandPoint"][], factor = 1): Line[] {
  const hours = new Map(points.map((point) => [Date.parse(point.time) / 1000, point]))
  const inside = times.map((time) => hours.get(Math.floor(time / HOUR) * HOUR))
  return inside.some((point) => point?.expected != null) ? edgeLines(inside, factor) : []
}
