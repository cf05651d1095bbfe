// The choice of the environment (deployment.environment.name) of everything on the page.
import { Select, SelectItem, SelectPopover, SelectProvider } from "@ariakit/react"
import { useQuery } from "@tanstack/react-query"

import { environments } from "~/api/common"
import { useChangeView, useView } from "~/view/view"

const ALL = "all"

export function Environment() {
  const { env, window } = useView()
  const changeView = useChangeView()
  const { data } = useQuery(environments(window))
  const names = [...new Set([ALL, ...(data ?? []), ...(env ? [env] : [])])]
  if (names.length < 2) return null
  return (
    <SelectProvider
      value={env ?? ALL}
      setValue={(value) => changeView({ env: value === ALL ? undefined : value })}
    >
      <Select className="button" aria-label="Environment">
        <span className="one-line">{env ?? "all environments"}</span>
      </Select>
      <SelectPopover className="popover" gutter={4}>
        {names.map((name) => (
          <SelectItem key={name} value={name} className="item">
            {name === ALL ? "all environments" : name}
          </SelectItem>
        ))}
      </SelectPopover>
    </SelectProvider>
  )
}
