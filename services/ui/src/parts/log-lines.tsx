// Log records as lines; a line opens to its attributes.
import { Link } from "@tanstack/react-router"

import type { Schemas } from "~/api/client"
import { Attributes } from "~/parts/attributes"
import { rankOf, Service, type ServiceRanks } from "~/parts/service"
import { clockWithMillis, exact } from "~/view/time"

type Log = Schemas["LinkedLog"]

type Props = { logs: readonly Log[]; ranks: ServiceRanks; linked?: boolean }

const TONES: Partial<Record<Log["level"], string>> = { warn: "warn", error: "error", fatal: "error" }
const SHOWN = 2000 // characters of a body before it is opened

export function LogLines({ logs, ranks, linked }: Props) {
  return (
    <ul className="logs">
      {logs.map((log, index) => (
        <li key={index}>
          <details>
            <summary>
              <time className="mono muted" title={exact(log.time)}>
                {clockWithMillis(log.time)}
              </time>
              <span className={`level ${TONES[log.level] ?? "muted"}`}>{log.level || log.severity}</span>
              <Service name={log.service} rank={rankOf(ranks, log.service)} />
              <span className="one-line mono">{log.body.slice(0, SHOWN)}</span>
            </summary>
            {linked && log.trace_id && (
              <p>
                <Link to="/traces/$id" params={{ id: log.trace_id }} search={{ span: log.span_id || undefined }}>
                  Its trace
                </Link>
              </p>
            )}
            <pre className="foreign body">{log.body}</pre>
            <Attributes attributes={log.attributes} />
          </details>
        </li>
      ))}
    </ul>
  )
}
