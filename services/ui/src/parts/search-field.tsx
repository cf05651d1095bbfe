// A field that filters while one types, without a request for each letter.
import { useEffect, useState } from "react"

const PAUSE_MS = 250

type Props = { value: string | undefined; onChange: (text: string | undefined) => void; name: string }

export function SearchField({ value, onChange, name }: Props) {
  const [typed, setTyped] = useState(value ?? "")
  useEffect(() => setTyped(value ?? ""), [value])
  useEffect(() => {
    if (typed === (value ?? "")) return
    const timer = setTimeout(() => onChange(typed || undefined), PAUSE_MS)
    return () => clearTimeout(timer)
  }, [typed, value, onChange])
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
