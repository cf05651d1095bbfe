"""Where the time of settled traces went, by operation, and what they called."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeVar

from clew.api.answer import Answer
from clew.api.selection import TraceSelection
from clew.storage import queries

NEVER = float("inf")

T = TypeVar("T")
Operation = tuple[str, str, str]  # service, operation, kind


class Breakdown(NamedTuple):
    """`members`: `breakdown`, `dependencies` and `sample` of a response. `services`: those that the
    settled traces went through, sorted; None if not all were read."""

    members: dict[str, Any]
    services: list[str] | None


def read_breakdown(
    answer: Answer,
    selection: TraceSelection,
    p95_ms: float | None,
    count: int,
    traces: int,
    limit: int,
) -> Breakdown:
    """Where the time of the settled traces went.

    `count`: how often the transaction ran; `traces`: how many it has, which decides whether all are
    read or slices of the window. `p95_ms`: the transaction's p95 in the window; slower traces are
    the slow ones. `limit`: of each list."""
    slices = selection.slice_parameters(traces)
    parameters = selection.parameters | slices
    parameters["slower_than"] = NEVER if p95_ms is None else p95_ms * 1e6
    rows = answer.rows(queries.BREAKDOWN, **parameters, limit=limit + 2)
    if not rows:
        sample: dict[str, Any] = {"traces": 0, "of": 0, "error": 0.0}
        return Breakdown({"breakdown": [], "dependencies": [], "sample": sample}, [])
    total, operations = rows[0], [row for row in rows[1:] if not row["is_call"]]
    calls = [row for row in rows if row["is_call"]]
    services = None
    if len(calls) > limit:
        answer.mark_truncated()
    if len(operations) > limit:
        answer.mark_truncated()
    elif not slices["sliced"]:
        services = sorted({row["service"] for row in operations})
    # How many traces of the window each trace of the slices stands for.
    factor = count / sum(total["without"][1] or [count]) if slices["sliced"] else 1
    p95_without = {} if p95_ms is None else _p95_without(total, operations)
    operations = operations[:limit]
    members = {
        "breakdown": [
            _breakdown_row(row, total, factor, p95_without.get(_operation(row)), p95_ms)
            for row in operations
        ],
        "dependencies": [_dependency(row, total, factor) for row in calls[:limit]],
        "sample": {
            "traces": total["traces"],
            "of": round(total["calls"] * factor),
            "error": max((_standard_error(row, total) for row in operations), default=0.0),
        },
    }
    return Breakdown(members, services)


def _p95_without(
    total: queries.BreakdownRow, operations: list[queries.BreakdownRow]
) -> dict[Operation, float]:
    """For each operation the p95, in milliseconds, that the transaction would have if the
    operation took no time."""
    counts = _as_dict(total["without"])
    return {_operation(row): _p95(counts, _as_dict(row["without"])) for row in operations}


def _as_dict(sum_map: tuple[list[int], list[T]]) -> dict[int, T]:
    """The result of ClickHouse's sumMap, its keys and their sums."""
    return dict(zip(*sum_map, strict=True))


def _p95(counts: dict[int, int], changes: dict[int, int]) -> float:
    """The p95 in milliseconds, from counts of durations and changes to them. Bucket n counts
    durations of about 1.02^n nanoseconds."""
    slower = 0.05 * sum(counts.values())
    for bucket in sorted({*counts, *changes}, reverse=True):
        slower -= counts.get(bucket, 0) + changes.get(bucket, 0)
        if slower < 0:
            return 1.02**bucket / 1e6
    return 0.0


def _operation(row: queries.BreakdownRow) -> Operation:
    return row["service"], row["operation"], row["kind"]


def _breakdown_row(
    row: queries.BreakdownRow,
    total: queries.BreakdownRow,
    factor: float,
    p95_without_ms: float | None,
    p95_ms: float | None,
) -> dict[str, Any]:
    """An operation's share of the time of all traces (`total`). `factor`: how many traces each
    trace that was read stands for."""
    return {
        "service": row["service"],
        "operation": row["operation"],
        "kind": row["kind"],
        "calls": round(row["calls"] * factor),
        "instances": round(row["instances"] * factor),
        "self_time_ms": row["self_ns"] / 1e6 * factor,
        "share": _ratio(row["self_ns"], total["self_ns"]),
        "critical_share": _ratio(row["critical_ns"], total["critical_ns"]),
        "slow": _cohort(_slow_sums(row), _slow_sums(total)),
        "typical": _cohort(_typical_sums(row), _typical_sums(total)),
        "p95_without_ms": p95_ms
        if p95_without_ms is None or p95_ms is None
        else min(p95_without_ms, p95_ms),
    }


class Sums(NamedTuple):
    """Sums of one operation over some traces; for whole traces, `calls` is their number."""

    calls: int
    self_ns: int
    critical_ns: int


def _slow_sums(row: queries.BreakdownRow) -> Sums:
    return Sums(row["slow_calls"], row["slow_self_ns"], row["slow_critical_ns"])


def _typical_sums(row: queries.BreakdownRow) -> Sums:
    slow = _slow_sums(row)
    return Sums(
        row["calls"] - slow.calls,
        row["self_ns"] - slow.self_ns,
        row["critical_ns"] - slow.critical_ns,
    )


def _cohort(operation: Sums, traces: Sums) -> dict[str, float]:
    return {
        "calls_per_trace": _ratio(operation.calls, traces.calls),
        "self_time_ms_per_trace": _ratio(operation.self_ns / 1e6, traces.calls),
        "share": _ratio(operation.self_ns, traces.self_ns),
        "critical_share": _ratio(operation.critical_ns, traces.critical_ns),
    }


def _standard_error(row: queries.BreakdownRow, total: queries.BreakdownRow) -> float:
    """The standard error of the operation's share: 0 if every trace was settled and read. With
    slices it is estimated from the differences between them, which include the effect of traces
    that were not settled."""
    share = _ratio(row["self_ns"], total["self_ns"])
    slice_totals, slice_sums = _as_dict(total["parts"]), _as_dict(row["parts"])
    if len(slice_totals) > 1:
        variance = sum(
            (slice_sums.get(number, 0) - share * slice_total) ** 2
            for number, slice_total in slice_totals.items()
        )
        variance *= len(slice_totals) / (len(slice_totals) - 1)
    else:
        variance = (
            (row["deviation"] or 0.0)
            - 2 * share * (row["covariance"] or 0.0)
            + share**2 * (total["deviation"] or 0.0)
        )
    return _ratio(math.sqrt(max(0.0, variance)), total["self_ns"])


def _dependency(
    row: queries.BreakdownRow, total: queries.BreakdownRow, factor: float
) -> dict[str, Any]:
    p50, p95 = row["quantiles"]
    return {
        "type": row["kind"],
        "name": row["operation"],
        "source": row["service"],
        "summary": row["summary"],
        "calls": round(row["calls"] * factor),
        "errors": round(row["errors"] * factor),
        "instances": round(row["instances"] * factor),
        "failed_instances": round(row["failed_instances"] * factor),
        "total_ms": row["self_ns"] / 1e6 * factor,
        "error_rate": _ratio(row["errors"], row["calls"]),
        "calls_per_trace": _ratio(row["calls"], total["calls"]),
        "duration_ms": {"p50": p50, "p95": p95},
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
