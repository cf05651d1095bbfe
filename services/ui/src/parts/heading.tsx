// The heading of a page.
import { useEffect } from "react"

/** The heading, which also names the browser's tab while it is there. `foreign`: the text comes from telemetry. */
export function Heading({ text, foreign = false }: { text: string; foreign?: boolean }) {
  useEffect(() => {
    document.title = `${text} · clew`
    return () => {
      document.title = "clew"
    }
  }, [text])
  return <h1 className={foreign ? "foreign" : undefined}>{text}</h1>
}
