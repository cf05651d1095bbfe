// What happened, on the time axis of a chart: a line with its name, which hover and keyboard show whole.
import type uPlot from "uplot"

import { clock } from "~/view/time"

export type Mark = { time: number; name: string } // milliseconds since 1970
export type PlacedMark = Mark & { left: number } // pixels from the left edge of the chart

const MAX_LETTERS = 40

/** Room above a chart for the names of its marks, in pixels. */
export const MARK_ROOM = 16

export function drawMarks(plot: uPlot, marks: readonly Mark[], colour: string) {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.strokeStyle = ctx.fillStyle = colour
  ctx.setLineDash([3, 3])
  ctx.textAlign = "left"
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`
  let free = bbox.left // right of the last name
  for (const mark of marks) {
    const x = plot.valToPos(mark.time / 1000, "x", true)
    if (x < bbox.left || x > bbox.left + bbox.width) continue
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
    const text = `▼ ${mark.name}`.slice(0, MAX_LETTERS)
    const long = ctx.measureText(text).width
    const left = Math.min(x - 4 * devicePixelRatio, bbox.left + bbox.width - long)
    if (left < free) continue
    ctx.fillText(text, left, bbox.top - 3 * devicePixelRatio)
    free = left + long + 8 * devicePixelRatio
  }
  ctx.restore()
}

/** The marks that lie within the chart. */
export function placed(plot: uPlot, marks: readonly Mark[]): PlacedMark[] {
  const { offsetLeft, clientWidth } = plot.over
  return marks
    .map((mark) => ({ ...mark, left: plot.valToPos(mark.time / 1000, "x") }))
    .filter(({ left }) => left >= 0 && left <= clientWidth)
    .map((mark) => ({ ...mark, left: mark.left + offsetLeft }))
}

/** They stand over the names that are drawn, one after the other for the keyboard. */
export function MarkList({ marks }: { marks: readonly PlacedMark[] }) {
  if (!marks.length) return null
  return (
    <ul className="marks" aria-label="Events">
      {marks.map((mark) => {
        const text = `${clock(mark.time)} ${mark.name}`
        return (
          <li key={`${mark.time} ${mark.name}`} tabIndex={0} style={{ left: mark.left }} title={text}>
            <span className="foreign">{text}</span>
          </li>
        )
      })}
    </ul>
  )
}
