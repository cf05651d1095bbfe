// Says that something on the page could not be read again, while what was read before still stands.
import { useQueryClient } from "@tanstack/react-query"
import { useSyncExternalStore } from "react"

export function Stale() {
  const cache = useQueryClient().getQueryCache()
  const reason = useSyncExternalStore(
    (changed) => cache.subscribe(changed),
    () =>
      cache
        .getAll()
        .find((query) => query.isActive() && query.state.error && query.state.data !== undefined)
        ?.state.error?.message,
  )
  return reason ? (
    <p className="stale small warn" role="status">
      ▲ This page is not current: {reason}
    </p>
  ) : null
}
