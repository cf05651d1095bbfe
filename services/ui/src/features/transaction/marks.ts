// What happened around a transaction, as marks on its charts.
import type { Schemas } from "~/api/client"
import type { Mark } from "~/parts/marks"

const NEAR = 50 // events closer than this part of the window have one mark

type Event = Schemas["NotedEvent"]

/** Events within a window, in milliseconds. Those that came at almost the same time have one mark. */
export function eventMarks(events: readonly Event[], start: number, end: number): Mark[] {
  const near = (end - start) / NEAR
  const groups: Event[][] = []
  const ordered = [...events].sort((a, b) => Date.parse(a.time) - Date.parse(b.time))
  for (const event of ordered) {
    const first = groups.at(-1)?.[0]
    if (!(Date.parse(event.time) > start)) continue
    if (first && Date.parse(event.time) - Date.parse(first.time) < near) groups.at(-1)?.push(event)
    else groups.push([event])
  }
  return groups.map((group) => ({ time: Date.parse(group[0]!.time), name: nameOf(group) }))
}

function nameOf(group: readonly Event[]): string {
  if (group.length === 1) return group[0]!.name
  if (group.every(({ type, version }) => type === "deployment" && version)) {
    const versions = [...new Set(group.map(({ version }) => version))]
    return `${versions.join(", ")} of ${new Set(group.map(({ service }) => service)).size} services`
  }
  return group.map(({ name }) => name).join(" · ")
}
