"""Traces: the search, and one trace."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import Query, Response

from clew.api.answer import Answer, AnswerDependency
from clew.api.freshness import reads
from clew.api.models import traces as models
from clew.api.parameters import (
    BAD_CURSOR,
    LATEST,
    SECOND,
    CommonDependency,
    CommonParameters,
    Window,
    full_trace_id,
    rfc3339,
    split_page,
    sql_time,
    sql_time_from_rfc3339,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.sorting import Order, sort_parameter
from clew.api.trace_extents import read_extents
from clew.api.trace_view import read_trace
from clew.api.transaction_names import transaction_names
from clew.storage import (
    LONG_TRACES,
    SHORT_TRACES,
    TRACES_IN_OCCURRENCES,
    TRACES_WITH_ENTRY,
    AttributeFilter,
    TooManyRows,
    queries,
    span_filters,
)

router = routes("traces")

SORTS = ("start", "duration", "errors", "span_count")
FIRST_STRETCH = 300 * SECOND
GROWTH = 8
MAX_GROWTH = 512
BY_INDEX, BY_KEY = 2, 8  # see `newest_matches`
REST_ROWS = 300_000
NO_LIMIT = float("inf")
CLOCK_AHEAD = 86400 * SECOND  # of a client, by which its spans may lie in the future
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
        "`key>number`, `key>=number`, `key<number`, `key<=number`, `key in value,value` or "
        "`key exists`. The leftmost operator counts. A key with such signs is written as a JSON "
        'string, `"a=b"=value`; so is a value of `in` with a comma. `scope.name`, `scope.version` '
        "and `scope.KEY` are the instrumentation scope (`otel.scope.name` and `otel.scope.version` "
        "too). On spans, `link.trace_id`, `link.span_id` and `link.KEY` are its links and "
        "`event.name` and `event.KEY` its events: one of them must match. An attribute that has "
        'such a key itself is `"scope.name"`, in quotes. May be repeated; all must hold.'
    ),
]


@router.get("", response_model=models.Traces)
@reads("traces")
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
    sort: Annotated[str | None, sort_parameter(SORTS, "start")] = None,
) -> dict[str, Any]:
    """Traces with a span that starts in the window and matches, by the newest such span
    (`matched_at`), newest first.

    `service`, `operation`, `status` and `attr` must all hold for the same span. Durations and the
    transaction are those of the whole trace. When the window ends `now`, it includes spans whose
    clock is ahead by up to a day. `sort=start` means `matched_at`; another order reads all traces
    of the window."""
    order = Order.parse(sort, SORTS, "start", common.position)
    attributes = [AttributeFilter.parse(text) for text in attr]
    spans, parameters = span_filters(
        attributes,
        service=service,
        operation=operation,
        is_error=None if status is None else status == "error",
        environment=common.environment,
    )
    filters = ""
    if transaction is not None:
        filters, transaction_parameters = _transaction_filter(answer, transaction)
        parameters |= transaction_parameters
    longest = NO_LIMIT if max_duration_ms is None else max_duration_ms
    if min_duration_ms > 0:
        filters += LONG_TRACES
        parameters["min_duration_ms"] = min_duration_ms
    if longest < NO_LIMIT:
        filters += SHORT_TRACES
        parameters["max_duration_ms"] = longest
    ranks: dict[str, int] = {}
    if str(order) == "start":
        margin = _margin(filters, operation, status, attributes)
        traces = newest_traces(answer, common, [spans], filters, parameters, margin)
    else:
        traces = sorted_traces(answer, common, order, spans + filters, parameters, ranks)
    matches = (
        trace
        for trace in traces
        if min_duration_ms <= (trace["duration_ms"] or 0.0) <= longest
        and (not is_automatic(transaction) or _has_entry(trace, parameters))
    )
    page, has_more = split_page(list(islice(matches, common.limit + 1)), common.limit)
    return answer.document(
        traces=page,
        next_cursor=_next_cursor(common, order, page[-1], ranks) if has_more else None,
    )


def _next_cursor(
    common: CommonParameters, order: Order, last: MatchingTrace, ranks: Mapping[str, int]
) -> str:
    """The cursor after the last trace of a page. `ranks`: as in `sorted_traces`."""
    if str(order) == "start":
        time = sql_time_from_rfc3339(last["matched_at"])
        return common.next_cursor(time=time, id=last["trace_id"])
    id = last["trace_id"]
    return common.next_cursor(value=ranks[id], id=id, sort=str(order))


def is_automatic(transaction: str | None) -> bool:
    """Whether this has the form of an automatic transaction's id, which no defined one has."""
    return transaction is not None and bool(AUTOMATIC_ID.fullmatch(transaction))


def _transaction_filter(answer: Answer, transaction: str) -> tuple[str, dict[str, Any]]:
    """A fragment of SQL for the traces of a transaction, and its parameters. For an automatic
    transaction it also lets traces pass that have such a span but enter elsewhere."""
    if not is_automatic(transaction):
        return TRACES_IN_OCCURRENCES, {"transaction": transaction}
    names = transaction_names(answer, transaction)
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


def stretches(window: Window, *, oldest_first: bool = False) -> Iterator[Window]:
    """The window in parts, newest first or oldest first, each GROWTH times as long as the one
    before: the first part is enough for what is frequent, and what is rare costs only a few
    statements."""
    if oldest_first:
        # The parts of the mirrored window.
        for part in stretches(Window(-window.end, -window.start)):
            yield Window(-part.end, -part.start)
        return
    end, length = window.end, FIRST_STRETCH
    while end > window.start:
        start = max(window.start, end - length)
        yield Window(start, end)
        end, length = start, length * GROWTH


class MatchingTrace(queries.TracesByIdRow):
    """A trace, and the start of its newest span that matches a search."""

    matched_at: str


def sorted_traces(
    answer: Answer,
    common: CommonParameters,
    order: Order,
    filters: str,
    parameters: dict[str, Any],
    ranks: dict[str, int],
) -> Iterator[MatchingTrace]:
    """Traces with a span in the window that matches the fragment of SQL `filters`, in this order,
    from the cursor's position on. `ranks` gets the rank of each, by its id. Raises Problem 400 for
    a cursor that was changed."""
    rank, id = common.position.get("value"), str(common.position.get("id", ""))
    if rank is not None and not (type(rank) is int and -(2**63) <= rank < 2**63):
        raise Problem(400, BAD_CURSOR)
    while True:
        rows = answer.rows(
            queries.TRACES_SORTED,
            filters,
            **parameters,
            since=sql_time(common.window.start),
            until=sql_time(_last(common)),
            sort=order.key,
            sign=-1 if order.is_reversed else 1,
            after_rank=rank,
            after_id=id,
            limit=common.limit + 1,
        )
        summaries = trace_summaries(answer, (row["trace_id"] for row in rows))
        for row in rows:
            if row["trace_id"] in summaries:
                ranks[row["trace_id"]] = row["rank"]
                yield {**summaries[row["trace_id"]], "matched_at": row["matched_at"]}
        if len(rows) <= common.limit:
            return
        rank, id = rows[-1]["rank"], rows[-1]["trace_id"]


def _last(common: CommonParameters) -> int:
    """The end of the spans' starts. A window that ends now includes spans whose clock is ahead."""
    end = common.window.end
    return min(end + CLOCK_AHEAD, LATEST) if common.ends_now else end


def newest_traces(
    answer: Answer,
    common: CommonParameters,
    spans: Sequence[str],
    filters: str,
    parameters: dict[str, Any],
    margin: int = 0,
) -> Iterator[MatchingTrace]:
    """The traces of `newest_matches`, with what is known of them."""
    for page in newest_matches(answer, common, spans, filters, parameters, margin):
        summaries = trace_summaries(answer, page)
        for trace_id, matched_at in page.items():
            if trace_id in summaries:
                yield {**summaries[trace_id], "matched_at": rfc3339(matched_at)}


def newest_matches(
    answer: Answer,
    common: CommonParameters,
    spans: Sequence[str],
    filters: str,
    parameters: dict[str, Any],
    margin: int = 0,
) -> Iterator[dict[str, int]]:
    """The ids of the traces with a span in the window that matches one of the fragments of SQL
    `spans`, and for which the fragment `filters` holds, each with the start of its newest such span
    in nanoseconds: the newest first, from the cursor's position on, in pages.

    `margin`: where the key or the indexes of the table find such spans, a stretch is so many times
    as long as it must be if there are as many everywhere: the rows beside them cost little.

    With the margin BY_INDEX the second stretch is all that is left, if the indexes find so few rows
    there (REST_ROWS) that several stretches would cost more.

    With the margin BY_KEY the first page's statements read from a stretch's start to the window's
    end: that is little more to read, and no trace has to be looked up in later stretches."""
    position = (str(common.position.get("time", "")), str(common.position.get("id", "")))
    to_end = margin == BY_KEY and not position[0]
    last = _last(common)
    seen: set[str] = set()
    stretch_end, length = common.window.end, FIRST_STRETCH
    rest_rows: int | None = None  # that the rest of the window may have; None: read one stretch
    while stretch_end > common.window.start:
        begin = stretch_end - length if rest_rows is None else common.window.start
        stretch = Window(max(common.window.start, begin), stretch_end)
        end = last if to_end or stretch.end == common.window.end else stretch.end
        matches: int | None = None  # None: the cursor's position is before the stretch
        limit = common.limit + len(seen) if to_end else common.limit
        of_stretch = parameters | {"since": sql_time(stretch.start), "until": sql_time(end)}
        pages = _pages(answer, spans, filters, of_stretch, position, limit, rest_rows)
        try:
            for rows in pages:
                matches = (matches or 0) + len(rows.keys() - seen)
                later = _matching_later(
                    answer, spans, parameters, rows.keys() - seen, Window(end, last)
                )
                yield {id: time for id, time in rows.items() if id not in seen and id not in later}
                seen |= rows.keys()
        except TooManyRows:
            if rest_rows is None:
                raise
            rest_rows = None
            continue
        is_sparse = margin > 0 and matches is not None
        length *= _growth(matches or 0, common.limit, margin) if is_sparse else GROWTH
        is_first = stretch_end == common.window.end
        rest_rows = REST_ROWS if margin == BY_INDEX and is_first and not filters else None
        stretch_end = stretch.start


def _margin(
    filters: str,
    operation: str | None,
    status: str | None,
    attributes: Sequence[AttributeFilter],
) -> int:
    """The margin of such a search, as `newest_matches` has it."""
    if filters:
        # The long traces of a stretch cost as much in one statement as in several.
        is_cheap = filters == LONG_TRACES and not (operation or status or attributes)
        return BY_INDEX if is_cheap else 0
    if operation is not None:
        return BY_KEY
    return BY_INDEX if any(attribute.is_indexed for attribute in attributes) else 0


def _growth(matches: int, limit: int, margin: int) -> int:
    """How many times as long the next stretch is, where this one had `matches` of `limit`
    traces."""
    return min(MAX_GROWTH, max(GROWTH, margin * (limit + 1) // matches)) if matches else MAX_GROWTH


def _pages(
    answer: Answer,
    spans: Sequence[str],
    filters: str,
    parameters: dict[str, Any],
    position: tuple[str, str],
    limit: int,
    rows_read: int | None,
) -> Iterator[dict[str, int]]:
    """The traces of a stretch in pages, after a position if it lies in the stretch: their ids, each
    with the start of its newest matching span in nanoseconds. `parameters`: with `since` and
    `until` of the stretch. `rows_read`: as in `_matching_rows`."""
    after = position if "" < position[0] < parameters["until"] else None
    while after is None or after[0] > parameters["since"]:
        fragments = [fragment + filters for fragment in spans]
        rows = _matching_rows(answer, fragments, after, limit + 1, rows_read, **parameters)
        yield {row["trace_id"]: row["newest"] for row in rows}
        if len(rows) <= limit:
            return
        after = sql_time(rows[-1]["newest"]), rows[-1]["trace_id"]


def _matching_rows(
    answer: Answer,
    filters: Sequence[str],
    after: tuple[str, str] | None,
    limit: int,
    rows_read: int | None,
    **parameters: Any,
) -> Sequence[queries.TraceSearchRow]:
    """The rows of the search for each of the fragments, merged: at most `limit`. `rows_read`: that
    the first may read, or it raises TooManyRows."""
    rows: list[queries.TraceSearchRow] = []
    query, page = queries.TRACE_SEARCH, parameters | {"limit": limit}
    if after is not None:
        query = queries.TRACE_SEARCH_AFTER
        page |= {"after_time": after[0], "after_id": after[1]}
    for fragment in filters:
        rows += answer.rows(query, fragment, rows_read=rows_read, **page)
        rows_read = None  # the others are never found by an index
    if len(filters) > 1:
        newest = {row["trace_id"]: row for row in sorted(rows, key=lambda row: row["newest"])}
        rows = sorted(
            newest.values(), key=lambda row: (row["newest"], row["trace_id"]), reverse=True
        )
    return rows[:limit]


def _matching_later(
    answer: Answer,
    spans: Sequence[str],
    parameters: dict[str, Any],
    trace_ids: Collection[str],
    window: Window,
) -> set[str]:
    """The ids of those of the traces that have a matching span in this window, which is the later
    part of the search's: they were listed there."""
    if window.start >= window.end or not trace_ids:
        return set()
    extents = read_extents(answer, trace_ids)
    ids = sorted(id for id, extent in extents.items() if extent.end >= window.start)
    if not ids:
        return set()
    return {
        row["trace_id"]
        for fragment in spans
        for row in answer.rows(
            queries.TRACES_MATCHING_LATER,
            fragment,
            **parameters,
            trace_ids=ids,
            since=sql_time(window.start),
            until=sql_time(window.end),
        )
    }


@router.get("/{trace_id}", response_model=models.Trace)
@reads("traces", "logs", "metrics")
def get_trace(trace_id: str, answer: AnswerDependency) -> Response:
    """One whole trace: every span with its self time and whether it is on the critical path, log
    records with the trace's id or from its processes, and linked metrics."""
    trace = read_trace(answer, full_trace_id(trace_id))
    if trace is None:
        raise Problem(404, f"no trace has the id {trace_id!r}")
    return trace.response(answer.document(**trace.members))


def trace_summaries(answer: Answer, trace_ids: Iterable[str]) -> dict[str, queries.TracesByIdRow]:
    """Summaries of the traces that are stored, by trace id."""
    ids = sorted(set(trace_ids))
    rows = answer.rows(queries.TRACES_BY_ID, trace_ids=ids) if ids else []
    return {row["trace_id"]: row for row in rows}
