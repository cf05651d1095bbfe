// What limits the services of a transaction.
import type { PartProps } from "~/features/transaction/page"
import { ResourcesPanel } from "~/features/service/resources"
import { Empty } from "~/parts/states"

const SHOWN = 8 // a question each

export function Resources({ view }: PartProps) {
  const { services } = view.transaction
  return (
    <>
      {services.slice(0, SHOWN).map((service) => (
        <ResourcesPanel key={service} service={service} />
      ))}
      {services.length > SHOWN && <Empty>And {services.length - SHOWN} more services.</Empty>}
    </>
  )
}
