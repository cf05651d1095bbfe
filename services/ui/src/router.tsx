// Every page with its path and what its URL may say. A page's code is loaded when it is opened.
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  retainSearchParams,
} from "@tanstack/react-router"

import { readSearch as readFindings } from "~/features/findings/search"
import { readSearch as readProblems } from "~/features/problems/search"
import { readSearch as readTrace } from "~/features/trace/search"
import { readSearch as readTraces } from "~/features/traces/search"
import { readSearch as readTransaction } from "~/features/transaction/search"
import { readSearch as readTransactions } from "~/features/transactions/search"
import { NoPage } from "~/parts/states"
import { Shell } from "~/shell/shell"
import { parseSearch, stringifySearch } from "~/view/url"
import { readView, VIEW } from "~/view/view"

const root = createRootRoute({
  component: Shell,
  notFoundComponent: NoPage,
  validateSearch: readView,
  search: { middlewares: [retainSearchParams([...VIEW])] },
})

const transactions = createRoute({
  getParentRoute: () => root,
  path: "/",
  validateSearch: readTransactions,
  component: lazyRouteComponent(() => import("~/features/transactions/page"), "TransactionsPage"),
})

const transaction = createRoute({
  getParentRoute: () => root,
  path: "/transactions/$id",
  validateSearch: readTransaction,
  component: lazyRouteComponent(() => import("~/features/transaction/page"), "TransactionPage"),
})

const traces = createRoute({
  getParentRoute: () => root,
  path: "/traces",
  validateSearch: readTraces,
  component: lazyRouteComponent(() => import("~/features/traces/page"), "TracesPage"),
})

const trace = createRoute({
  getParentRoute: () => root,
  path: "/traces/$id",
  validateSearch: readTrace,
  component: lazyRouteComponent(() => import("~/features/trace/page"), "TracePage"),
})

const problems = createRoute({
  getParentRoute: () => root,
  path: "/problems",
  validateSearch: readProblems,
  component: lazyRouteComponent(() => import("~/features/problems/page"), "ProblemsPage"),
})

const problem = createRoute({
  getParentRoute: () => root,
  path: "/problems/$id",
  component: lazyRouteComponent(() => import("~/features/problem/page"), "ProblemPage"),
})

const findings = createRoute({
  getParentRoute: () => root,
  path: "/findings",
  validateSearch: readFindings,
  component: lazyRouteComponent(() => import("~/features/findings/page"), "FindingsPage"),
})

const finding = createRoute({
  getParentRoute: () => root,
  path: "/findings/$id",
  component: lazyRouteComponent(() => import("~/features/finding/page"), "FindingPage"),
})

const service = createRoute({
  getParentRoute: () => root,
  path: "/services/$name",
  component: lazyRouteComponent(() => import("~/features/service/page"), "ServicePage"),
})

const thirdParties = createRoute({
  getParentRoute: () => root,
  path: "/third-parties",
  component: lazyRouteComponent(() => import("~/features/third-parties/page"), "ThirdPartiesPage"),
})

const start = createRoute({
  getParentRoute: () => root,
  path: "/start",
  component: lazyRouteComponent(() => import("~/features/start/page"), "StartPage"),
})

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  validateSearch: (search: Record<string, unknown>): { to?: string } => ({
    to: typeof search.to === "string" ? search.to : undefined,
  }),
  component: lazyRouteComponent(() => import("~/features/login/page"), "LoginPage"),
})

const routeTree = root.addChildren([
  ...[transactions, transaction, traces, trace, problems, problem, findings, finding],
  ...[service, thirdParties, start, login],
])

export const createRouting = () =>
  createRouter({ routeTree, parseSearch, stringifySearch, defaultPreload: "intent", scrollRestoration: true })

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createRouting>
  }
}
