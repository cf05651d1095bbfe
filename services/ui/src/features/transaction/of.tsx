// A number that opens the occurrences behind it.
import { getRouteApi } from "@tanstack/react-router"
import type { ReactNode } from "react"

import { type Chosen, listing } from "~/features/transaction/search"

const { Link } = getRouteApi("/transactions/$id")

type Props = { chosen: Chosen; className?: string; title?: string; isRow?: boolean; children: ReactNode }

/** `isRow`: the keys for rows go to it. */
export function Of({ chosen, className = "number", title, isRow, children }: Props) {
  const isError = chosen.outcome === "error" || chosen.slo === "bad" || chosen.failed_call || chosen.exception
  return (
    <Link
      to="."
      search={(search) => listing(search, chosen)}
      className={isError ? `${className} error` : className}
      title={title}
      data-row={isRow || undefined}
    >
      {children}
    </Link>
  )
}
