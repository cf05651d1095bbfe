// The palette: type where to go. Pages, transactions, time ranges, a trace by its id.
import {
  Combobox,
  ComboboxItem,
  ComboboxList,
  ComboboxProvider,
  Dialog,
} from "@ariakit/react"
import { useQuery } from "@tanstack/react-query"
import { useNavigate } from "@tanstack/react-router"
import { useMemo, useState } from "react"

import { listOptions } from "~/features/transactions/queries"
import { chooseTheme } from "~/shell/theme"
import { RANGES } from "~/view/time"
import { useChangeView, useView } from "~/view/view"

type Entry = { name: string; hint: string; act: () => void }

const TRACE_ID = /^[0-9a-f]{16,32}$/i
const SHOWN = 12

export function Palette({ open, close }: { open: boolean; close: () => void }) {
  return (
    <Dialog
      open={open}
      onClose={close}
      className="dialog palette"
      backdrop={<div className="backdrop" />}
      aria-label="Go to anything"
      unmountOnHide
    >
      <Entries close={close} />
    </Dialog>
  )
}

function Entries({ close }: { close: () => void }) {
  const [typed, setTyped] = useState("")
  const entries = useEntries(typed)
  return (
    <ComboboxProvider
      resetValueOnHide
      open
      setValue={setTyped}
      defaultActiveId={undefined}
      setOpen={(open) => open || close()}
    >
      <Combobox
        autoSelect="always"
        className="palette-input"
        placeholder="A page, a transaction, a time range, a trace's id"
        aria-label="Go to"
      />
      <ComboboxList className="palette-list" alwaysVisible>
        {entries.map((entry) => (
          <ComboboxItem
            key={`${entry.hint} ${entry.name}`}
            className="item"
            focusOnHover
            hideOnClick={false}
            setValueOnClick={false}
            onClick={() => {
              close()
              entry.act()
            }}
          >
            <span className="one-line">{entry.name}</span>
            <span className="muted small">{entry.hint}</span>
          </ComboboxItem>
        ))}
        {!entries.length && <p className="muted palette-none">Nothing has this name.</p>}
      </ComboboxList>
    </ComboboxProvider>
  )
}

function useEntries(typed: string): Entry[] {
  const navigate = useNavigate()
  const changeView = useChangeView()
  const { window } = useView()
  const { data } = useQuery(listOptions(window, {}))
  const transactions = data?.transactions
  return useMemo(() => {
    const text = typed.trim().toLowerCase()
    const entries: Entry[] = [
      { name: "Transactions", hint: "page", act: () => void navigate({ to: "/" }) },
      { name: "Traces", hint: "page", act: () => void navigate({ to: "/traces" }) },
      { name: "Problems", hint: "page", act: () => void navigate({ to: "/problems" }) },
      { name: "Findings", hint: "page", act: () => void navigate({ to: "/findings" }) },
      { name: "Third parties", hint: "page", act: () => void navigate({ to: "/third-parties" }) },
      { name: "Send telemetry", hint: "page", act: () => void navigate({ to: "/start" }) },
      ...(transactions ?? []).map((one) => ({
        name: one.name,
        hint: "transaction",
        act: () => void navigate({ to: "/transactions/$id", params: { id: one.id } }),
      })),
      ...RANGES.map((range) => ({
        name: `last ${range.name}`,
        hint: "time range",
        act: () => changeView({ start: range.start, end: undefined }),
      })),
      ...(["light", "dark", "system"] as const).map((theme) => ({
        name: theme,
        hint: "theme",
        act: () => chooseTheme(theme),
      })),
    ]
    const found = entries.filter((entry) => `${entry.name} ${entry.hint}`.toLowerCase().includes(text))
    if (TRACE_ID.test(text)) {
      found.unshift({
        name: text,
        hint: "trace",
        act: () => void navigate({ to: "/traces/$id", params: { id: text } }),
      })
    }
    return found.slice(0, SHOWN)
  }, [typed, transactions, navigate, changeView])
}
