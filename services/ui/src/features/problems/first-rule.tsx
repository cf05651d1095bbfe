// No problem yet: what is watched without a rule, and a first rule.
import { Copy } from "~/parts/copy"
import { Panel } from "~/parts/panel"

const RULE = `rules:
  - name: checkout slow
    select: {transaction: Checkout}
    when: p95 > 800ms
    over: 5m
    severity: page
defaults: {receiver: team}
receivers:
  team: {webhook: {url: "https://hooks.example/clew"}}
`

export function NoProblems() {
  return (
    <>
      <p className="empty">
        <span className="ok" aria-hidden>
          ●{" "}
        </span>
        No problem is known.
      </p>
      <Panel title="What clew watches without a rule">
        <ul className="bullets">
          <li>
            Traffic, failed requests and slow requests of every transaction and operation, each minute, against what is
            usual at that hour.
          </li>
          <li>
            Durations that have become longer and stay so, each hour, with the version or deployment since which they
            are.
          </li>
        </ul>
        <p className="muted">
          They are judged once they have had 100 requests and an hour is over, with caution for the first three days.
          Without a receiver nobody is told: what is found stands here.
        </p>
      </Panel>
      <Panel title="A first rule">
        <p>
          Write it into a file, and start clew with <code>--alerts FILE</code>. The file is read again when it changes;
          docs/alerts.md has every kind of rule and receiver.
        </p>
        <div className="command">
          <pre tabIndex={0}>{RULE}</pre>
          <Copy text={RULE} name="the rule" />
        </div>
      </Panel>
    </>
  )
}
