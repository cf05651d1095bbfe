"""Exceptions over all services, in groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Annotated, Any

from fastapi import Query

from clew.analysis.transactions.definitions import Definition
from clew.api.answer import Answer, AnswerDependency
from clew.api.defined_transactions import DefinitionsDependency
from clew.api.freshness import reads
from clew.api.models import exceptions as models
from clew.api.parameters import (
    EARLIEST,
    SECOND,
    CommonDependency,
    CommonParameters,
    Window,
    read_rfc3339,
    sql_time,
    sql_time_from_rfc3339,
)
from clew.api.reference import routes
from clew.api.selection import TraceSelection
from clew.api.sorting import Order, SortValue, page_of, sort_parameter
from clew.api.traces import trace_summaries
from clew.api.transactions import automatic_selection, find_transaction
from clew.storage import queries

router = routes("exceptions")

MAX_GROUPS = 5000  # of a window, of which a page is chosen
TRACE_MARGIN = 3600 * SECOND  # before the window, in which traces of its exceptions begin
Row = queries.ExceptionGroupsRow
FrameKey = tuple[str, str, str, str]  # service, type, trace id, time

SORT_VALUES: dict[str, Callable[[Row], SortValue]] = {
    "count": itemgetter("count"),
    "last": lambda row: read_rfc3339(row["last"]),
    "first": lambda row: read_rfc3339(row["first"]),
    "type": itemgetter("type"),
    "service": itemgetter("service"),
    "message": itemgetter("message"),
}


@router.get("", response_model=models.Exceptions)
@reads("traces", "logs")
def list_exceptions(
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
    service: str | None = None,
    transaction: Annotated[
        str | None, Query(description="Only exceptions in traces of the transaction with this id.")
    ] = None,
    type: Annotated[
        str | None, Query(description="Only exceptions of this type.", examples=["CardDeclined"])
    ] = None,
    q: Annotated[
        str,
        Query(
            description="Only exceptions whose type or message contains this text; "
            "case-insensitive."
        ),
    ] = "",
    sort: Annotated[str | None, sort_parameter(SORT_VALUES, "count")] = None,
) -> dict[str, Any]:
    """Exceptions of the window in groups, most frequent first: those of one service with one type
    and one message, in which digits and ids are replaced by `#`.

    They come from span events and log records. One that a span and a log record of that span both
    report counts once."""
    order = Order.parse(sort, SORT_VALUES, "count", common.position)
    selection = _selection(answer, definitions, common, transaction)
    rows = answer.limited_rows(
        queries.EXCEPTION_GROUPS,
        MAX_GROUPS,
        **selection.parameters,
        since=sql_time(common.window.start),
        until=sql_time(common.window.end),
        of_service=service,
        type=type,
        text=q.strip(),
        in_transaction=transaction is not None,
    )
    page, next_cursor = page_of(rows, common, order, SORT_VALUES[order.key], _group_id)
    frames, transactions = answer.in_parallel(
        lambda: _frames(answer, page), lambda: _transactions(answer, definitions, page)
    )
    return answer.document(
        exceptions=[_group(row, frames, transactions) for row in page], next_cursor=next_cursor
    )


def _selection(
    answer: Answer,
    definitions: Mapping[str, Definition],
    common: CommonParameters,
    transaction_id: str | None,
) -> TraceSelection:
    """The traces of the transaction with this id; without an id none. Raises Problem 404."""
    window = replace(common.window, start=max(EARLIEST, common.window.start - TRACE_MARGIN))
    if transaction_id is None:
        return TraceSelection(window, common.environment)
    transaction = find_transaction(answer, definitions, transaction_id)
    if isinstance(transaction, Definition):
        return TraceSelection(window, common.environment, defined=transaction.id)
    return automatic_selection(transaction, replace(common, window=window))


def _group_id(row: Row) -> str:
    return "\n".join((row["service"], row["type"], row["message"]))


def _group(
    row: Row, frames: Mapping[FrameKey, str], transactions: Mapping[str, dict[str, str]]
) -> dict[str, Any]:
    """A group as `models.ExceptionOfService`."""
    versions = sorted(zip(*row["versions"], strict=True), key=lambda pair: (-pair[1], pair[0]))
    counts = Counter(
        (id, name) for trace_id in row["traces"] for id, name in transactions[trace_id].items()
    )
    return {
        "type": row["type"],
        "message": row["message"],
        "service": row["service"],
        "frame": frames.get(_frame_key(row)) or None,
        "count": row["count"],
        "first": row["first"],
        "last": row["last"],
        "versions": [{"version": version, "count": count} for version, count in versions],
        "transactions": [
            {"id": id, "name": name}
            for (id, name), _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ],
        "example_trace_id": row["example_trace_id"] or None,
        "example_span_id": row["example_span_id"] or None,
    }


def _frame_key(row: Row) -> FrameKey:
    return row["service"], row["type"], row["example_trace_id"], row["example_at"]


def _frames(answer: Answer, page: Sequence[Row]) -> dict[FrameKey, str]:
    """The innermost own frames of the groups' examples."""
    if not page:
        return {}
    times = [read_rfc3339(row["example_at"]) for row in page]
    rows = answer.rows(
        queries.EXCEPTION_FRAMES,
        **Window(min(times), max(times) + 1).parameters,
        services=sorted({row["service"] for row in page}),
        types=sorted({row["type"] for row in page}),
        trace_ids=sorted({row["example_trace_id"] for row in page}),
        examples=[(*_frame_key(row)[:3], sql_time_from_rfc3339(row["example_at"])) for row in page],
    )
    return {(row["service"], row["type"], row["trace_id"], row["at"]): row["frame"] for row in rows}


def _transactions(
    answer: Answer, definitions: Mapping[str, Definition], page: Sequence[Row]
) -> dict[str, dict[str, str]]:
    """The transactions that the groups' traces belong to, names by id, by trace id."""
    transactions: dict[str, dict[str, str]] = defaultdict(dict)
    trace_ids = sorted({trace_id for row in page for trace_id in row["traces"]})
    if not trace_ids:
        return transactions
    summaries, occurrences = answer.in_parallel(
        lambda: trace_summaries(answer, trace_ids),
        lambda: answer.rows(queries.OCCURRENCES_OF_TRACES, trace_ids=trace_ids),
    )
    for trace_id, summary in summaries.items():
        if summary["transaction_id"]:
            name = f"{summary['root_service']}: {summary['root_operation']}"
            transactions[trace_id][summary["transaction_id"]] = name
    for row in occurrences:
        if row["id"] in definitions:
            transactions[row["trace_id"]][row["id"]] = definitions[row["id"]].name
    return transactions
