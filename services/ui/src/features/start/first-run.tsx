// No data yet: the commands for this machine's addresses, and what has arrived so far.
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"

import { client, read } from "~/api/client"
import { setup } from "~/api/setup"
import { Copy } from "~/parts/copy"
import { Heading } from "~/parts/heading"
import { Failure, Loading } from "~/parts/states"
import { Status } from "~/parts/status"
import { count } from "~/view/format"

const POLL_MS = 2000
const RECENT = "-15m"

const services = {
  queryKey: ["first-services"],
  queryFn: ({ signal }: { signal: AbortSignal }) =>
    read(client.GET("/api/v1/services", { params: { query: { start: RECENT } }, signal })),
  refetchInterval: POLL_MS,
  staleTime: 0,
}

export function FirstRun() {
  const { data, error, isPending, refetch } = useQuery(setup)
  if (isPending) return <Loading name="the addresses" />
  if (error) return <Failure error={error} again={() => void refetch()} />
  const [http, grpc] = [here(data.endpoints.otlp_http), here(data.endpoints.otlp_grpc)]
  const key = data.api_keys ? " \\\n  CLEW_API_KEY=<key with the scope ingest>" : ""
  const isDefault = http === "http://127.0.0.1:4318"
  const variables = isDefault && !key ? "" : `env CLEW_ENDPOINT=${http}${key} \\\n  `
  const header = data.api_keys ? "\nOTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<key>" : ""
  return (
    <div className="page first-run">
      <Heading text="Send your first trace" />
      <ol className="steps">
        <li>
          <h2>A Python service</h2>
          <p>Start it with clew in front; no code changes.</p>
          <Command text={`${variables}clew run -- uvicorn shop.main:app`} />
        </li>
        <li>
          <h2>Any other language</h2>
          <p>Give its OpenTelemetry SDK or agent this clew's address.</p>
          <Command
            text={`OTEL_EXPORTER_OTLP_ENDPOINT=${http}\nOTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf${header}`}
          />
          {grpc && <p className="muted small">With gRPC: {grpc}</p>}
        </li>
        <li>
          <h2>Then send it a request</h2>
          <Arrived />
        </li>
      </ol>
    </div>
  )
}

/** An address as this browser reaches it: a server bound to every address says 0.0.0.0. */
function here(address: string): string {
  return address.replace(/\/\/(0\.0\.0\.0|\[::\])/, `//${location.hostname}`)
}

function Command({ text }: { text: string }) {
  return (
    <div className="command">
      <pre tabIndex={0}>{text}</pre>
      <Copy text={text} name="the command" />
    </div>
  )
}

function Arrived() {
  const { data, error, refetch } = useQuery(services)
  if (error && !data) return <Failure error={error} again={() => void refetch()} />
  const traced = data?.services ?? []
  const silent = data?.without_spans ?? []
  return (
    <div aria-live="polite">
      {traced.length ? (
        <p>
          <Status status="ok" /> Spans arrive from{" "}
          <span className="foreign">{traced.map((one) => one.service).join(", ")}</span>. <Link to="/">Open the transactions</Link>
        </p>
      ) : (
        <p className="muted">
          <span className="live-dot" aria-hidden /> Waiting for the first span …
        </p>
      )}
      {silent.length > 0 && (
        <>
          <h3>Without spans</h3>
          <ul className="silent">
            {silent.map((one) => (
              <li key={one.service}>
                <Status status="warn" /> <strong className="foreign">{one.service}</strong> sent{" "}
                {count(one.log_records)} log records and {count(one.points)} points, and no span.{" "}
                <span className="muted">{one.reason}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  )
}
