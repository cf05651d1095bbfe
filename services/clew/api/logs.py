"""Log records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Annotated, Any

from fastapi import Query

from clew.api import models
from clew.api.answer import Answering
from clew.api.parameters import Common, CommonParameters, Window, page, read_rfc3339, time_parameter
from clew.api.reference import routes
from clew.api.traces import Attributes, stretches
from clew.storage import AttributeFilter, attribute_filters, queries

router = routes("logs")

# OTLP's severity numbers come in bands of four, in this order from 1.
SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL"}
NO_BAND = 255
WORD = re.compile(r"[^\W_]+")


@router.get("", response_model=models.Logs)
def search_logs(
    common: CommonParameters,
    answer: Answering,
    trace_id: str | None = None,
    service: str | None = None,
    severity: Annotated[str | None, Query(description="a level's name, such as error")] = None,
    query: Annotated[
        str | None,
        Query(description='words that the body contains, all of them; "a phrase"; -without'),
    ] = None,
    attr: Attributes = [],  # noqa: B006 (FastAPI copies it)
) -> dict[str, Any]:
    """Log records of the window, newest first."""
    filters, values = attribute_filters(
        [AttributeFilter.parse(text) for text in attr], "LogAttributes"
    )
    level = severity.upper() if severity else None
    band = ALIASES.get(level, level) if level else None
    wanted = Wanted.read(query or "")
    rows: list[queries.LogsRow] = []
    # Those of the cursor's time and sequence that were shown are in the newest stretch.
    skips = chain([common.after.get("count", 0)], repeat(0))
    for stretch, skip in zip(stretches(_left(common)), skips, strict=False):
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
            **vars(wanted),
            after_time=common.after.get("time"),
            after_id=str(common.after.get("sequence", "")),
            skip=skip,
            limit=common.limit + 1 - len(rows),
        )
        if len(rows) > common.limit:
            break
    shown, more = page(rows, common.limit)
    return answer.of(
        logs=[{name: value for name, value in row.items() if name != "sequence"} for row in shown],
        next_cursor=_next_cursor(common, shown) if more else None,
    )


@dataclass(frozen=True)
class Wanted:
    """What a record's body has to have, and what it must not."""

    words: list[str]
    phrases: list[str]
    unwanted_words: list[str]
    unwanted_phrases: list[str]

    @classmethod
    def read(cls, query: str) -> Wanted:
        """From `declined "order 7" -timeout -"will retry"`: words in any order, phrases as they are
        written, and neither where there is a minus before them."""
        wanted = cls([], [], [], [])
        for minus, phrase, word in re.findall(r'(-?)(?:"([^"]*)"|(\S+))', query.lower()):
            words = WORD.findall(phrase or word)
            if minus and phrase:
                wanted.unwanted_phrases.append(phrase)
            elif minus:
                wanted.unwanted_words.extend(words)
            else:
                # the words of a phrase find the records that may have it, by the index
                wanted.words.extend(words)
                wanted.phrases.extend([phrase] * bool(phrase))
        return wanted


def _left(common: Common) -> Window:
    """The part of the window that a cursor has left."""
    if "time" not in common.after:
        return common.window
    shown = read_rfc3339(common.after["time"] + "Z")
    return Window(common.window.start, min(common.window.end, shown + 1))


def _next_cursor(common: Common, rows: Sequence[queries.LogsRow]) -> str:
    """Behind the last row, and behind how many that are the same as it in time and sequence."""
    positions = [{"time": time_parameter(row["time"]), "sequence": row["sequence"]} for row in rows]
    last, after = positions[-1], common.after
    shown = positions.count(last)
    if last == {"time": after.get("time"), "sequence": after.get("sequence")}:
        shown += after.get("count", 0)
    return common.next_cursor(**last, count=shown)
