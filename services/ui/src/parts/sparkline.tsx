// A small line without axes; what it shows stands beside it as a number.
type Props = { values: readonly (number | null)[]; name: string; tone?: "error" }

const WIDTH = 72
const HEIGHT = 20

export function Sparkline({ values, name, tone }: Props) {
  const highest = Math.max(...values.map((value) => value ?? 0), 0)
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0
  let isDown = false
  const line = values
    .map((value, index) => {
      if (value === null) {
        isDown = false
        return ""
      }
      const y = highest ? HEIGHT - 1.5 - (value / highest) * (HEIGHT - 3) : HEIGHT - 1.5
      const command = isDown ? "L" : "M"
      isDown = true
      return `${command}${(index * step).toFixed(1)} ${y.toFixed(1)}`
    })
    .join("")
  return (
    <svg
      className={`sparkline ${tone ?? ""}`}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      role="img"
      aria-label={name}
    >
      <path d={line} />
    </svg>
  )
}
