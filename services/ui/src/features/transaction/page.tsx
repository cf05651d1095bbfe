// One transaction: how long it takes, why, and everything that belongs to it.
import { Tab, TabList, TabPanel, TabProvider } from "@ariakit/react"
import { getRouteApi } from "@tanstack/react-router"
import { useMemo } from "react"

import type { Schemas } from "~/api/client"
import { Charts } from "~/features/transaction/charts"
import { Differs } from "~/features/transaction/differs"
import { Breakdown, Dependencies } from "~/features/transaction/breakdown"
import { Exceptions, Logs } from "~/features/transaction/records"
import { Funnel } from "~/features/transaction/funnel"
import { Kpis } from "~/features/transaction/kpis"
import { Metrics } from "~/features/transaction/metrics"
import { Of } from "~/features/transaction/of"
import { Occurrences } from "~/features/transaction/occurrences"
import { Resources } from "~/features/transaction/resources"
import { joined, pathOf } from "~/features/transaction/queries"
import { readRegion, type Region, written } from "~/features/transaction/region"
import { type Tab as TabName, TABS } from "~/features/transaction/search"
import { WhySlow } from "~/features/transaction/why-slow"
import { Diagnosis } from "~/parts/diagnosis"
import { Fact } from "~/parts/fact"
import { focusOn } from "~/parts/focus"
import { Heading } from "~/parts/heading"
import { Failure, Loading } from "~/parts/states"
import { type ServiceRanks, serviceRanks } from "~/parts/service"
import { budgetLeft, count, duration, money, percent, rate } from "~/view/format"
import { useChangeView, useLive, useView } from "~/view/view"

const route = getRouteApi("/transactions/$id")

const NAMES: Record<TabName, string> = {
  breakdown: "Breakdown",
  why: "Why?",
  calls: "Calls",
  occurrences: "Occurrences",
  funnel: "Funnel",
  logs: "Logs",
  exceptions: "Exceptions",
  metrics: "Metrics",
  resources: "Resources",
  kpis: "KPIs",
}
// What only a transaction that is defined has.
const OF_DEFINED: readonly TabName[] = ["funnel", "kpis"]

export function TransactionPage() {
  const { id } = route.useParams()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { window } = useView()
  const changeView = useChangeView()
  const { data, error, refetch } = useLive(joined(id, window))
  const region = useMemo(() => readRegion(search.brush), [search.brush])
  const ranks = useMemo(() => serviceRanks(data?.transaction.services ?? []), [data])
  const set = (next: Partial<typeof search>) =>
    void navigate({ search: (current) => ({ ...current, ...next }) })

  const closeRegion = () => {
    set({ brush: undefined })
    focusOn(".heatmap")
  }

  if (error && !data) {
    return (
      <div className="page">
        <Failure error={error} again={() => void refetch()} />
      </div>
    )
  }
  if (!data) {
    return (
      <div className="page">
        <Loading rows={10} name="the transaction" />
      </div>
    )
  }
  const source = { path: pathOf(id), query: { ...window, limit: 200 } }
  const tabs = TABS.filter((tab) => !OF_DEFINED.includes(tab) || data.transaction.source === "defined")
  return (
    <div className="page">
      <Head transaction={data.transaction} />
      <div className="two-thirds">
        <Charts
          id={id}
          view={data}
          chart={search.chart}
          region={region}
          setChart={(chart) => set({ chart })}
          setRegion={(next: Region | undefined) => set({ brush: next && written(next) })}
          zoom={(start, end) => changeView({ start, end })}
          source={source}
        />
        <WhySlow view={data} ranks={ranks} source={source} />
      </div>
      {region && <Differs id={id} region={region} close={closeRegion} />}
      <TabProvider
        selectedId={search.tab ?? "breakdown"}
        setSelectedId={(tab) => set({ tab: tab === "breakdown" ? undefined : (tab as TabName) })}
        selectOnMove={false}
      >
        <TabList className="tabs" aria-label="Parts of the transaction">
          {tabs.map((tab) => (
            <Tab key={tab} id={tab} className="tab">
              {NAMES[tab]}
            </Tab>
          ))}
        </TabList>
        <TabPanel tabId={search.tab ?? "breakdown"} className="tab-panel">
          <TabContent tab={search.tab ?? "breakdown"} id={id} view={data} ranks={ranks} source={source} />
        </TabPanel>
      </TabProvider>
    </div>
  )
}

export type PartProps = {
  id: string
  view: Schemas["JoinedView"]
  ranks: ServiceRanks
  source: { path: string; query: Record<string, string | number | undefined> }
}

function TabContent({ tab, ...props }: PartProps & { tab: TabName }) {
  switch (tab) {
    case "breakdown":
      return <Breakdown {...props} />
    case "why":
      return <Why id={props.id} />
    case "calls":
      return <Dependencies {...props} />
    case "occurrences":
      return <Occurrences {...props} />
    case "funnel":
      return <Funnel {...props} />
    case "logs":
      return <Logs {...props} />
    case "exceptions":
      return <Exceptions {...props} />
    case "metrics":
      return <Metrics {...props} />
    case "resources":
      return <Resources {...props} />
    case "kpis":
      return <Kpis id={props.id} />
  }
}

function Why({ id }: { id: string }) {
  const { env, start, end, window } = useView()
  // Without a range that somebody chose, it looks for the time at which it began by itself.
  return <Diagnosis question={{ transaction: id, ...(start || end ? window : { environment: env }) }} />
}

function Head({ transaction }: { transaction: Schemas["Transaction"] }) {
  const { duration_ms, slo, value } = transaction
  return (
    <div className="page-head">
      <Heading text={transaction.name} foreign />
      <dl className="facts">
        <Fact name="p95">
          <Of chosen={{ min: duration_ms.p95 ?? undefined, sort: "duration" }}>{duration(duration_ms.p95)}</Of>
          {slo?.latency_ms ? (
            <span className="muted"> objective{" "}
              <Of chosen={{ min: slo.latency_ms, sort: "duration" }}>{duration(slo.latency_ms)}</Of>
            </span>
          ) : null}
        </Fact>
        <Fact name="p50">
          <Of chosen={{ min: duration_ms.p50 ?? undefined, sort: "duration" }}>{duration(duration_ms.p50)}</Of>
        </Fact>
        <Fact name="rate">
          <Of chosen={{}}>{rate(transaction.per_second)}</Of>
        </Fact>
        <Fact name="errors">
          {transaction.errors ? (
            <Of chosen={{ outcome: "error" }}>{percent(transaction.error_rate)}</Of>
          ) : (
            "0 %"
          )}
        </Fact>
        {value && (
          <Fact name="value lost">
            <Of chosen={{ outcome: "error", sort: "value" }}>{money(value.lost)}</Of>{" "}
            <span className="muted">
              of <Of chosen={{ sort: "value" }}>{money(value.sum)}</Of>
            </span>
          </Fact>
        )}
        {slo && (
          <Fact name="error budget">
            <span className={slo.error_budget_left < 0 ? "error" : ""}>
              {budgetLeft(slo.error_budget_left)}
            </span>
            {slo.good < slo.total && (
              <span className="muted"> · <Of chosen={{ slo: "bad" }}>{count(slo.total - slo.good)} bad</Of></span>
            )}
          </Fact>
        )}
      </dl>
    </div>
  )
}
