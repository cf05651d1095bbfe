// One service: what limits it, what is slow in it every day, and its traces.
import { getRouteApi, Link } from "@tanstack/react-router"

import { ResourcesPanel } from "~/features/service/resources"
import { FindingsOf } from "~/parts/findings-of"
import { Heading } from "~/parts/heading"
import { Panel } from "~/parts/panel"

const route = getRouteApi("/services/$name")

export function ServicePage() {
  const { name } = route.useParams()
  return (
    <div className="page">
      <div className="page-head">
        <Heading text={name} foreign />
      </div>
      <ResourcesPanel service={name} withTransactions />
      <Panel title="Where to look">
        <ul className="examples">
          <li className="foreign">
            <Link to="/traces" search={{ service: name }}>
              Traces of {name}
            </Link>
          </li>
          <FindingsOf service={name} />
        </ul>
      </Panel>
    </div>
  )
}
