// Which findings say most about a place: those that came with what is wrong there, and those of its operation.
import type { Schemas } from "~/api/client"

type Finding = Schemas["Finding"]

/** `transactions`: ids of those that are touched; `since`: when something began to be wrong, RFC 3339. */
export type Place = { service?: string; operation?: string; transactions?: readonly string[]; since?: string }

const BEFORE_MS = 600_000 // what is wrong is often found before an alert opens

/** The findings of the service or of the transactions, those that say most first. */
export function telling(
  findings: readonly Finding[],
  { service, operation, transactions = [], since }: Place,
): { finding: Finding; isNew: boolean }[] {
  const began = since ? Date.parse(since) - BEFORE_MS : Number.POSITIVE_INFINITY
  return findings
    .map((finding) => {
      const isOfService = service !== undefined && finding.service === service
      const isOfOperation = isOfService && Boolean(operation) && finding.operation === operation
      const isTouched = finding.transactions.some(({ id, defined }) => [id, ...defined].some((one) => transactions.includes(one)))
      const isNew = Date.parse(finding.first_seen) >= began
      const weight = 3 * Number(isOfOperation) + 2 * Number(isNew) + Number(isOfService)
      return { finding, isNew, isShown: isOfService || (isTouched && isNew), weight }
    })
    .filter(({ isShown }) => isShown)
    .sort((one, other) => other.weight - one.weight)
    .map(({ finding, isNew }) => ({ finding, isNew }))
}

/** What a finding is and where, as far as the place does not say it. */
export function headline({ title, service, operation }: Finding, place: Place): string {
  const where = [place.service === service ? "" : service, operation].filter(Boolean).join(" ")
  return where ? `${title}, ${where}` : title
}
