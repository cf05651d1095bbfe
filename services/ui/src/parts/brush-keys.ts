// A brush over a chart by the keyboard: arrows move the cursor, with Shift they mark, Enter takes
// what is marked, Escape lets it go.
import type uPlot from "uplot"

const STEPS = 40 // from one edge of the chart to the other

const MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
}

/** Listens on the element, which must be focusable. `up`: whether up and down mark too. Gives a
 * function that stops it. */
export function brushByKeys(element: HTMLElement, plot: uPlot, up: boolean): () => void {
  const size = () => [plot.over.clientWidth, plot.over.clientHeight] as const
  let head: [number, number] | undefined
  let foot: [number, number] = [0, 0]
  const marked = () => {
    const [left, top] = head ?? foot
    const height = Math.abs(top - foot[1])
    return {
      left: Math.min(left, foot[0]),
      width: Math.abs(left - foot[0]),
      top: up && height ? Math.min(top, foot[1]) : 0,
      height: up && height ? height : size()[1],
    }
  }
  const pressed = (event: KeyboardEvent) => {
    const move = MOVES[event.key]
    const [width, height] = size()
    if (move && (up || move[0])) {
      const [left, top] = head ?? [width / 2, height / 2]
      const next: [number, number] = [
        within(left + (move[0] * width) / STEPS, width),
        within(top + (move[1] * height) / STEPS, height),
      ]
      if (!event.shiftKey) foot = next
      else if (!head) foot = [left, top]
      head = next
      plot.setCursor({ left: next[0], top: next[1] })
      plot.setSelect(marked(), false)
    } else if (event.key === "Enter" && head && marked().width) {
      plot.setSelect(marked(), true)
    } else if (event.key === "Escape" && head) {
      head = undefined
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
    } else return
    event.preventDefault()
  }
  element.addEventListener("keydown", pressed)
  return () => element.removeEventListener("keydown", pressed)
}

const within = (place: number, most: number) => Math.min(Math.max(place, 0), most)
