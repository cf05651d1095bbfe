// One condition of a search, which a click removes.
export function Chip({ name, remove }: { name: string; remove: () => void }) {
  return (
    <button type="button" className="button chip" onClick={remove} aria-label={`Remove ${name}`}>
      <span className="one-line">{name} ✕</span>
    </button>
  )
}
