// The edge between a page and its side panel: dragged, or moved by the arrow keys.
import { type KeyboardEvent, type PointerEvent, useState } from "react"

const KEY = "side"
const [NARROWEST, WIDEST, STEP, USUAL] = [280, 1200, 40, 480]

const within = (width: number) => Math.min(Math.max(Math.round(width), NARROWEST), WIDEST)

/** The width of the side panel in pixels, kept in this browser. */
export function useSideWidth(): [number, (width: number) => void] {
  const [width, setWidth] = useState(() => within(Number(localStorage.getItem(KEY)) || USUAL))
  const change = (next: number) => {
    localStorage.setItem(KEY, String(within(next)))
    setWidth(within(next))
  }
  return [width, change]
}

export function Splitter({ width, onWidth }: { width: number; onWidth: (width: number) => void }) {
  const dragged = (event: PointerEvent<HTMLElement>) => {
    if (!event.currentTarget.hasPointerCapture(event.pointerId)) return
    const right = event.currentTarget.parentElement?.getBoundingClientRect().right ?? 0
    onWidth(right - event.clientX)
  }
  const pressed = (event: KeyboardEvent) => {
    const step = { ArrowLeft: STEP, ArrowRight: -STEP }[event.key]
    if (step === undefined) return
    event.preventDefault()
    onWidth(width + step)
  }
  return (
    <div
      className="splitter"
      role="separator"
      aria-orientation="vertical"
      aria-label="Width of the side panel"
      aria-valuenow={width}
      aria-valuemin={NARROWEST}
      aria-valuemax={WIDEST}
      tabIndex={0}
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={dragged}
      onKeyDown={pressed}
    />
  )
}
