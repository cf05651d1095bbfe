// The time range: relative, or from and to.
import { Popover, PopoverDisclosure, PopoverProvider, usePopoverStore } from "@ariakit/react"
import { type FormEvent, useState } from "react"

import { instant, iso, RANGES, rangeName } from "~/view/time"
import { useChangeView, useView } from "~/view/view"

export function TimeRange() {
  const popover = usePopoverStore({ placement: "bottom-end" })
  const { window } = useView()
  const changeView = useChangeView()
  const choose = (start: string | undefined, end: string | undefined) => {
    changeView({ start, end })
    popover.hide()
  }
  return (
    <PopoverProvider store={popover}>
      <PopoverDisclosure className="button" aria-label={`Time range: ${rangeName(window)}`}>
        {rangeName(window)}
      </PopoverDisclosure>
      <Popover className="popover time-range" gutter={4} aria-label="Time range">
        <ul>
          {RANGES.map((range) => (
            <li key={range.start}>
              <button type="button" className="item" onClick={() => choose(range.start, "now")}>
                last {range.name}
              </button>
            </li>
          ))}
        </ul>
        <Absolute key={`${window.start} ${window.end}`} choose={choose} />
      </Popover>
    </PopoverProvider>
  )
}

function Absolute({ choose }: { choose: (start: string, end: string) => void }) {
  const { window } = useView()
  const [start, setStart] = useState(() => local(instant(window.start)))
  const [end, setEnd] = useState(() => local(instant(window.end)))
  const [fault, setFault] = useState("")
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const [from, to] = [Date.parse(start), Date.parse(end)]
    if (!Number.isFinite(from) || !Number.isFinite(to)) setFault("Write two times.")
    else if (from >= to) setFault("The first time must be before the second.")
    else choose(iso(from), iso(to))
  }
  return (
    <form onSubmit={submit}>
      <label>
        From
        <input
          type="datetime-local"
          step="1"
          value={start}
          onChange={(event) => setStart(event.target.value)}
        />
      </label>
      <label>
        To
        <input
          type="datetime-local"
          step="1"
          value={end}
          onChange={(event) => setEnd(event.target.value)}
        />
      </label>
      {fault && (
        <p role="alert" className="error small">
          {fault}
        </p>
      )}
      <button type="submit" className="button">
        Show
      </button>
    </form>
  )
}

/** A time as a field of type datetime-local takes it. */
function local(time: number): string {
  if (!Number.isFinite(time)) return ""
  const offset = new Date(time).getTimezoneOffset() * 60_000
  return new Date(time - offset).toISOString().slice(0, 19)
}
