// A status has a shape and a word, never a colour alone.
const SHAPES = { ok: "●", warn: "▲", error: "✕" } as const

export type StatusName = keyof typeof SHAPES

export function Status({ status, name }: { status: StatusName; name?: string }) {
  return (
    <span className={`status ${status}`} title={name ?? status}>
      <span aria-hidden>{SHAPES[status]}</span>
      <span className="hidden">{name ?? status}</span>
    </span>
  )
}
