// Lines over time, with a brush that zooms. uPlot draws; the numbers stand in its legend.
import { useEffect, useMemo, useRef, useState } from "react"
import uPlot from "uplot"

import "uplot/dist/uPlot.min.css"
import { brushByKeys } from "~/parts/brush-keys"
import { clockOf, RIGHT, timeAxis, valueAxis } from "~/parts/axes"
import { useColours, type ColourName, type Colours } from "~/parts/colours"
import { drawMarks, type Mark, MARK_ROOM, MarkList, placed, type PlacedMark } from "~/parts/marks"
import { useWidth } from "~/parts/width"

export type Line = {
  name: string
  colour: ColourName
  values: readonly (number | null)[]
  dashed?: boolean
  edge?: "upper" | "lower" // of a band: between the two it is filled, and they are not drawn
}

type Props = {
  name: string
  times: readonly number[] // seconds since 1970
  lines: readonly Line[]
  format: (value: number) => string
  marks?: readonly Mark[]
  height?: number
  onBrush?: (start: number, end: number) => void // milliseconds since 1970
  from?: number // seconds: the whole window, though there may be no point at its edges
  to?: number
}

const SYNC = "time" // one cursor over all charts of a page

export function Chart({ name, times, lines, format, marks, height = 140, onBrush, from, to }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const width = useWidth(frame)
  const [shown, setShown] = useState<PlacedMark[]>([])
  const colours = useColours()
  const latest = useRef(onBrush)
  latest.current = onBrush
  const data = useMemo(
    () => [times, ...lines.map((line) => line.values)] as unknown as uPlot.AlignedData,
    [times, lines],
  )
  const shape = JSON.stringify(lines.map((line) => [line.name, line.colour, line.dashed, line.edge]))

  useEffect(() => {
    const element = frame.current
    if (!element || !width) return
    const plot = new uPlot(
      {
        width,
        height,
        cursor: { sync: { key: SYNC }, drag: { x: true, y: false, setScale: false }, points: { size: 5 } },
        select: { show: true, left: 0, top: 0, width: 0, height: 0 },
        legend: { show: true, live: true },
        padding: [marks?.length ? MARK_ROOM : 8, RIGHT, 0, 0],
        scales: {
          x: { time: true, range: (_plot, low, high) => [from ?? low, to ?? high] },
          y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.05 : 1] },
        },
        axes: [timeAxis(colours), valueAxis(colours, format)],
        series: [
          { label: "at", value: (_plot, value) => (value ? clockOf(value) : "") },
          ...lines.map((line) => ({
            label: line.name,
            stroke: line.edge ? undefined : colours[line.colour],
            width: line.edge ? 0 : 1.5,
            dash: line.dashed ? [4, 3] : undefined,
            points: { show: times.length < 3 && !line.edge, size: 4 },
            value: (_plot: uPlot, value: number | null) => (value === null ? "" : format(value)),
          })),
        ],
        bands: bandsOf(lines, colours),
        hooks: {
          draw: [(plot) => drawMarks(plot, marks ?? [], colours.muted)],
          setSelect: [
            (plot) => {
              if (plot.select.width > 4) {
                const start = plot.posToVal(plot.select.left, "x") * 1000
                const end = plot.posToVal(plot.select.left + plot.select.width, "x") * 1000
                latest.current?.(start, end)
              }
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
            },
          ],
        },
      },
      data,
      element,
    )
    setShown(placed(plot, marks ?? []))
    const stop = latest.current ? brushByKeys(element, plot, false) : undefined
    return () => {
      stop?.()
      plot.destroy()
    }
    // The lines' names and colours stand in `shape`.
  }, [width, height, colours, shape, data, from, to, marks, format])

  return (
    <div className="charted">
      <div ref={frame} className="chart" role="img" aria-label={name} tabIndex={onBrush ? 0 : undefined} style={{ minHeight: height }} />
      <MarkList marks={shown} />
    </div>
  )
}

/** The band between an upper and a lower edge; a line's place is one more, after the times. */
function bandsOf(lines: readonly Line[], colours: Colours): uPlot.Band[] {
  const upper = lines.findIndex((line) => line.edge === "upper")
  const lower = lines.findIndex((line) => line.edge === "lower")
  if (upper < 0 || lower < 0) return []
  return [{ series: [upper + 1, lower + 1], fill: colours.rule }]
}
