// A service with its colour, which is by its rank on the page: no two of the first eight are equal.
const COLOURS = 8

/** The class of a service's colour; from the ninth on the colours come again with a hatch. */
export function serviceClass(rank: number): string {
  return `service-${(rank % COLOURS) + 1}${rank >= COLOURS ? " hatched" : ""}`
}

export function Service({ name, rank }: { name: string; rank: number }) {
  return (
    <span className="service">
      <span className={`swatch ${serviceClass(rank)}`} aria-hidden />
      <span className="one-line">{name}</span>
    </span>
  )
}

/** A rank for each service, in the order of the page. */
export function serviceRanks(names: readonly string[]): ReadonlyMap<string, number> {
  return new Map(names.map((name, rank) => [name, rank]))
}
