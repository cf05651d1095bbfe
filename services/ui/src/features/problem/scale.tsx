// The value on a line with what is usual: a band, the expected value, the value.
import { valueText } from "~/features/problems/texts"

const [WIDTH, HEIGHT, MARGIN] = [600, 36, 6]
const ROOM = 0.1 // beside the outermost value

type Props = { value: number; expected: number | null; band: { lower: number; upper: number } | null; unit: string }

export function Scale({ value, expected, band, unit }: Props) {
  const shown = [value, expected, band?.lower, band?.upper].filter((one) => typeof one === "number")
  const [least, most] = [Math.min(...shown, 0), Math.max(...shown)]
  const span = (most - least) * (1 + ROOM) || 1
  const x = (at: number) => MARGIN + ((at - least) / span) * (WIDTH - 2 * MARGIN)
  const words = [
    `value ${valueText(value, unit)}`,
    expected !== null && `expected ${valueText(expected, unit)}`,
    band && `usual ${valueText(band.lower, unit)} to ${valueText(band.upper, unit)}`,
  ]
  return (
    <figure className="scale" role="img" aria-label={words.filter(Boolean).join(", ")}>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden>
        <line className="scale-line" x1={0} x2={WIDTH} y1={HEIGHT / 2} y2={HEIGHT / 2} />
        {band && (
          <rect className="scale-band" x={x(band.lower)} width={Math.max(x(band.upper) - x(band.lower), 2)} y={8} height={HEIGHT - 16} />
        )}
        {expected !== null && <line className="scale-expected" x1={x(expected)} x2={x(expected)} y1={4} y2={HEIGHT - 4} />}
        <line className="scale-value" x1={x(value)} x2={x(value)} y1={0} y2={HEIGHT} />
      </svg>
      <figcaption className="small muted" aria-hidden>
        <span className="scale-key scale-key-value" /> value
        {expected !== null && (
          <>
            <span className="scale-key scale-key-expected" /> expected
          </>
        )}
        {band && (
          <>
            <span className="scale-key scale-key-band" /> usual
          </>
        )}
      </figcaption>
    </figure>
  )
}
