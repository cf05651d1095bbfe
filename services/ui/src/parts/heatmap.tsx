// Counts by time and duration on a logarithmic scale, errors as ticks. A brush gives a region.
import { useEffect, useRef, useState } from "react"
import uPlot from "uplot"

import "uplot/dist/uPlot.min.css"
import { logarithmicSteps, RIGHT, timeAxis, valueAxis } from "~/parts/axes"
import { brushByKeys } from "~/parts/brush-keys"
import { type Colours, useColours } from "~/parts/colours"
import { drawMarks, type Mark, MARK_ROOM, MarkList, placed, type PlacedMark } from "~/parts/marks"
import { useWidth } from "~/parts/width"
import { duration } from "~/view/format"

export type Cells = {
  times: readonly number[] // seconds since 1970, of the columns' starts
  step: number // seconds
  bounds: readonly number[] // milliseconds, ascending: one more than there are rows
  counts: readonly (readonly number[])[]
  errors: readonly (readonly number[])[]
}

/** Milliseconds since 1970, and of duration. */
export type Brushed = { start: number; end: number; min: number; max: number }

type Props = {
  name: string
  cells: Cells
  height?: number
  from: number // seconds since 1970
  to: number
  chosen?: Brushed
  objective?: number | null // milliseconds
  marks?: readonly Mark[]
  onBrush: (region: Brushed) => void
}

const FAINTEST = 0.16

export function Heatmap({ name, cells, height = 260, from, to, chosen, objective, marks, onBrush }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const [shown, setShown] = useState<PlacedMark[]>([])
  const width = useWidth(frame)
  const colours = useColours()
  const latest = useRef(onBrush)
  latest.current = onBrush

  useEffect(() => {
    const element = frame.current
    if (!element || !width || cells.bounds.length < 2) return
    const low = cells.bounds[0] ?? 1
    const high = cells.bounds.at(-1) ?? 10
    const plot = new uPlot(
      {
        width,
        height,
        legend: { show: false },
        padding: [marks?.length ? MARK_ROOM : 8, RIGHT, 0, 0],
        cursor: {
          sync: { key: "time", scales: ["x", null] },
          drag: { x: true, y: true, uni: 12, setScale: false },
          points: { show: false },
        },
        scales: {
          x: { time: true, range: () => [from, to] },
          y: { distr: 3, log: 10, range: () => [low, high] },
        },
        axes: [
          timeAxis(colours),
          {
            ...valueAxis(colours, duration),
            splits: () => logarithmicSteps(low, high),
            filter: (_plot, splits) => splits,
          },
        ],
        series: [{}, { label: "duration", stroke: "transparent", points: { show: false } }],
        hooks: {
          drawAxes: [(plot) => drawCells(plot, cells, colours)],
          draw: [
            (plot) => {
              drawMarks(plot, marks ?? [], colours.muted)
              if (objective) drawObjective(plot, objective, colours)
              if (chosen) drawChosen(plot, chosen, colours)
            },
          ],
          setSelect: [
            (plot) => {
              const { left, top, width, height } = plot.select
              if (width > 4 && height > 0) latest.current(regionOf(plot, cells, left, top, width, height))
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
            },
          ],
        },
      },
      [[from, to], [low, high]],
      element,
    )
    setShown(placed(plot, marks ?? []))
    const stop = brushByKeys(element, plot, true)
    // A click that is no brush chooses the cell below it.
    const clicked = (event: MouseEvent) => {
      const region = regionOf(plot, cells, event.offsetX, event.offsetY, 0, 0)
      if (countOf(cells, region)) latest.current(region)
    }
    plot.over.addEventListener("click", clicked)
    return () => {
      stop()
      plot.over.removeEventListener("click", clicked)
      plot.destroy()
    }
  }, [width, height, colours, cells, from, to, chosen, objective, marks])

  return (
    <div className="charted">
      <div ref={frame} className="chart heatmap" role="img" aria-label={name} tabIndex={0} style={{ minHeight: height }} />
      <MarkList marks={shown} />
    </div>
  )
}

/** The cells that a brush touches, within the heatmap's times. A brush over the whole height means
 * every duration. */
function regionOf(plot: uPlot, cells: Cells, left: number, top: number, width: number, height: number): Brushed {
  const { times, step, bounds } = cells
  const first = placeOf(times, plot.posToVal(left, "x"))
  const last = placeOf(times, plot.posToVal(left + width, "x"))
  const rows = bounds.slice(0, -1)
  const lowest = placeOf(rows, plot.posToVal(top + height, "y"))
  const highest = placeOf(rows, plot.posToVal(top, "y"))
  const [from, to] = [plot.scales.x?.min ?? 0, plot.scales.x?.max ?? Infinity]
  const isWhole = top <= 2 && top + height >= plot.over.clientHeight - 2
  return {
    start: Math.max(times[first] ?? from, from) * 1000,
    end: Math.min((times[last] ?? to) + step, to) * 1000,
    min: isWhole ? 0 : (bounds[lowest] ?? 0),
    max: isWhole ? Infinity : (bounds[highest + 1] ?? Infinity),
  }
}

/** The place of the last of the ascending values that is not above this one. */
function placeOf(values: readonly number[], value: number): number {
  return Math.max(values.findLastIndex((one) => one <= value), 0)
}

function countOf({ times, bounds, counts }: Cells, region: Brushed): number {
  const column = times.findLastIndex((time) => time * 1000 <= region.start)
  return counts[column]?.[bounds.indexOf(region.min)] ?? 0
}

function drawCells(plot: uPlot, cells: Cells, colours: Colours) {
  const { ctx } = plot
  const most = Math.max(1, ...cells.counts.map((column) => Math.max(0, ...column)))
  ctx.save()
  ctx.beginPath()
  ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height)
  ctx.clip()
  cells.counts.forEach((column, index) => {
    const time = cells.times[index] ?? 0
    const x = plot.valToPos(time, "x", true)
    const width = Math.max(plot.valToPos(time + cells.step, "x", true) - x - 1, 1)
    column.forEach((number, row) => {
      if (!number) return
      const bottom = plot.valToPos(cells.bounds[row] ?? 1, "y", true)
      const top = plot.valToPos(cells.bounds[row + 1] ?? 1, "y", true)
      const height = Math.max(bottom - top - 1, 1)
      ctx.globalAlpha = FAINTEST + (1 - FAINTEST) * (Math.log1p(number) / Math.log1p(most))
      ctx.fillStyle = colours.heat
      ctx.fillRect(x, top, width, height)
      const failed = cells.errors[index]?.[row] ?? 0
      if (failed) {
        ctx.globalAlpha = 1
        ctx.fillStyle = colours.error
        ctx.fillRect(x, top, Math.max((width * failed) / number, 2 * devicePixelRatio), Math.max(height / 3, 2))
      }
    })
  })
  ctx.restore()
}

function drawObjective(plot: uPlot, objective: number, colours: Colours) {
  const { ctx, bbox } = plot
  const y = plot.valToPos(objective, "y", true)
  if (y < bbox.top || y > bbox.top + bbox.height) return
  ctx.save()
  ctx.strokeStyle = ctx.fillStyle = colours.warn
  ctx.setLineDash([4, 3])
  ctx.beginPath()
  ctx.moveTo(bbox.left, y)
  ctx.lineTo(bbox.left + bbox.width, y)
  ctx.stroke()
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`
  ctx.textAlign = "left"
  ctx.fillText("objective", bbox.left + 4, y - 4)
  ctx.restore()
}

function drawChosen(plot: uPlot, chosen: Brushed, colours: Colours) {
  const { ctx, bbox } = plot
  const [left, right] = [chosen.start, chosen.end].map((time) => plot.valToPos(time / 1000, "x", true))
  const top = Number.isFinite(chosen.max) ? plot.valToPos(chosen.max, "y", true) : bbox.top
  const bottom = chosen.min > 0 ? plot.valToPos(chosen.min, "y", true) : bbox.top + bbox.height
  ctx.save()
  ctx.strokeStyle = colours.text
  ctx.lineWidth = 1.5 * devicePixelRatio
  ctx.strokeRect(left ?? 0, top, (right ?? 0) - (left ?? 0), bottom - top)
  ctx.restore()
}
