// The tokens as a canvas needs them: what the browser computes for the theme.
import { useSyncExternalStore } from "react"

const NAMES = [
  ...(["surface", "rule", "text", "muted", "link", "error", "warn", "ok", "heat", "border"] as const),
  ...([1, 2, 3, 4, 5, 6, 7, 8] as const).map((rank) => `service-${rank}` as const),
] as const

export type ColourName = (typeof NAMES)[number]
export type Colours = Record<ColourName, string>

const dark = matchMedia("(prefers-color-scheme: dark)")
let known: Colours | undefined

function subscribe(changed: () => void) {
  const again = () => {
    known = undefined
    changed()
  }
  document.addEventListener("theme", again)
  dark.addEventListener("change", again)
  return () => {
    document.removeEventListener("theme", again)
    dark.removeEventListener("change", again)
  }
}

function computed(): Colours {
  if (known) return known
  // A custom property keeps its light-dark(); the colour of an element does not.
  const probe = document.createElement("span")
  document.body.append(probe)
  const entries = NAMES.map((name) => {
    probe.style.color = `var(--${name})`
    return [name, getComputedStyle(probe).color]
  })
  probe.remove()
  return (known = Object.fromEntries(entries) as Colours)
}

export const useColours = () => useSyncExternalStore(subscribe, computed)
