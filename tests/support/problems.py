"""Alerts of a shop: open ones with a common cause, one that is about to fire, one that is over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from clew.analysis.alerts.notes import Note, Notes
from clew.analysis.alerts.notifications import Notification
from clew.analysis.alerts.outbox import Outbox, OutboxEntry
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.states import AlertState, State, Transition
from clew.analysis.alerts.verdicts import Verdict, alert_id
from clew.analysis.watching.telling import explanation
from clew.storage import Store
from clew.storage.statements import Statements

VALUE = """SELECT count() AS requests, countIf(IsError) / requests AS value
FROM otel.otel_traces
WHERE ServiceName = {service:String} AND Timestamp >= now() - 300"""

CAUSE_RULE, CAUSE_LABELS = (
    "payments failing",
    {"environment": "prod", "service": "payments", "operation": "POST /charges"},
)
CAUSE = alert_id(CAUSE_RULE, CAUSE_LABELS)


def alert(
    rule: str,
    labels: Mapping[str, str],
    state: State,
    since: float,
    headline: str,
    **more: Any,
) -> AlertRecord:
    """An alert whose state began at `since`, in seconds since 1970."""
    severity, because_of = more.pop("severity", "ticket"), more.pop("because_of", "")
    episode = 0 if state is State.PENDING else 1
    return AlertRecord(
        Verdict(rule, labels, since, True, headline=headline, **more),
        severity,
        AlertState(state, since, episode, since),
        because_of=because_of,
    )


def alerts(now: float, trace: str) -> list[AlertRecord]:
    """The alerts at a time; `trace` is an example of each."""
    shop = {"environment": "prod", "service": "storefront"}
    numbers: dict[str, Any] = {"requests": 148.0, "window": 300.0, "examples": (trace,)}
    return [
        alert(
            CAUSE_RULE, CAUSE_LABELS, State.FIRING, now - 720,
            "payments POST /charges: failed requests 23 %, usually 0.4 %",
            severity="page", measure="error_rate", value=0.23, expected=0.004, lower=0.0,
            upper=0.018, z=31.4, as_large=0, past=2016, sql=VALUE, parameters={"service": "payments"},
            facts={"for": "12 min", "version": "1.0.1", "deployed": "2026-11-29T08:40:00Z"}, **numbers,
        ),
        alert(
            "clew: unusual", {**shop, "transaction": "Checkout", "measure": "slow_rate"},
            State.FIRING, now - 660, "Checkout: slow requests 31 %, usually 10 %",
            because_of=CAUSE, measure="slow_rate", value=0.31, expected=0.1, lower=0.04, upper=0.17,
            z=9.1, as_large=1, past=2016, **numbers,
        ),
        alert(
            "checkout burns", {"environment": "prod", "transaction": "Checkout"},
            State.RECOVERING, now - 300, "Checkout: 34 of 148 bad, 14 × the budget",
            because_of=CAUSE, measure="burn_rate", value=14.0, expected=6.0, **numbers,
        ),
        alert(
            "clew: regression", {"environment": "prod", "service": "inventory", "operation": "POST /stock"},
            State.FIRING, now - 5400, "inventory POST /stock: p95 84 ms, +62 %, since version 1.1",
            measure="p95", value=0.084, expected=0.052, lower=0.047, upper=0.058, z=12.2,
            as_large=0, past=336, facts={"change": "+62 %", "version": "1.1"}, **numbers,
        ),
        alert(
            "few orders", {**shop, "transaction": "storefront: GET /cart"}, State.PENDING, now - 60,
            "storefront: GET /cart: requests 0.4 /s, limit 1 /s",
            severity="info", measure="rate", value=0.4, expected=1.0, **numbers,
        ),
        alert(
            "clew: unusual", {**shop, "operation": "GET /cart", "measure": "error_rate"},
            State.RESOLVED, now - 1200, "storefront GET /cart: failed requests 6 %, usually 0 %",
            measure="error_rate", value=0.06, expected=0.0, lower=0.0, upper=0.01, **numbers,
        ),
    ]  # fmt: skip


def load(store: Store, trace: str) -> None:
    """Stores the alerts, what led to them, what was told, and what people said."""
    now = float(int(time.time()))
    statements = Statements(store)
    records = alerts(now, trace)
    put(statements, records)
    cause = records[0]
    entries = [_entry(cause, receiver, cause.state.since + 1) for receiver in ("oncall", "team")]
    waiting = _entry(records[3], "team", now - 5390)
    entries = [
        entries[0].delivered(),
        entries[1].dropped("the receiver answered 410"),
        waiting.failed("no answer within 10 s", now + 60),
    ]
    Outbox(statements).put(entries)
    Notes(statements).add(
        Note(cause.id, 1, "acknowledged", "anna", "rolling back 1.0.1", now - 400)
    )
    Notes(statements).add(Note(cause.id, 1, "useful", "anna", "", now - 390))


def put(statements: Statements, records: list[AlertRecord]) -> None:
    """Stores alerts, and that they were pending before."""
    stored = AlertRecords(statements)
    stored.put(records, time.time_ns())
    before = [
        AlertRecord(
            record.verdict,
            record.severity,
            AlertState(State.PENDING, record.state.since - 120, record.state.episode),
        )
        for record in records
    ]
    stored.put_changes([*before, *records])


def _entry(record: AlertRecord, receiver: str, at: float) -> OutboxEntry:
    notification = Notification(
        record.id, 1, Transition.FIRED, at, record.state.firing_since, record.rule,
        record.severity, record.labels, record.verdict.headline, explanation(record),
        record.verdict.examples,
    )  # fmt: skip
    return OutboxEntry(receiver, notification, at)
