"""How the judging of alerts itself is: how late, with which rules in error, with what untold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fastapi import Request

from clew.analysis import queries
from clew.analysis.alerts.outbox import Outbox
from clew.analysis.alerts.records import AlertRecord
from clew.analysis.alerts.states import Known
from clew.analysis.watching.coverage import Coverage
from clew.analysis.watching.progress import ROW
from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import alert_status as models
from clew.api.parameters import rfc3339_of_seconds
from clew.api.reference import routes
from clew.storage.statements import Statements

router = routes("alerts")

LATE_AFTER = 180.0  # seconds: a minute is judged 30 s after its end
OLD_AFTER = 120.0  # seconds that a message may wait


@router.get("/status", response_model=models.AlertStatus)
@reads()
def alert_status(request: Request, answer: AnswerDependency) -> dict[str, Any]:
    """Whether alerts are judged and told: how late the last judged minute is, which rules are in
    error, how long messages wait for their receivers, and which series are not watched."""
    now = time.time()
    rows = {row["name"]: row for row in answer.rows(queries.SETTLE_PROGRESS)}
    until = rows[ROW]["settled_until"] if ROW in rows else None
    records = [
        AlertRecord.read(row["document"], row["version"])
        for row in answer.rows(queries.ALERTS_STORED)
    ]
    errors = {
        record.rule: record.verdict.headline for record in records if record.known is Known.ERROR
    }
    waiting = Outbox(Statements(request.app.state.reader.store)).waiting()
    age = now - min((entry.created_at for entry in waiting), default=now)
    problems = _problems(None if until is None else now - until, errors, len(waiting), age)
    return answer.document(
        ok=not problems,
        problems=problems,
        judged_until=None if until is None else rfc3339_of_seconds(until),
        lag_ms=None if until is None else (now - until) * 1000,
        rules_in_error=[{"rule": rule, "error": error} for rule, error in sorted(errors.items())],
        outbox=len(waiting),
        outbox_age_ms=age * 1000,
        watched=_watched(answer.rows(queries.WATCH_COVERAGE)),
    )


def _watched(rows: Sequence[queries.WatchCoverageRow]) -> dict[str, Any] | None:
    if not rows:
        return None
    coverage = Coverage.read(rows[0]["document"])
    why = f"{coverage.limit} series have more value or requests (--watch-limit)"
    return {
        "limit": coverage.limit,
        "series": coverage.watched,
        "learning": coverage.learning,
        "unwatched": coverage.unwatched,
        "largest_unwatched": [
            {"kind": one.kind, "labels": one.labels, "requests": one.requests, "why": why}
            for one in coverage.largest
        ],
    }


def _problems(lag: float | None, errors: dict[str, str], waiting: int, age: float) -> list[str]:
    problems = []
    if lag is not None and lag > LATE_AFTER:
        problems.append(f"the last minute that was judged is {lag / 60:.0f} min old")
    if errors:
        listed = ", ".join(sorted(errors)[:3])
        problems.append(f"rules that cannot be judged: {listed}{' …' if len(errors) > 3 else ''}")
    if waiting and age > OLD_AFTER:
        messages = "1 message waits" if waiting == 1 else f"{waiting} messages wait"
        problems.append(f"{messages} for a receiver, the oldest for {age / 60:.0f} min")
    return problems
