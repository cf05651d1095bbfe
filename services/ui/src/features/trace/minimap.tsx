// The whole trace in a strip, with a brush that zooms the lines below.
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react"

import type { Outline } from "~/features/trace/outline"
import type { Zoom } from "~/features/trace/waterfall"
import { type Colours, useColours } from "~/parts/colours"
import { colourOf, ranksOf } from "~/parts/service"
import { useWidth } from "~/parts/width"
import { duration } from "~/view/format"

const HEIGHT = 48
const MARKS = 2000 // drawn at most
const ERROR = 5 // pixels of its mark
const SMALLEST = 4 // pixels of a brush; less is a click

type Props = { outline: Outline; whole: number; zoom: Zoom; onZoom: (zoom: Zoom | undefined) => void }

export function Minimap({ outline, whole, zoom, onZoom }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const width = useWidth(frame)
  const colours = useColours()
  const [drag, setDrag] = useState<[number, number] | null>(null)

  useEffect(() => {
    if (canvas.current && width) draw(canvas.current, outline, whole, width, colours)
  }, [outline, whole, width, colours])

  const at = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect()
    return Math.min(Math.max(event.clientX - box.left, 0), box.width)
  }
  const time = (pixels: number) => (pixels / Math.max(width, 1)) * whole
  const chosen = drag ?? [(zoom.from / whole) * width, (zoom.to / whole) * width]
  const [left, right] = [Math.min(...chosen), Math.max(...chosen)]
  const isWhole = !drag && zoom.from <= 0 && zoom.to >= whole
  const moved = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -0.25, ArrowRight: 0.25 }[event.key]
    const length = zoom.to - zoom.from
    if (event.key === "Escape") onZoom(undefined)
    else if (step && !isWhole) {
      const from = Math.min(Math.max(zoom.from + step * length, 0), whole - length)
      onZoom({ from, to: from + length })
      event.preventDefault()
    }
  }
  return (
    <div
      ref={frame}
      className="minimap"
      role="img"
      aria-label={`The whole trace, ${duration(whole)}; shown from ${duration(zoom.from)} to ${duration(zoom.to)}`}
      tabIndex={0}
      onKeyDown={moved}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId)
        setDrag([at(event), at(event)])
      }}
      onPointerMove={(event) => drag && setDrag([drag[0], at(event)])}
      onPointerUp={() => {
        if (drag && right - left >= SMALLEST) onZoom({ from: time(left), to: time(right) })
        setDrag(null)
      }}
      onDoubleClick={() => onZoom(undefined)}
    >
      <canvas ref={canvas} />
      {!isWhole && (
        <span className="minimap-brush" style={{ left, width: Math.max(right - left, 1) }} aria-hidden />
      )}
    </div>
  )
}

function draw(canvas: HTMLCanvasElement, outline: Outline, whole: number, width: number, colours: Colours) {
  const ratio = devicePixelRatio
  canvas.width = width * ratio
  canvas.height = HEIGHT * ratio
  canvas.style.width = `${width}px`
  canvas.style.height = `${HEIGHT}px`
  const context = canvas.getContext("2d")
  if (!context) return
  context.scale(ratio, ratio)
  const rows = Math.max(outline.size, 1)
  const thickness = Math.max(HEIGHT / rows, 1)
  const mark = (row: number, colour: string, longest: number) => {
    const x = ((outline.start[row] ?? 0) / whole) * width
    const length = Math.min(Math.max(((outline.duration[row] ?? 0) / whole) * width, 0.75), longest)
    context.fillStyle = colour
    context.fillRect(x, (row / rows) * (HEIGHT - thickness), length, thickness)
  }
  // So many marks are enough: of 100,000 spans most would be drawn over.
  const step = Math.max(1, Math.floor(rows / MARKS))
  const ranks = ranksOf(outline.services)
  for (let row = 0; row < outline.size; row += step) {
    mark(row, colours[`service-${colourOf(ranks[outline.service[row] ?? 0] ?? 0)}` as "service-1"], width)
  }
  // Errors are marked at their starts; the first of many at one height is enough.
  let height = -1
  for (let row = 0; row < outline.size; row++) {
    const place = Math.floor((row / rows) * MARKS)
    if (!outline.isError[row] || place === height) continue
    mark(row, colours.error, ERROR)
    height = place
  }
}
