"""Defined transactions in responses: their counts, value, error budget and occurrences."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from fastapi import Depends, Request

from clew.analysis import Registry
from clew.analysis.transactions.definitions import Definition, Slo
from clew.api.answer import Answer
from clew.api.parameters import Window
from clew.storage import Query, RowT, queries

APDEX_TARGET_MS = 500.0  # without an SLO
BURN_WINDOWS = ("1h", "6h", "3d")  # as clew_burn_windows has them in seconds


def definitions_in_force(request: Request) -> Mapping[str, Definition]:
    """The definitions in force, by id."""
    registry: Registry = request.app.state.definitions
    return {definition.id: definition for definition in registry.definitions()}


DefinitionsDependency = Annotated[Mapping[str, Definition], Depends(definitions_in_force)]


def metric_attributes(definition: Definition) -> list[tuple[str, str]]:
    """Attributes as (key, value): a metric's series with one of them belongs to the transaction."""
    return [("business.transaction", definition.id), ("business.transaction", definition.name)]


class DefinedCounts(queries.DefinedTransactionsRow):
    """The counts of a defined transaction. `recent`, `recent_bad`: its occurrences, and bad ones,
    in each of the BURN_WINDOWS before the window's end; only of one with an objective."""

    recent: list[int]
    recent_bad: list[int]


def read_counts(
    answer: Answer, definitions: Collection[Definition], window: Window, environment: str | None
) -> list[DefinedCounts]:
    """Counts of the transactions that occurred in the window or, with an objective, in the time
    that their burn rates cover."""
    counts, burns = answer.in_parallel(
        lambda: _rows(answer, queries.DEFINED_TRANSACTIONS, definitions, window, environment),
        lambda: _rows(
            answer,
            queries.DEFINED_BURN,
            [definition for definition in definitions if definition.slo],
            window,
            environment,
        ),
    )
    counts_by_id = {row["id"]: row for row in counts}
    burns_by_id = {row["id"]: row for row in burns}
    return [
        _counts(id, counts_by_id.get(id), burns_by_id.get(id))
        for id in dict.fromkeys([*counts_by_id, *burns_by_id])
    ]


def _rows(
    answer: Answer,
    query: Query[RowT],
    definitions: Collection[Definition],
    window: Window,
    environment: str | None,
) -> list[RowT]:
    if not definitions:
        return []
    latencies = [
        definition.slo.latency_ms if definition.slo else None for definition in definitions
    ]
    return answer.rows(
        query,
        **window.parameters,
        environment=environment,
        ids=[definition.id for definition in definitions],
        targets=[(latency or APDEX_TARGET_MS) * 1e6 for latency in latencies],
        latencies=[math.inf if latency is None else latency * 1e6 for latency in latencies],
    )


def _counts(
    id: str, counts: queries.DefinedTransactionsRow | None, burn: queries.DefinedBurnRow | None
) -> DefinedCounts:
    document = empty_counts(id)
    if counts is not None:
        document = {**document, **counts}
    if burn is not None:
        document["recent"], document["recent_bad"] = burn["recent"], burn["recent_bad"]
    return document


def empty_counts(id: str) -> DefinedCounts:
    """The counts of a transaction that did not occur."""
    return {
        "id": id,
        "count": 0,
        "errors": 0,
        "satisfied": 0,
        "tolerating": 0,
        "total_ns": 0,
        "nanoseconds": [],
        "quantiles": [],
        "max": 0.0,
        "value": None,
        "lost": None,
        "at_risk": None,
        "good_count": 0,
        "recent": [0] * 3,
        "recent_bad": [0] * 3,
        "services": [],
        "entry": ("", ""),
        "earliest": "",
        "latest": "",
    }


def transaction_document(
    row: DefinedCounts, definition: Definition, window: Window
) -> dict[str, Any]:
    """A defined transaction as `models.Transaction`."""
    count = row["count"]
    p50, p90, p95, p99, longest = [*row["quantiles"], row["max"]] if count else [None] * 5
    service, operation = row["entry"]
    return {
        "id": definition.id,
        "name": definition.name,
        "source": "defined",
        "service": service,
        "operation": operation,
        "services": row["services"],
        "count": count,
        "errors": row["errors"],
        "error_rate": row["errors"] / count if count else 0.0,
        "per_second": count / window.seconds,
        "impact": row["total_ns"] / 1e6 / window.seconds,
        "duration_ms": {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": longest},
        "apdex": (row["satisfied"] + row["tolerating"] / 2) / count if count else None,
        "value": {
            "sum": row["value"] or 0.0,
            "lost": row["lost"] or 0.0,
            "at_risk": row["at_risk"] or 0.0,
        },
        "slo": None if definition.slo is None else _slo(row, definition.slo),
        "change": None,
        "series": None,
    }


def _slo(row: DefinedCounts, slo: Slo) -> dict[str, Any]:
    good, total = row["good_count"], row["count"]
    return {
        "objective": slo.objective,
        "latency_ms": slo.latency_ms,
        "good": good,
        "total": total,
        "attained": good / total if total else None,
        "error_budget_left": 1 - burn_rate(total - good, total, slo.objective),
        "burn_rates": {
            name: burn_rate(bad, count, slo.objective)
            for name, bad, count in zip(BURN_WINDOWS, row["recent_bad"], row["recent"], strict=True)
        },
    }


def burn_rate(bad: int, total: int, objective: float) -> float:
    """How fast an error budget is spent: the share of bad occurrences over the share that the
    objective allows. The same as clew_burn_rate of the database."""
    return bad / max(total, 1) / (1 - objective)


def series_point(
    row: queries.DefinedSeriesRow | queries.TransactionSeriesRow,
) -> dict[str, Any]:
    """A point of a transaction's series, as `models.SeriesPoint`."""
    p50, _, p95, p99 = row["quantiles"]
    return {
        "time": row["time"], "count": row["count"], "errors": row["errors"],
        "p50": p50, "p95": p95, "p99": p99,
    }  # fmt: skip


def instance_document(row: queries.DefinedInstancesRow, definition: Definition) -> dict[str, Any]:
    """An occurrence as `models.Instance`."""
    return {
        "key": row["key"],
        "trace_ids": row["trace_ids"],
        "start": row["start"],
        "end": row["end"],
        "duration_ms": row["duration_ms"],
        "working_ms": row["working_ms"],
        "entry_duration_ms": row["entry_duration_ms"],
        "attempts": row["attempts"],
        "status": "error" if row["is_error"] else "ok",
        "user": row["user"] or None,
        "value": row["value"],
        "services": row["services"],
        "span_count": row["span_count"],
        "error_count": row["error_count"],
        "steps": [_step(step, definition) for step in row["steps"]],
    }


def _step(step: queries.DefinedInstancesSteps, definition: Definition) -> dict[str, Any]:
    number = step["number"]
    return {
        "name": definition.steps[number].name if number < len(definition.steps) else str(number),
        "service": step["service"],
        "time": step["time"],
        "duration_ms": step["duration_ms"],
        "status": "error" if step["is_error"] else "ok",
        "trace_id": step["trace_id"],
    }
