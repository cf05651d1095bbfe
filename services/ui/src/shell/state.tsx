// A note in the corner: what the answers on the page do not contain, and what could not be read again
// while what was read before still stands.
import { type Query, useQueryClient } from "@tanstack/react-query"
import { X } from "lucide-react"
import { useCallback, useState, useSyncExternalStore } from "react"

import { type Answered, notesOf, type Partial } from "~/shell/notes"
import { instant } from "~/view/time"
import { useView } from "~/view/view"

declare module "@tanstack/react-query" {
  interface Register {
    /** What an answer is called in notes, and how many entries its lists have at most. */
    queryMeta: { name?: string; limit?: number }
  }
}

const SEPARATOR = "\n"

export function State() {
  const cache = useQueryClient().getQueryCache()
  const { window } = useView()
  const end = window.end
  // As one text, because what is the same must be equal.
  const text = useCallback(() => {
    const queries = cache.getAll().filter((query) => query.isActive())
    const stale = queries.find(({ state }) => state.error && state.data !== undefined)?.state.error
    const notes = notesOf(queries.flatMap(answersOf), Math.min(instant(end), Date.now()))
    if (stale) notes.unshift(`This page is not current: ${stale.message}`)
    return notes.join(SEPARATOR)
  }, [cache, end])
  const notes = useSyncExternalStore(useCallback((changed) => cache.subscribe(changed), [cache]), text)
  const [hidden, setHidden] = useState("")
  return (
    <div role="status" className="state small">
      {notes && notes !== hidden && (
        <>
          <ul>
            {notes.split(SEPARATOR).map((note) => (
              <li key={note}>
                <span className="warn" aria-hidden>
                  ▲{" "}
                </span>
                {note}
              </li>
            ))}
          </ul>
          <button type="button" className="icon-button" aria-label="Hide these notes" onClick={() => setHidden(notes)}>
            <X size={12} aria-hidden />
          </button>
        </>
      )}
    </div>
  )
}

/** The answer of a query; of one with pages the first. */
function answersOf({ state: { data }, meta }: Query): Answered[] {
  const pages = data as { pages?: unknown[] } | undefined
  const answer = pages?.pages?.[0] ?? data
  if (!meta?.name || typeof answer !== "object" || answer === null) return []
  return [{ name: meta.name, limit: meta.limit, answer: answer as Partial }]
}
