// A series and the band in which nine of ten of its hours lie, as lines of a chart.
import type { Line } from "~/parts/chart"

type Point = { value: number | null; expected: number | null; lower: number | null; upper: number | null }

export const bandLines = (name: string, points: readonly Point[]): Line[] => [
  { name: "usually to", colour: "muted", values: points.map((point) => point.upper), edge: "upper" },
  { name: "usually from", colour: "muted", values: points.map((point) => point.lower), edge: "lower" },
  { name: "usual", colour: "muted", values: points.map((point) => point.expected), dashed: true },
  { name, colour: "link", values: points.map((point) => point.value) },
]
