// The bar: where one is, which environment, which time, live.
import { useQuery } from "@tanstack/react-query"
import { Link, useMatchRoute } from "@tanstack/react-router"
import { CircleHelp, Moon, Search, Sun, SunMoon } from "lucide-react"
import { useState } from "react"

import { openProblems } from "~/api/common"
import { Environment } from "~/shell/environment"
import type { Overlay } from "~/shell/shell"
import { chooseTheme, currentTheme, type Theme } from "~/shell/theme"
import { TimeRange } from "~/shell/time-range"
import { count } from "~/view/format"
import { LIVE_MS, toggleLive, useChangeView, useView } from "~/view/view"

const PAGES = [
  { to: "/", name: "Transactions", below: "/transactions/$id" },
  { to: "/traces", name: "Traces", below: "/traces/$id" },
  { to: "/problems", name: "Problems", below: "/problems/$id" },
  { to: "/findings", name: "Findings", below: "/findings/$id" },
  { to: "/third-parties", name: "Third parties", below: "/third-parties" },
] as const

const PROBLEMS_MS = 30_000 // between two looks at how many are open

export function Bar({ open }: { open: (overlay: Overlay) => void }) {
  return (
    <header className="bar">
      <Link to="/" className="brand" aria-label="clew: transactions">
        clew
      </Link>
      <nav aria-label="Pages">
        {PAGES.map((page) => (
          <PageLink key={page.to} page={page} />
        ))}
      </nav>
      <div className="bar-view">
        <Environment />
        <TimeRange />
        <Live />
      </div>
      <div className="bar-end">
        <button
          type="button"
          className="icon-button"
          onClick={() => open("palette")}
        >
          <Search size={16} aria-hidden /> <span className="hidden">Go to anything</span>{" "}
          <kbd>Ctrl K</kbd>
        </button>
        <button
          type="button"
          className="icon-button"
          onClick={() => open("help")}
          aria-label="Keys"
        >
          <CircleHelp size={16} aria-hidden />
        </button>
        <ThemeButton />
      </div>
    </header>
  )
}

function PageLink({ page }: { page: (typeof PAGES)[number] }) {
  const matches = useMatchRoute()
  const here = matches({ to: page.to }) || matches({ to: page.below })
  return (
    <Link to={page.to} aria-current={here ? "page" : undefined}>
      {page.name}
      {page.to === "/problems" && <OpenProblems />}
    </Link>
  )
}

/** How many problems are open; nothing while there is none. */
function OpenProblems() {
  const { live, window } = useView()
  const { data } = useQuery({
    ...openProblems(window.environment),
    refetchInterval: live ? LIVE_MS : PROBLEMS_MS,
  })
  if (!data) return null
  return (
    <>
      {" "}
      <span className="open-problems">
        {count(data)}
        <span className="hidden"> open</span>
      </span>
    </>
  )
}

function Live() {
  const { live } = useView()
  const changeView = useChangeView()
  return (
    <button
      type="button"
      className="button live"
      aria-pressed={live === true}
      onClick={() => changeView(toggleLive)}
    >
      <span className="live-dot" aria-hidden /> Live
    </button>
  )
}

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" }
const ICONS = { system: SunMoon, light: Sun, dark: Moon }

function ThemeButton() {
  const [theme, setTheme] = useState(currentTheme)
  const Icon = ICONS[theme]
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={`Theme: ${theme}`}
      onClick={() => {
        chooseTheme(NEXT[theme])
        setTheme(NEXT[theme])
      }}
    >
      <Icon size={16} aria-hidden />
    </button>
  )
}
