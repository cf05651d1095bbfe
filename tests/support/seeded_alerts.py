"""Alerts of a shop whose payments are slow, as a watcher leaves them."""

from __future__ import annotations

from dataclasses import replace

from clew.analysis.alerts.notes import Note, Notes
from clew.analysis.alerts.notifications import Notification
from clew.analysis.alerts.outbox import Outbox, OutboxEntry
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.states import AlertState, State, Transition
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.telling import explanation
from clew.storage import Store
from clew.storage.statements import Statements


def _alert(rule: str, headline: str, severity: str, labels: dict[str, str]) -> AlertRecord:
    verdict = Verdict(
        rule, labels, 0.0, True, headline=headline, measure="p95", value=0.91, expected=0.3,
        lower=0.2, upper=0.45, requests=412, z=7.4, window=300.0, as_large=0, past=2016,
        facts={"version": "1.9.0"},
    )  # fmt: skip
    return AlertRecord(verdict, severity)


PAYMENTS = {"environment": "prod", "service": "payments", "operation": "POST /charges"}
STOREFRONT = {"environment": "prod", "service": "storefront", "transaction": "Checkout"}
CAUSE = _alert(
    "payments slow", "payments POST /charges: p95 910 ms, usually 300 ms", "page", PAYMENTS
)
EFFECT = replace(
    _alert("checkout slow", "Checkout: p95 910 ms, usually 300 ms", "page", STOREFRONT),
    because_of=CAUSE.id,
)
OVER = _alert("stock silent", "inventory sync: nothing for 2h", "ticket", {"service": "inventory"})


def put_alerts(store: Store, at: float, trace: str = "", text: str = "") -> None:
    """Store them as at a time in seconds since 1970. `trace`: the id of one that shows the cause;
    `text`: in the place of what people wrote, and of headlines."""
    statements = Statements(store)
    firing = AlertState(State.FIRING, at, 1, at, firings=(at,))
    over = AlertState(State.RESOLVED, at - 60, 1, at - 900, at - 60)
    records = []
    for record, state in ((CAUSE, firing), (EFFECT, firing), (OVER, over)):
        verdict = replace(record.verdict, at=at, examples=(trace,) if trace else ())
        if text:
            verdict = replace(verdict, headline=text, facts={text[:100]: text})
        records.append(replace(record, state=state, verdict=verdict))
    AlertRecords(statements).put(records, 1)
    AlertRecords(statements).put_changes(records)
    cause = records[0]
    notification = Notification(
        cause.id, 1, Transition.FIRED, at, at, cause.rule, cause.severity, dict(cause.labels),
        cause.verdict.headline, explanation(cause),
    )  # fmt: skip
    sent = OutboxEntry("oncall", notification, at + 1).delivered()
    failed = OutboxEntry(text[:200] or "team", notification, at + 1).failed(text or "away", at + 9)
    Outbox(statements).put([sent, failed])
    Notes(statements).add(Note(cause.id, 1, "acknowledged", "ann", text or "on it", at + 60))
