import { Check, Copy as Icon } from "lucide-react"
import { useState } from "react"

const SHOWN_MS = 1500

/** Copies a text; `name` says what it is. */
type Props = { text: string | (() => string); name: string; label?: string }

export function Copy({ text, name, label }: Props) {
  const [copied, setCopied] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(typeof text === "string" ? text : text())
    setCopied(true)
    setTimeout(() => setCopied(false), SHOWN_MS)
  }
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={copied ? "Copied" : `Copy ${name}`}
      onClick={() => void copy()}
    >
      {copied ? <Check size={14} aria-hidden /> : <Icon size={14} aria-hidden />}
      {label}
    </button>
  )
}
