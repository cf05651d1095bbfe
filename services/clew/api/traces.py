"""Traces: search, and one trace with its spans, logs and metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from clew.api.metrics import linked_metrics
from clew.api.parameters import (
    SECOND,
    Answer,
    Answering,
    CommonParameters,
    extent,
    page,
    time_parameter,
)
from clew.api.problems import Problem
from clew.storage import AttributeFilter, Row, attribute_filters

router = APIRouter(prefix="/api/v1/traces", tags=["traces"])

MAX_SPANS = 100_000
MAX_LOGS = 1000  # of each way they are linked
METRICS_AROUND = (
    300 * SECOND
)  # a trace is short: its processes' metrics are shown from before and after it
METRICS_STEP = 10

Attributes = Annotated[
    list[str],
    Query(description="key=value, key!=value, key~part, key>number, key<number; repeatable"),
]


@router.get("")
def search_traces(
    common: CommonParameters,
    answer: Answering,
    service: str | None = None,
    operation: str | None = None,
    status: Literal["ok", "error"] | None = None,
    min_duration_ms: float | None = None,
    max_duration_ms: float | None = None,
    transaction: str | None = None,
    attr: Attributes = [],  # noqa: B006 (FastAPI copies it)
) -> dict[str, Any]:
    """Traces that began in the window, newest first. Service, operation, status and attributes hold
    of one and the same span; durations are the whole trace's."""
    filters, values = attribute_filters(
        [AttributeFilter.parse(text) for text in attr], "SpanAttributes"
    )
    entry: Row = {}
    if transaction is not None:
        named = answer.row("transaction_names", id=transaction)
        if named is None:
            return answer.of(traces=[], next_cursor=None)
        entry = named
    rows, more = page(
        answer.rows(
            "trace_search",
            filters,
            **values,
            **common.window.parameters,
            by_span=bool(attr)
            or any(each is not None for each in (service, operation, status, common.environment)),
            service=service,
            operation=operation,
            is_error=None if status is None else status == "error",
            environment=common.environment,
            by_transaction=transaction is not None,
            entry_service=entry.get("service", ""),
            entry_operation=entry.get("operation", ""),
            min_duration_ms=min_duration_ms,
            max_duration_ms=max_duration_ms,
            after_time=common.after.get("time"),
            after_id=str(common.after.get("id", "")),
            limit=common.limit + 1,
        ),
        common.limit,
    )
    known = summaries(answer, {row["trace_id"] for row in rows})
    found = [
        known[row["trace_id"]] for row in rows if known[row["trace_id"]]["start"] == row["start"]
    ]
    last = rows[-1] if rows else None
    return answer.of(
        traces=found,
        next_cursor=common.next_cursor(time=time_parameter(last["start"]), id=last["trace_id"])
        if more and last
        else None,
    )


@router.get("/{trace_id}")
def get_trace(trace_id: str, answer: Answering) -> dict[str, Any]:
    """One trace, whole: every span with its own time and whether the trace waited for it, the log
    records with its id or from its processes, and the metrics that belong to it."""
    trace = summaries(answer, {trace_id.lower()}).get(trace_id.lower())
    if trace is None:
        raise Problem(404, f"no trace has the id {trace_id!r}")
    inside = extent([trace])
    rows = answer.most("trace_spans", MAX_SPANS, trace_id=trace["trace_id"], **inside)
    times = {
        row["span_id"]: row
        for row in answer.rows("trace_span_times", trace_ids=[trace["trace_id"]], **inside)
    }
    began = min((row["start_ns"] for row in rows), default=0)
    spans = [_span(row, began, times.get(row["span_id"], {})) for row in rows]
    processes = sorted(
        {(span["service"], span["resource"].get("service.instance.id", "")) for span in spans}
    )
    named: dict[str, Any] = {
        "trace_ids": [trace["trace_id"]],
        "service": "",
        "operation": "",
        "environment": None,
    }
    return answer.of(
        trace_id=trace["trace_id"],
        transaction=_transaction(trace),
        start=trace["start"],
        duration_ms=trace["duration_ms"],
        services=trace["services"],
        span_count=trace["span_count"],
        error_count=trace["error_count"],
        complete=_is_complete(spans),
        spans=spans,
        logs=answer.most(
            "linked_logs", MAX_LOGS, each="linked_by", **named, **inside, processes=processes
        ),
        metrics=_metrics(answer, named, trace, processes),
    )


def summaries(answer: Answer, trace_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What is known of traces as wholes, by trace id."""
    ids = sorted(trace_ids)
    return {
        row["trace_id"]: _summary(row)
        for row in (answer.rows("traces_by_id", trace_ids=ids) if ids else [])
    }


def _summary(row: Row) -> dict[str, Any]:
    has_entry = row.pop("has_entry")
    return row | {"transaction_id": row["transaction_id"] if has_entry else None}


def _transaction(trace: dict[str, Any]) -> dict[str, Any] | None:
    if trace["transaction_id"] is None:
        return None
    return {
        "id": trace["transaction_id"],
        "name": f"{trace['root_service']}: {trace['root_operation']}",
        "key": trace["trace_id"],
    }


def _span(row: Row, began: int, times: Row) -> dict[str, Any]:
    started = row.pop("start_ns")
    flags = ["ends_before_start"] if row.pop("ends_before_start") else []
    return row | {
        "offset_ms": (started - began) / 1e6,
        "self_time_ms": times.get("self_time_ms", row["duration_ms"]),
        "critical": bool(times.get("critical", False)),
        "flags": flags,
    }


def _is_complete(spans: list[dict[str, Any]]) -> bool:
    """Whether the root is there, and the parent of every other span."""
    ids = {span["span_id"] for span in spans} | {""}
    return any(not span["parent_span_id"] for span in spans) and all(
        span["parent_span_id"] in ids for span in spans
    )


def _metrics(
    answer: Answer, named: dict[str, Any], trace: dict[str, Any], processes: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    around = extent([trace], METRICS_AROUND)
    return linked_metrics(answer, named | around, processes, METRICS_STEP, [])
