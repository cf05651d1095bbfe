// A service with its colour. It follows from the service's name, so that it is the same on every page.
// Of 6 services with 20 colours two are more often alike than not: on one page, a service whose colour
// is taken gets the next that is free. No two of the first eight are equal.
const COLOURS = 8

/** The class of a service's colour; from the ninth service on the colours come again with a hatch. */
export function serviceClass(rank: number): string {
  return `service-${colourOf(rank)}${rank >= COLOURS ? " hatched" : ""}`
}

/** The colour's number, from 1. */
export const colourOf = (rank: number) => (rank % COLOURS) + 1

export function Service({ name, rank }: { name: string; rank: number }) {
  return (
    <span className="service">
      <span className={`swatch ${serviceClass(rank)}`} aria-hidden />
      <span className="one-line">{name || "(no name)"}</span>
    </span>
  )
}

export type ServiceRanks = ReadonlyMap<string, number>

/** A rank for each service of a page. The order of the names does not matter. */
export function serviceRanks(names: readonly string[]): ServiceRanks {
  const ranks = new Map<string, number>()
  const free = new Set(Array.from({ length: COLOURS }, (_, rank) => rank))
  for (const name of [...new Set(names)].sort()) {
    let rank = hashOf(name) % COLOURS
    if (!free.size) rank += COLOURS
    else while (!free.delete(rank)) rank = (rank + 1) % COLOURS
    ranks.set(name, rank)
  }
  return ranks
}

/** The rank of a service, also of one that is not among those of the page. */
export const rankOf = (ranks: ServiceRanks, name: string) => ranks.get(name) ?? hashOf(name) % COLOURS

/** FNV-1a, without its lowest bits: they differ least. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  return hash >>> 2
}

const known = new WeakMap<readonly string[], number[]>()

/** The ranks of these services, in their order; computed once for an array. */
export function ranksOf(names: readonly string[]): readonly number[] {
  const before = known.get(names)
  if (before) return before
  const ranks = serviceRanks(names)
  const inOrder = names.map((name) => rankOf(ranks, name))
  known.set(names, inOrder)
  return inOrder
}
