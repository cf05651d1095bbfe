// Attributes as a list; long values are cut until one asks for the whole.
import { useState } from "react"

import { Copy } from "~/parts/copy"

const FIRST = 60 // attributes shown at once
const LONG = 600 // characters of a value

export function Attributes({ attributes }: { attributes: Record<string, string> }) {
  const [all, setAll] = useState(false)
  const entries = Object.entries(attributes)
  if (!entries.length) return <p className="muted small">No attributes.</p>
  return (
    <>
      <dl className="attributes">
        {(all ? entries : entries.slice(0, FIRST)).map(([key, value]) => (
          <div key={key}>
            <dt className="muted foreign">{key}</dt>
            <dd>
              <Value text={value} />
              <Copy text={value} name={key} />
            </dd>
          </div>
        ))}
      </dl>
      {!all && entries.length > FIRST && (
        <button type="button" className="button quiet" onClick={() => setAll(true)}>
          {entries.length - FIRST} more
        </button>
      )}
    </>
  )
}

function Value({ text }: { text: string }) {
  const [whole, setWhole] = useState(false)
  if (whole || text.length <= LONG) return <span className="foreign mono">{text}</span>
  return (
    <span className="foreign mono">
      {text.slice(0, LONG)}…{" "}
      <button type="button" className="button quiet" onClick={() => setWhole(true)}>
        all {text.length} characters
      </button>
    </span>
  )
}
