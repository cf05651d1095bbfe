"""Traces: the search, and one trace."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import Query, Response

from clew.api import models
from clew.api.answer import Answer, AnswerDependency
from clew.api.parameters import (
    SECOND,
    CommonDependency,
    CommonParameters,
    Window,
    split_page,
    sql_time,
    sql_time_from_rfc3339,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.trace_view import read_trace
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
NO_LIMIT = float("inf")
NO_TRANSACTION: queries.TransactionNamesRow = {
    "service": "",
    "operation": "",
    "names": [],
    "named": True,
    "rootless": False,
}
AUTOMATIC_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)

Attributes = Annotated[
    list[str],
    Query(
        description="Filter on an attribute: `key=value`, `key!=value`, `key~part` (contains), "
        "`key>number` or `key<number`. May be repeated; all must hold."
    ),
]


@router.get("", response_model=models.Traces)
def search_traces(
    common: CommonDependency,
    answer: AnswerDependency,
    service: str | None = None,
    operation: str | None = None,
    status: Literal["ok", "error"] | None = None,
    min_duration_ms: float = 0,
    max_duration_ms: float | None = None,
    transaction: str | None = None,
    attr: Attributes = [],  # noqa: B006 (FastAPI copies it)
) -> dict[str, Any]:
    """Traces that started in the window, newest first.

    `service`, `operation`, `status` and `attr` must all hold for the same span, which must start
    within an hour of the trace's start. Durations are those of the whole trace."""
    spans, parameters = span_filters(
        [AttributeFilter.parse(text) for text in attr],
        service=service,
        operation=operation,
        is_error=None if status is None else status == "error",
        environment=common.environment,
    )
    filters = traces_with_span(spans) if spans else ""
    if transaction is not None:
        fragment, transaction_parameters = _transaction_filter(answer, transaction)
        filters, parameters = filters + fragment, parameters | transaction_parameters
    longest = NO_LIMIT if max_duration_ms is None else max_duration_ms
    parameters |= {"min_duration_ms": min_duration_ms, "max_duration_ms": longest}
    matches = (
        trace
        for trace in newest_traces(answer, common, filters, parameters)
        if min_duration_ms <= (trace["duration_ms"] or 0.0) <= longest
        and (not is_automatic(transaction) or _has_entry(trace, parameters))
    )
    page, has_more = split_page(list(islice(matches, common.limit + 1)), common.limit)
    return answer.document(
        traces=page,
        next_cursor=common.next_cursor(
            time=sql_time_from_rfc3339(page[-1]["start"]), id=page[-1]["trace_id"]
        )
        if has_more
        else None,
    )


def is_automatic(transaction: str | None) -> bool:
    """Whether this has the form of an automatic transaction's id, which no defined one has."""
    return transaction is not None and bool(AUTOMATIC_ID.fullmatch(transaction))


def _transaction_filter(answer: Answer, transaction: str) -> tuple[str, dict[str, Any]]:
    """A fragment of SQL for the traces of a transaction, and its parameters. For an automatic
    transaction it also lets traces pass that have such a span but enter elsewhere."""
    if not is_automatic(transaction):
        return TRACES_IN_OCCURRENCES, {"transaction": transaction}
    names = answer.first_row(queries.TRANSACTION_NAMES, id=transaction)
    return TRACES_WITH_ENTRY, entry_parameters(names or NO_TRANSACTION)


def entry_parameters(names: queries.TransactionNamesRow) -> dict[str, Any]:
    """The parameters of a fragment of SQL for the entry spans of an automatic transaction."""
    return {
        "entry_service": names["service"],
        "entry_names": names["names"],
        "entry_named": names["named"],
    }


def _has_entry(trace: queries.TracesByIdRow, parameters: Mapping[str, Any]) -> bool:
    """Whether the trace enters as `entry_parameters` say."""
    return (
        trace["transaction_id"] is not None
        and trace["root_service"] == parameters["entry_service"]
        and (trace["root_operation"] in parameters["entry_names"]) == parameters["entry_named"]
    )


def stretches(window: Window) -> Iterator[Window]:
    """The window in parts, newest first, each GROWTH times as long as the one before: the first
    part is enough for what is frequent, and what is rare costs only a few statements."""
    end, length = window.end, FIRST_STRETCH
    while end > window.start:
        start = max(window.start, end - length)
        yield Window(start, end)
        end, length = start, length * GROWTH


def newest_traces(
    answer: Answer, common: CommonParameters, filters: str, parameters: dict[str, Any]
) -> Iterator[queries.TracesByIdRow]:
    """Traces that started in the window, newest first, from the cursor's position on."""
    position = (str(common.position.get("time", "")), str(common.position.get("id", "")))
    for stretch in stretches(common.window):
        since, until = sql_time(stretch.start), sql_time(stretch.end)
        time, id = position if "" < position[0] < until else (until, "")
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
            summaries = trace_summaries(answer, {row["trace_id"] for row in rows})
            for row in rows:
                summary = summaries[row["trace_id"]]
                if summary["start"] == row["start"]:
                    yield summary
            if len(rows) <= common.limit:
                break
            time, id = sql_time_from_rfc3339(rows[-1]["start"]), rows[-1]["trace_id"]


@router.get("/{trace_id}", response_model=models.Trace)
def get_trace(trace_id: str, answer: AnswerDependency) -> Response:
    """One whole trace: every span with its self time and whether it is on the critical path, log
    records with the trace's id or from its processes, and linked metrics."""
    trace = read_trace(answer, trace_id.lower())
    if trace is None:
        raise Problem(404, f"no trace has the id {trace_id!r}")
    return trace.response(answer.document(**trace.members))


def trace_summaries(answer: Answer, trace_ids: Iterable[str]) -> dict[str, queries.TracesByIdRow]:
    """Summaries of the traces that are stored, by trace id."""
    ids = sorted(trace_ids)
    rows = answer.rows(queries.TRACES_BY_ID, trace_ids=ids) if ids else []
    return {row["trace_id"]: row for row in rows}
