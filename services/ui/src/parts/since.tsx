import { clock, dateOf, exact } from "~/view/time"

/** A time without its date on narrow screens; the whole of it is its title. */
export function Since({ time }: { time: string }) {
  return (
    <time title={exact(time)}>
      <span className="wide-only muted">{dateOf(Date.parse(time))} </span>
      {clock(Date.parse(time))}
    </time>
  )
}
