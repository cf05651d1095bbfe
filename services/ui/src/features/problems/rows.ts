// The rows of the list: problems that another one stands for lie folded below it.
import type { Schemas } from "~/api/client"

export type Alert = Schemas["Alert"]

/** `members`: how many lie below it; `depth`: 1 for one of those. */
export type Row = { alert: Alert; members: number; depth: 0 | 1; isOpen: boolean }

/** `opened`: ids of those that are unfolded. */
export function rowsOf(alerts: readonly Alert[], opened: ReadonlySet<string>): Row[] {
  const leaders = new Map<string, Alert[]>()
  for (const alert of alerts) if (alert.group === alert.id) leaders.set(alert.id, [])
  const isBelow = (alert: Alert) => alert.group !== alert.id && leaders.has(alert.group)
  for (const alert of alerts) if (isBelow(alert)) leaders.get(alert.group)?.push(alert)
  const rows: Row[] = []
  for (const alert of alerts.filter((one) => !isBelow(one))) {
    const members = leaders.get(alert.id) ?? []
    const isOpen = members.length > 0 && opened.has(alert.id)
    rows.push({ alert, members: members.length, depth: 0, isOpen })
    if (isOpen) rows.push(...members.map((member) => ({ alert: member, members: 0, depth: 1, isOpen: false }) as const))
  }
  return rows
}

/** Whether one of its texts contains what is searched for. */
export function contains(alert: Alert, text: string): boolean {
  const texts = [alert.headline, alert.rule, ...Object.values(alert.labels)]
  return texts.some((one) => one.toLowerCase().includes(text.toLowerCase()))
}
