"""Traces: search, and one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import Query, Response

from clew.api import models
from clew.api.answer import Answer, Answering
from clew.api.parameters import (
    SECOND,
    Common,
    CommonParameters,
    Window,
    as_parameter,
    page,
    time_parameter,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.trace import read_trace
from clew.storage import (
    TRACES_IN_OCCURRENCES,
    TRACES_WITH_ENTRY,
    AttributeFilter,
    queries,
    span_filters,
    traces_with_span,
)

router = routes("traces")

FIRST_STRETCH = 300 * SECOND
GROWTH = 8
FOR_EVER = float("inf")
NOWHERE: queries.TransactionNamesRow = {
    "service": "",
    "operation": "",
    "names": [],
    "named": True,
    "rootless": False,
}
AUTOMATIC = re.compile(r"[0-9a-f]{16}", re.ASCII)

Attributes = Annotated[
    list[str],
    Query(description="key=value, key!=value, key~part, key>number, key<number; repeatable"),
]


@router.get("", response_model=models.Traces)
def search_traces(
    common: CommonParameters,
    answer: Answering,
    service: str | None = None,
    operation: str | None = None,
    status: Literal["ok", "error"] | None = None,
    min_duration_ms: float = 0,
    max_duration_ms: float | None = None,
    transaction: str | None = None,
    attr: Attributes = [],  # noqa: B006 (FastAPI copies it)
) -> dict[str, Any]:
    """Traces that began in the window, newest first. Service, operation, status and attributes hold
    of one and the same span, which began within an hour of the trace; durations are the whole
    trace's."""
    spans, parameters = span_filters(
        [AttributeFilter.parse(text) for text in attr],
        service=service,
        operation=operation,
        is_error=None if status is None else status == "error",
        environment=common.environment,
    )
    filters = traces_with_span(spans) if spans else ""
    if transaction is not None:
        fragment, entered = of_transaction(answer, transaction)
        filters, parameters = filters + fragment, parameters | entered
    most = FOR_EVER if max_duration_ms is None else max_duration_ms
    parameters |= {"min_duration_ms": min_duration_ms, "max_duration_ms": most}
    matching = (
        trace
        for trace in newest(answer, common, filters, parameters)
        if min_duration_ms <= (trace["duration_ms"] or 0.0) <= most
        and (not is_automatic(transaction) or _is_entered(trace, parameters))
    )
    found, more = page(list(islice(matching, common.limit + 1)), common.limit)
    return answer.of(
        traces=found,
        next_cursor=common.next_cursor(
            time=time_parameter(found[-1]["start"]), id=found[-1]["trace_id"]
        )
        if more
        else None,
    )


def is_automatic(transaction: str | None) -> bool:
    """Whether this is the form of an automatic transaction's id; no defined one has it."""
    return transaction is not None and bool(AUTOMATIC.fullmatch(transaction))


def of_transaction(answer: Answer, transaction: str) -> tuple[str, dict[str, Any]]:
    """A fragment for the traces of a transaction, and its parameters. It may let traces through
    that have a span of an automatic transaction's name and another entry."""
    if not is_automatic(transaction):
        return TRACES_IN_OCCURRENCES, {"transaction": transaction}
    row = answer.row(queries.TRANSACTION_NAMES, id=transaction)
    return TRACES_WITH_ENTRY, entered_at(row or NOWHERE)


def entered_at(named: queries.TransactionNamesRow) -> dict[str, Any]:
    """The parameters of a fragment for what an automatic transaction is entered at, from the row of
    `transaction_names`."""
    return {
        "entry_service": named["service"],
        "entry_names": named["names"],
        "entry_named": named["named"],
    }


def _is_entered(trace: queries.TracesByIdRow, entered: Mapping[str, Any]) -> bool:
    """Whether the trace's own entry is one of an automatic transaction's."""
    return (
        trace["transaction_id"] is not None
        and trace["root_service"] == entered["entry_service"]
        and (trace["root_operation"] in entered["entry_names"]) == entered["entry_named"]
    )


def stretches(window: Window) -> Iterator[Window]:
    """The window in parts, the newest first, each much longer than the one before: what is common
    is found in the first, and what is rare costs few statements more."""
    until, length = window.end, FIRST_STRETCH
    while until > window.start:
        since = max(window.start, until - length)
        yield Window(since, until)
        until, length = since, length * GROWTH


def newest(
    answer: Answer, common: Common, filters: str, parameters: dict[str, Any]
) -> Iterator[queries.TracesByIdRow]:
    """Traces that began in the window and behind the cursor, newest first."""
    shown = (str(common.after.get("time", "")), str(common.after.get("id", "")))
    for stretch in stretches(common.window):
        since, until = as_parameter(stretch.start), as_parameter(stretch.end)
        time, id = shown if "" < shown[0] < until else (until, "")
        while time > since:
            rows = answer.rows(
                queries.TRACE_SEARCH,
                filters,
                **parameters,
                since=since,
                until=until,
                after_time=time,
                after_id=id,
                limit=common.limit + 1,
            )
            known = summaries(answer, {row["trace_id"] for row in rows})
            for row in rows:
                if known[row["trace_id"]]["start"] == row["start"]:
                    yield known[row["trace_id"]]
            if len(rows) <= common.limit:
                break
            time, id = time_parameter(rows[-1]["start"]), rows[-1]["trace_id"]


@router.get("/{trace_id}", response_model=models.Trace)
def get_trace(trace_id: str, answer: Answering) -> Response:
    """One trace, whole: every span with its own time and whether the trace waited for it, the log
    records with its id or from its processes, and the metrics that belong to it."""
    trace = read_trace(answer, trace_id.lower())
    if trace is None:
        raise Problem(404, f"no trace has the id {trace_id!r}")
    return trace.response(answer.of(**trace.members))


def summaries(answer: Answer, trace_ids: Iterable[str]) -> dict[str, queries.TracesByIdRow]:
    """What is known of traces as wholes, by trace id."""
    ids = sorted(trace_ids)
    return {
        row["trace_id"]: row
        for row in (answer.rows(queries.TRACES_BY_ID, trace_ids=ids) if ids else [])
    }
