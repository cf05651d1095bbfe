import { fileURLToPath } from "node:url"

import react from "@vitejs/plugin-react"
import { defineConfig } from "vite"

const api = process.env.CLEW_API ?? "http://127.0.0.1:4319"
const proxy = Object.fromEntries(
  ["/api", "/openapi.json", "/docs", "/login", "/logout"].map((path) => [
    path,
    {
      target: api,
      changeOrigin: true,
      headers: { origin: api },
      // A page of /login is served here, its POST by the API.
      bypass: (request: { method?: string; url?: string }) =>
        path === "/login" && request.method === "GET" ? request.url : undefined,
    },
  ]),
)

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "~": fileURLToPath(new URL("./src", import.meta.url)) } },
  server: { proxy, host: "127.0.0.1" },
  build: {
    outDir: "../clew/web/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: true,
  },
})
