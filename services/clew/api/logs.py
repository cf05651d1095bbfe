"""Log records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from clew.api.parameters import Answering, Common, CommonParameters, page, time_parameter
from clew.api.traces import Attributes
from clew.storage import AttributeFilter, Row, attribute_filters

router = APIRouter(prefix="/api/v1/logs", tags=["logs"])

# OTLP's severity numbers come in bands of four, in this order from 1.
SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL"}
NO_BAND = 255


@router.get("")
def search_logs(
    common: CommonParameters,
    answer: Answering,
    trace_id: str | None = None,
    service: str | None = None,
    severity: Annotated[str | None, Query(description="a level's name, such as error")] = None,
    query: Annotated[
        str | None, Query(description="words that the body contains, all of them")
    ] = None,
    attr: Attributes = [],  # noqa: B006 (FastAPI copies it)
) -> dict[str, Any]:
    """Log records of the window, newest first."""
    filters, values = attribute_filters(
        [AttributeFilter.parse(text) for text in attr], "LogAttributes"
    )
    level = severity.upper() if severity else None
    band = ALIASES.get(level, level) if level else None
    rows, more = page(
        answer.rows(
            "logs",
            filters,
            **values,
            **common.window.parameters,
            environment=common.environment,
            trace_id=trace_id.lower() if trace_id else None,
            service=service,
            severity=level,
            severity_band=SEVERITIES.index(band) if band in SEVERITIES else NO_BAND,
            words=re.findall(r"[^\W_]+", query.lower()) if query else [],
            after_time=common.after.get("time"),
            after_id=str(common.after.get("sequence", "")),
            skip=common.after.get("count", 0),
            limit=common.limit + 1,
        ),
        common.limit,
    )
    return answer.of(
        logs=[{name: value for name, value in row.items() if name != "sequence"} for row in rows],
        next_cursor=_next_cursor(common, rows) if more else None,
    )


def _next_cursor(common: Common, rows: Sequence[Row]) -> str:
    """Behind the last row, and behind how many that are the same as it in time and sequence."""
    positions = [{"time": time_parameter(row["time"]), "sequence": row["sequence"]} for row in rows]
    last, after = positions[-1], common.after
    shown = positions.count(last)
    if last == {"time": after.get("time"), "sequence": after.get("sequence")}:
        shown += after.get("count", 0)
    return common.next_cursor(**last, count=shown)
