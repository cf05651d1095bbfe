// A field that filters while one types, without a request for each letter.
import { useEffect, useRef, useState } from "react"

const PAUSE_MS = 250

type Props = { value: string | undefined; onChange: (text: string | undefined) => void; name: string }

export function SearchField({ value, onChange, name }: Props) {
  const [typed, setTyped] = useState(value ?? "")
  // A text of ours comes back as the value when more may have been typed already: only a value from
  // elsewhere (going back, a link) takes the place of what is typed.
  const sent = useRef<string[]>([])
  useEffect(() => {
    const place = sent.current.indexOf(value ?? "")
    sent.current = sent.current.slice(place + 1)
    if (place < 0) setTyped(value ?? "")
  }, [value])
  const latest = useRef(onChange)
  latest.current = onChange
  useEffect(() => {
    if (typed === (value ?? "")) return
    const timer = setTimeout(() => {
      sent.current.push(typed)
      latest.current(typed || undefined)
    }, PAUSE_MS)
    return () => clearTimeout(timer)
  }, [typed, value])
  return (
    <input
      type="search"
      value={typed}
      placeholder={name}
      aria-label={name}
      onChange={(event) => setTyped(event.target.value)}
    />
  )
}
