// Keys of the whole UI. A page adds its own with `useKey`.
import { useNavigate, useRouter } from "@tanstack/react-router"
import { useEffect, useRef } from "react"

import type { Overlay } from "~/shell/shell"
import { toggleLive, useChangeView } from "~/view/view"

export const KEYS: readonly [string, string][] = [
  ["Ctrl K", "palette: go to anything"],
  ["/", "search or filter this page"],
  ["g t", "transactions"],
  ["g s", "traces"],
  ["g p", "problems"],
  ["g f", "findings"],
  ["g d", "third parties"],
  ["j  k", "next, previous row"],
  ["Enter", "open the row"],
  ["o", "open or close a fold"],
  ["e", "next error"],
  ["n", "next match of the search"],
  ["c", "critical path only"],
  ["[  ]", "zoom out, in"],
  ["← →", "on a chart: move; with Shift mark, Enter takes it"],
  ["s", "SQL of the first panel"],
  ["l", "live"],
  ["r", "ask again"],
  ["?", "these keys"],
]

const SEQUENCE_MS = 3000

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
  )
}

/** Calls `act` when the key is pressed outside a field and a dialog. `repeats`: again and again while
 * it is held. */
export function useKey(key: string, act: (event: KeyboardEvent) => void, repeats = false) {
  const latest = useRef(act)
  latest.current = act
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== key || event.ctrlKey || event.metaKey || event.altKey) return
      if (event.repeat && !repeats) return
      if (isTyping(event.target) || document.querySelector("[role=dialog]:not([hidden])")) return
      latest.current(event)
    }
    document.addEventListener("keydown", pressed)
    return () => document.removeEventListener("keydown", pressed)
  }, [key, repeats])
}

export function useKeys(setOverlay: (overlay: Overlay) => void) {
  const navigate = useNavigate()
  const router = useRouter()
  const changeView = useChangeView()
  const leader = useRef(-Infinity)

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key === "k" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault()
        setOverlay("palette")
      }
    }
    document.addEventListener("keydown", pressed)
    return () => document.removeEventListener("keydown", pressed)
  }, [setOverlay])

  const follows = (event: KeyboardEvent) => event.timeStamp - leader.current < SEQUENCE_MS
  useKey("g", (event) => (leader.current = event.timeStamp))
  useKey("t", (event) => follows(event) && void navigate({ to: "/" }))
  useKey("s", (event) => {
    if (follows(event)) void navigate({ to: "/traces" })
    else click("[data-sql]", event)
  })
  useKey("p", (event) => follows(event) && void navigate({ to: "/problems" }))
  useKey("f", (event) => follows(event) && void navigate({ to: "/findings" }))
  useKey("d", (event) => follows(event) && void navigate({ to: "/third-parties" }))
  useKey("l", () => changeView(toggleLive))
  useKey("?", () => setOverlay("help"))
  useKey("r", () => void router.invalidate())
  useKey("/", (event) => {
    event.preventDefault()
    document.querySelector<HTMLInputElement>("main input[type=search]")?.focus()
  })
  useKey("j", () => moveRow(1), true)
  useKey("k", () => moveRow(-1), true)
}

function click(selector: string, event: KeyboardEvent) {
  const button = document.querySelector<HTMLElement>(`main ${selector}`)
  if (button) {
    event.preventDefault()
    button.click()
  }
}

/** Moves the focus to the link of the next or previous row of a table. */
function moveRow(step: number) {
  const rows = [...document.querySelectorAll<HTMLElement>("main [data-row]")]
  if (!rows.length) return
  const current = rows.findIndex((row) => row.contains(document.activeElement))
  const next = rows[Math.min(Math.max(current + step, 0), rows.length - 1)]
  next?.focus()
}
