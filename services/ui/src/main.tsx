import { QueryClient, QueryClientProvider } from "@tanstack/react-query"
import { RouterProvider } from "@tanstack/react-router"
import { StrictMode } from "react"
import { createRoot } from "react-dom/client"

import { Problem } from "~/api/client"
import { createRouting } from "~/router"
import { restoreTheme } from "~/shell/theme"
import "~/styles/tokens.css"
import "~/styles/base.css"
import "~/styles/parts.css"
import "~/styles/pages.css"
import "~/styles/trace.css"

const RETRIES = 2
const LONGEST_WAIT = 2 // seconds; who must wait longer is told so
const FRESH_MS = 30_000

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: FRESH_MS,
      refetchOnWindowFocus: false,
      // What is busy says when to ask again; what is wrong stays wrong.
      retry: (failures, error) =>
        failures < RETRIES &&
        error instanceof Problem &&
        [429, 503].includes(error.status) &&
        (error.retryAfter ?? 0) <= LONGEST_WAIT,
      retryDelay: (_failures, error) =>
        error instanceof Problem && error.retryAfter !== null ? error.retryAfter * 1000 : 1000,
    },
  },
})

restoreTheme()
const root = document.getElementById("root")
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <RouterProvider router={createRouting()} />
      </QueryClientProvider>
    </StrictMode>,
  )
}
