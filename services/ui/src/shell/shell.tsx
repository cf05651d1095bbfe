// What every page stands in: the bar, the palette, the keys.
import { Outlet } from "@tanstack/react-router"
import { useState } from "react"

import { Bar } from "~/shell/bar"
import { Help } from "~/shell/help"
import { useKeys } from "~/shell/keys"
import { Palette } from "~/shell/palette"
import { State } from "~/shell/state"

export type Overlay = "palette" | "help" | null

export function Shell() {
  const [overlay, setOverlay] = useState<Overlay>(null)
  useKeys(setOverlay)
  return (
    <>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <Bar open={setOverlay} />
      <main id="main" tabIndex={-1}>
        <Outlet />
        <State />
      </main>
      <Palette open={overlay === "palette"} close={() => setOverlay(null)} />
      <Help open={overlay === "help"} close={() => setOverlay(null)} />
    </>
  )
}
