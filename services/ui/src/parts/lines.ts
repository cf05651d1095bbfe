// Which lines of a long list are in sight.
import { type RefObject, useCallback, useLayoutEffect, useState } from "react"

const SPARE = 6 // lines above and below

/** First and last line (exclusive) to draw, of lines of one height in a scrolling element, and how many have room. */
export function useLines(scroller: RefObject<HTMLElement | null>, count: number, height: number) {
  const [[top, room], setPlace] = useState([0, 0])
  const look = useCallback(() => {
    const element = scroller.current
    if (element) setPlace([Math.floor(element.scrollTop / height), Math.ceil(element.clientHeight / height)])
  }, [scroller, height])
  useLayoutEffect(() => {
    const element = scroller.current
    if (!element) return
    look()
    const observer = new ResizeObserver(look)
    observer.observe(element)
    element.addEventListener("scroll", look, { passive: true })
    return () => {
      observer.disconnect()
      element.removeEventListener("scroll", look)
    }
  }, [scroller, look])
  const first = Math.max(0, Math.min(top, count) - SPARE)
  return { first, last: Math.min(count, top + room + SPARE), room }
}
