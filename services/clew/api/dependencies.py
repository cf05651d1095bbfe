"""Third parties: external hosts against their own past, and what they are of each transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.analysis import queries
from clew.analysis.dependencies import Failures, Judgement, Period, judge
from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import dependencies as models
from clew.api.parameters import SECOND, CommonDependency, Window, rfc3339
from clew.api.problems import Problem
from clew.api.reference import routes

router = routes("dependencies")

MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
DAYS = 7
MAX_HOSTS = 200
MAX_ROWS = 2000
ORDER = ("down", "degraded", "ok", "unknown")


@router.get("/external", response_model=models.ExternalDependencies)
@reads("traces", settled=True, steps=("edges",))
def external_dependencies(common: CommonDependency, answer: AnswerDependency) -> dict[str, Any]:
    """External hosts that the services call: how each does against the same time of the seven days
    before, its failures by the class of the status, and its part of each transaction's p95 and
    failures.

    Covers whole minutes, a day at most. A host is `degraded` where its failures or durations are
    more than five standard deviations and 1.5 times above what is usual, `down` where 90 % of the
    calls fail, `unknown` with fewer than 20 calls or without a past. Refused requests (4xx) of
    fewer than three tenants do not count against the host."""
    window = Window(
        common.window.start // MINUTE * MINUTE, -(-common.window.end // MINUTE) * MINUTE
    )
    if window.end - window.start > DAY:
        raise Problem(422, "start, end: a day at most is compared with the days before")
    answer.rests_on_settled_traces("edges")
    parameters = {**window.parameters, "environment": common.environment}
    whole = parameters | {name: parameters[name][:19] for name in ("start", "end")}
    days = answer.rows(queries.EXTERNAL_DAYS, **whole, limit=MAX_HOSTS + 1)
    current = [row for row in days if row["day"] == 0]
    if len(current) > MAX_HOSTS:
        answer.mark_truncated()
        current = current[:MAX_HOSTS]
    hosts = [row["host"] for row in current]
    failures, transactions = answer.in_parallel(
        lambda: answer.limited_rows(queries.EXTERNAL_FAILURES, MAX_ROWS, **parameters, hosts=hosts),
        lambda: answer.limited_rows(
            queries.EXTERNAL_TRANSACTIONS, MAX_ROWS, **parameters, hosts=hosts
        ),
    )
    dependencies = [
        _dependency(
            row,
            [past for past in days if past["day"] and past["host"] == row["host"]],
            [failed for failed in failures if failed["host"] == row["host"]],
            [one for one in transactions if one["host"] == row["host"]],
            window,
        )
        for row in current
    ]
    dependencies.sort(key=lambda one: (ORDER.index(one["status"]), -one["calls"], one["host"]))
    return answer.document(
        start=rfc3339(window.start),
        end=rfc3339(window.end),
        dependencies=dependencies,
        sampled=any(row["one_in"] > 1 for row in current),
    )


def _dependency(
    row: queries.ExternalDaysRow,
    past: Sequence[queries.ExternalDaysRow],
    failures: Sequence[queries.ExternalFailuresRow],
    transactions: Sequence[queries.ExternalTransactionsRow],
    window: Window,
) -> dict[str, Any]:
    classes = [Failures(one["status_class"], one["errors"], one["tenants"]) for one in failures]
    judgement = judge(_period(row), list(map(_period, past)), classes)
    return {
        "host": row["host"],
        "status": judgement.status,
        "reason": judgement.reason,
        "calls": row["calls"],
        "per_second": row["calls"] / window.seconds,
        "errors": row["errors"],
        "error_rate": row["errors"] / row["calls"],
        "duration_ms": _durations(_period(row)),
        "usual": _usual(judgement),
        "z": {name: judgement.z.get(name) for name in ("errors", "p50", "p95")},
        "failures": [
            {
                "name": one["status_class"],
                "errors": one["errors"],
                "share": min(1.0, one["errors"] / row["calls"]),
                "callers": one["callers"],
                "tenants": one["tenants"] or None,
                "example_trace_id": one["example"],
            }
            for one in failures
        ],
        "callers": sorted(filter(None, row["callers"])),
        "transactions": [
            {
                "id": one["id"],
                "service": one["service"],
                "operation": one["operation"],
                "traces": one["traces"],
                "traces_with": one["traces_with"],
                "p95_share": max(0.0, 1 - one["p95_without"] / one["p95"]) if one["p95"] else 0.0,
                "failure_share": (
                    one["failures_with"] / one["failures"] if one["failures"] else None
                ),
            }
            for one in transactions
        ],
    }


def _period(row: queries.ExternalDaysRow) -> Period:
    p50, p95 = (value if value and value == value else None for value in row["quantiles"])
    return Period(row["calls"], row["errors"], p50, p95)


def _durations(period: Period) -> dict[str, float | None]:
    return {
        name: value / 1e6 if value is not None else None
        for name, value in (("p50", period.p50), ("p95", period.p95))
    }


def _usual(judgement: Judgement) -> dict[str, Any] | None:
    usual = judgement.usual
    if usual is None:
        return None
    return {
        "days": judgement.days,
        "calls": usual.calls,
        "error_rate": usual.share,
        "duration_ms": _durations(usual),
    }
