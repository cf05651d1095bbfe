"""Search of log records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Annotated, Any

from fastapi import Query

from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import logs as models
from clew.api.parameters import (
    CommonDependency,
    CommonParameters,
    Window,
    full_trace_id,
    read_rfc3339,
    split_page,
    sql_time_from_rfc3339,
)
from clew.api.reference import routes
from clew.api.sorting import Order, sort_parameter
from clew.api.traces import Attributes, stretches
from clew.storage import AttributeFilter, BodyTerm, attribute_filters, body_filters, queries

router = routes("logs")

SORTS = ("time",)

EventName = Annotated[str | None, Query(description="Only records of the event with this name.")]


@router.get("", response_model=models.Logs)
@reads("logs")
def search_logs(
    common: CommonDependency,
    answer: AnswerDependency,
    trace_id: str | None = None,
    service: str | None = None,
    severity: Annotated[
        str | None,
        Query(
            description="Only records of this level, in any spelling and case: `error`, `err` and "
            "`17` are the same. A text that is no level: only records that carry it."
        ),
    ] = None,
    event_name: EventName = None,
    query: Annotated[
        str | None,
        Query(
            description='Words that the body must all contain. `"a phrase"` must occur as '
            "written; a word or phrase after `-` must not occur. Case, accents, and kinds of "
            "spaces, quotes and dashes make no difference. Of text that is written without spaces "
            "(Chinese, Japanese, Thai, …), and of Korean, any part is a word."
        ),
    ] = None,
    attr: Attributes = [],  # noqa: B006 (FastAPI copies it)
    sort: Annotated[str | None, sort_parameter(SORTS, "time")] = None,
) -> dict[str, Any]:
    """Log records of the window, newest first."""
    order = Order.parse(sort, SORTS, "time", common.position)
    filters, values = attribute_filters(
        [AttributeFilter.parse(text) for text in attr], "LogAttributes"
    )
    body_conditions, body_values = body_filters(BodyTerm.parse(query or ""))
    search = queries.LOGS_OLDEST if order.is_reversed else queries.LOGS
    rows: list[queries.LogsRow] = []
    # Records of the cursor's time and sequence that were shown already are in the first stretch.
    skips = chain([common.position.get("count", 0)], repeat(0))
    parts = stretches(_remaining_window(common, order), oldest_first=order.is_reversed)
    for stretch, skip in zip(parts, skips, strict=False):
        rows += answer.rows(
            search,
            body_conditions + filters,
            **body_values,
            **values,
            **stretch.parameters,
            environment=common.environment,
            trace_id=full_trace_id(trace_id) if trace_id else None,
            service=service,
            event_name=event_name,
            severity=severity or None,
            after_time=common.position.get("time"),
            after_id=str(common.position.get("sequence", "")),
            skip=skip,
            limit=common.limit + 1 - len(rows),
        )
        if len(rows) > common.limit:
            break
    page, has_more = split_page(rows, common.limit)
    return answer.document(
        logs=[{name: value for name, value in row.items() if name != "sequence"} for row in page],
        next_cursor=_next_cursor(common, order, page) if has_more else None,
    )


def _remaining_window(common: CommonParameters, order: Order) -> Window:
    """The part of the window that earlier pages have not covered."""
    if "time" not in common.position:
        return common.window
    last_shown = read_rfc3339(common.position["time"] + "Z")
    if order.is_reversed:
        return Window(max(common.window.start, last_shown), common.window.end)
    return Window(common.window.start, min(common.window.end, last_shown + 1))


def _next_cursor(common: CommonParameters, order: Order, page: Sequence[queries.LogsRow]) -> str:
    """The cursor after the last row. It counts the rows shown that have the same time and sequence
    as the last one, here and on earlier pages."""
    positions = [
        {"time": sql_time_from_rfc3339(row["time"]), "sequence": row["sequence"]} for row in page
    ]
    last, previous = positions[-1], common.position
    count = positions.count(last)
    if last == {"time": previous.get("time"), "sequence": previous.get("sequence")}:
        count += previous.get("count", 0)
    return common.next_cursor(**last, count=count, sort=str(order))
