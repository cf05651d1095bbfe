"""Defined transactions as answers: their counts, value and error budgets."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from fastapi import Depends, Request

from clew.analysis import Registry
from clew.analysis.transactions.definitions import Definition, Slo
from clew.api.answer import Answer
from clew.api.parameters import Window
from clew.storage import queries

APDEX_MS = 500.0
BURN_WINDOWS = ("1h", "6h", "3d")


def in_force(request: Request) -> Mapping[str, Definition]:
    """The definitions in force, by id."""
    registry: Registry = request.app.state.definitions
    return {definition.id: definition for definition in registry.definitions()}


Defined = Annotated[Mapping[str, Definition], Depends(in_force)]


def carried(definition: Definition) -> list[tuple[str, str]]:
    """The attributes by which a metric's series says that it belongs to the transaction."""
    return [("business.transaction", definition.id), ("business.transaction", definition.name)]


def counted(
    answer: Answer, defined: Collection[Definition], window: Window, environment: str | None
) -> list[queries.DefinedTransactionsRow]:
    """The counts of the defined transactions in the window, of those that occurred in it or in
    what their burn rates look back to."""
    if not defined:
        return []
    latencies = [each.slo.latency_ms if each.slo else None for each in defined]
    rows = answer.rows(
        queries.DEFINED_TRANSACTIONS,
        **window.parameters,
        environment=environment,
        ids=[each.id for each in defined],
        targets=[(latency or APDEX_MS) * 1e6 for latency in latencies],
        limits=[math.inf if latency is None else latency * 1e6 for latency in latencies],
    )
    return [row for row in rows if row["count"] or any(row["recent"])]


def none(id: str) -> queries.DefinedTransactionsRow:
    """The counts of a defined transaction that did not occur."""
    return {
        "id": id,
        "count": 0,
        "errors": 0,
        "satisfied": 0,
        "tolerating": 0,
        "nanoseconds": [],
        "quantiles": [None] * 4,
        "max": None,
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


def transaction(
    row: queries.DefinedTransactionsRow, defined: Definition, window: Window
) -> dict[str, Any]:
    """A defined transaction, in the form of the automatic ones."""
    count = row["count"]
    p50, p90, p95, p99 = row["quantiles"]
    service, operation = row["entry"]
    return {
        "id": defined.id,
        "name": defined.name,
        "source": "defined",
        "service": service,
        "operation": operation,
        "services": row["services"],
        "count": count,
        "errors": row["errors"],
        "error_rate": row["errors"] / count if count else 0.0,
        "per_second": count / window.seconds,
        "duration_ms": {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": row["max"]},
        "apdex": (row["satisfied"] + row["tolerating"] / 2) / count if count else None,
        "value": {
            "sum": row["value"] or 0.0,
            "lost": row["lost"] or 0.0,
            "at_risk": row["at_risk"] or 0.0,
        },
        "slo": None if defined.slo is None else _slo(row, defined.slo),
    }


def _slo(row: queries.DefinedTransactionsRow, slo: Slo) -> dict[str, Any]:
    """How much of what may go wrong has. A burn rate of 1 spends the budget exactly."""
    good, total, allowed = row["good_count"], row["count"], 1 - slo.objective
    return {
        "objective": slo.objective,
        "latency_ms": slo.latency_ms,
        "good": good,
        "total": total,
        "attained": good / total if total else None,
        "error_budget_left": 1 - (total - good) / (total * allowed) if total else 1.0,
        "burn_rates": {
            name: bad / of / allowed if of else 0.0
            for name, bad, of in zip(BURN_WINDOWS, row["recent_bad"], row["recent"], strict=True)
        },
    }


def point(row: queries.DefinedSeriesRow | queries.TransactionSeriesRow) -> dict[str, Any]:
    """A point of a series."""
    p50, _, p95, p99 = row["quantiles"]
    return {
        "time": row["time"], "count": row["count"], "errors": row["errors"],
        "p50": p50, "p95": p95, "p99": p99,
    }  # fmt: skip


def instance(row: queries.DefinedInstancesRow, defined: Definition) -> dict[str, Any]:
    """An occurrence."""
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
        "steps": [_step(step, defined) for step in row["steps"]],
    }


def _step(step: queries.DefinedInstancesSteps, defined: Definition) -> dict[str, Any]:
    number = step["number"]
    return {
        "name": defined.steps[number].name if number < len(defined.steps) else str(number),
        "service": step["service"],
        "time": step["time"],
        "duration_ms": step["duration_ms"],
        "status": "error" if step["is_error"] else "ok",
        "trace_id": step["trace_id"],
    }
