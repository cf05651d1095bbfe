// A name and what it stands for, in the head of a page.
import type { ReactNode } from "react"

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt className="muted small">{name}</dt>
      <dd className="foreign">{children}</dd>
    </div>
  )
}
