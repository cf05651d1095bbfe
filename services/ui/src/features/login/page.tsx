// Logging in with an API key. The key goes to the server once; a cookie that no script can read
// stands for it.
import { useQueryClient } from "@tanstack/react-query"
import { useRouter } from "@tanstack/react-router"
import { type FormEvent, useState } from "react"

import { Problem, problem } from "~/api/client"
import { Heading } from "~/parts/heading"
import { Failure } from "~/parts/states"

export function LoginPage() {
  const [error, setError] = useState<Error>()
  const router = useRouter()
  const queries = useQueryClient()
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const key = String(new FormData(event.currentTarget).get("key")).trim()
    try {
      await logIn(key)
      queries.clear()
      const to = new URLSearchParams(location.search).get("to") ?? "/"
      // Only a path of this origin: `//host` would leave it.
      router.history.push(/^\/(?!\/|\\)/.test(to) ? to : "/")
    } catch (fault) {
      setError(fault as Error)
    }
  }
  return (
    <div className="page login">
      <Heading text="Log in" />
      {window.isSecureContext ? (
        <form onSubmit={(event) => void submit(event)}>
          <input name="username" autoComplete="username" value="clew" readOnly hidden />
          <label>
            API key with the scope read
            <input name="key" type="password" autoComplete="current-password" required autoFocus />
          </label>
          <button type="submit" className="button">
            Log in
          </button>
        </form>
      ) : (
        <p className="warn">
          ▲ This page came without TLS, so a browser would not keep the login. Set --tls-cert and
          --tls-key, or open it at 127.0.0.1.
        </p>
      )}
      {error && <Failure error={error} />}
      <p className="muted small">
        <code>clew key NAME --scope read</code> makes a key. A login lasts 12 hours.
      </p>
    </div>
  )
}

async function logIn(key: string) {
  const response = await fetch("/login", {
    method: "POST",
    headers: { "content-type": "application/json", "X-Clew": "1" },
    body: JSON.stringify({ key }),
  }).catch(() => {
    throw new Problem(0, "clew does not answer: it is stopped, or the network is gone")
  })
  if (!response.ok) throw problem(response, await response.json().catch(() => null))
}
