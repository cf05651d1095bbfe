"""Search of log records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Annotated, Any

from fastapi import Query

from clew.api import models
from clew.api.answer import AnswerDependency
from clew.api.parameters import (
    CommonDependency,
    CommonParameters,
    Window,
    read_rfc3339,
    split_page,
    sql_time_from_rfc3339,
)
from clew.api.reference import routes
from clew.api.traces import Attributes, stretches
from clew.storage import AttributeFilter, attribute_filters, queries

router = routes("logs")

# OTLP's severity numbers form bands of four, from 1 on, in this order.
SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL"}
NO_BAND = 255
WORD = re.compile(r"[^\W_]+")


@router.get("", response_model=models.Logs)
def search_logs(
    common: CommonDependency,
    answer: AnswerDependency,
    trace_id: str | None = None,
    service: str | None = None,
    severity: Annotated[
        str | None,
        Query(description="Only records of this level, such as `error`; case-insensitive."),
    ] = None,
    query: Annotated[
        str | None,
        Query(
            description='Words that the body must all contain. `"a phrase"` must occur as '
            "written; a word or phrase after `-` must not occur."
        ),
    ] = None,
    attr: Attributes = [],  # noqa: B006 (FastAPI copies it)
) -> dict[str, Any]:
    """Log records of the window, newest first."""
    filters, values = attribute_filters(
        [AttributeFilter.parse(text) for text in attr], "LogAttributes"
    )
    level = severity.upper() if severity else None
    band = ALIASES.get(level, level) if level else None
    body_filter = BodyFilter.parse(query or "")
    rows: list[queries.LogsRow] = []
    # Records of the cursor's time and sequence that were shown already are in the newest stretch.
    skips = chain([common.position.get("count", 0)], repeat(0))
    for stretch, skip in zip(stretches(_remaining_window(common)), skips, strict=False):
        rows += answer.rows(
            queries.LOGS,
            filters,
            **values,
            **stretch.parameters,
            environment=common.environment,
            trace_id=trace_id.lower() if trace_id else None,
            service=service,
            severity=level,
            severity_band=SEVERITIES.index(band) if band in SEVERITIES else NO_BAND,
            **vars(body_filter),
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
        next_cursor=_next_cursor(common, page) if has_more else None,
    )


@dataclass(frozen=True)
class BodyFilter:
    """What a record's body must contain, and what it must not; in lower case."""

    words: list[str]
    phrases: list[str]
    unwanted_words: list[str]
    unwanted_phrases: list[str]

    @classmethod
    def parse(cls, query: str) -> BodyFilter:
        """From `declined "order 7" -timeout -"will retry"`."""
        body_filter = cls([], [], [], [])
        for minus, phrase, word in re.findall(r'(-?)(?:"([^"]*)"|(\S+))', query.lower()):
            words = WORD.findall(phrase or word)
            if minus and phrase:
                body_filter.unwanted_phrases.append(phrase)
            elif minus:
                body_filter.unwanted_words.extend(words)
            else:
                # The index finds records with a phrase's words; then the phrase is compared.
                body_filter.words.extend(words)
                body_filter.phrases.extend([phrase] * bool(phrase))
        return body_filter


def _remaining_window(common: CommonParameters) -> Window:
    """The part of the window that earlier pages have not covered."""
    if "time" not in common.position:
        return common.window
    last_shown = read_rfc3339(common.position["time"] + "Z")
    return Window(common.window.start, min(common.window.end, last_shown + 1))


def _next_cursor(common: CommonParameters, page: Sequence[queries.LogsRow]) -> str:
    """The cursor after the last row. It counts the rows shown that have the same time and sequence
    as the last one, here and on earlier pages."""
    positions = [
        {"time": sql_time_from_rfc3339(row["time"]), "sequence": row["sequence"]} for row in page
    ]
    last, previous = positions[-1], common.position
    count = positions.count(last)
    if last == {"time": previous.get("time"), "sequence": previous.get("sequence")}:
        count += previous.get("count", 0)
    return common.next_cursor(**last, count=count)
