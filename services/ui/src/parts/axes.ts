// Axes that charts share.
import type uPlot from "uplot"

import type { Colours } from "~/parts/colours"

const FONT = "11px system-ui, sans-serif"
export const RIGHT = 20 // pixels beside a chart: half of its last time
const DAY_S = 86_400

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" })
const SECONDS = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" })
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" })

const base = (colours: Colours) => ({
  stroke: colours.muted,
  font: FONT,
  ticks: { show: false },
  gap: 4,
})

/** Times of the day, or dates for a window of several days. */
export const timeAxis = (colours: Colours): uPlot.Axis => ({
  ...base(colours),
  grid: { show: false },
  size: 24,
  space: 72,
  values: (_plot, times) => {
    const step = (times[1] ?? 0) - (times[0] ?? 0)
    const format = step >= DAY_S ? DATE : step < 60 ? SECONDS : CLOCK
    return times.map((time) => format.format(time * 1000))
  },
})

export const valueAxis = (colours: Colours, format: (value: number) => string): uPlot.Axis => ({
  ...base(colours),
  grid: { stroke: colours.rule, width: 1 },
  size: 60,
  space: 28,
  values: (_plot, values) => values.map((value) => format(value)),
})

/** 1, 3, 10, 30, … between two values. */
export function logarithmicSteps(low: number, high: number): number[] {
  const steps = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    steps.push(...[1, 3].map((digit) => digit * 10 ** power))
  }
  return steps.filter((step) => step >= low && step <= high)
}

export const clockOf = (seconds: number) => SECONDS.format(seconds * 1000)
