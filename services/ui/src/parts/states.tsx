// What stands where data does not: loading, nothing, an error, a part.
import { Link } from "@tanstack/react-router"
import type { ReactNode } from "react"

import { Problem } from "~/api/client"
import { Heading } from "~/parts/heading"

export function Loading({ rows = 3, name }: { rows?: number; name: string }) {
  return (
    <div className="loading" role="status" aria-label={`Loading ${name}`}>
      {Array.from({ length: rows }, (_, row) => (
        <span key={row} className="bone" />
      ))}
    </div>
  )
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty muted">{children}</p>
}

/** An error with what can be done about it. */
export function Failure({ error, again }: { error: Error; again?: () => void }) {
  const { title, detail, canRepeat } = described(error)
  return (
    <div className="failure" role="alert">
      <p>
        <strong className="error">
          <span aria-hidden>✕ </span>
          {title}
        </strong>
      </p>
      <p className="foreign">{detail}</p>
      {error instanceof Problem && error.status === 401 && (
        <p>
          <Link to="/login" search={{ to: location.pathname + location.search }}>
            Log in
          </Link>
        </p>
      )}
      {again && canRepeat && (
        <button type="button" className="button" onClick={again}>
          Ask again
        </button>
      )}
    </div>
  )
}

function described(error: Error): { title: string; detail: string; canRepeat: boolean } {
  if (!(error instanceof Problem)) {
    return { title: "This page has an error", detail: error.message, canRepeat: true }
  }
  const title =
    {
      0: "No answer",
      401: "An API key is needed",
      403: "Your key does not allow this",
      404: "There is no such thing",
      422: "This cannot be answered as asked",
      429: "Too many requests at once",
      503: "The database is busy",
    }[error.status] ?? `The API answered ${error.status}`
  const wait = error.retryAfter === null ? "" : ` Try again in ${error.retryAfter} s.`
  return { title, detail: error.detail + wait, canRepeat: ![401, 403, 404].includes(error.status) }
}

export function NoPage() {
  return (
    <div className="page">
      <Heading text="There is no such page" />
      <p>
        <Link to="/">To the transactions</Link>
      </p>
    </div>
  )
}
