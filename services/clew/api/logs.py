"""Log records."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query

from clew.api.parameters import Answering, CommonParameters, page, time_parameter
from clew.api.traces import Attributes
from clew.storage import AttributeFilter, attribute_filters

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
            limit=common.limit + 1,
        ),
        common.limit,
    )
    last = rows[-1] if rows else None
    cursor = (
        common.next_cursor(time=time_parameter(last["time"]), sequence=last["sequence"])
        if more and last
        else None
    )
    return answer.of(
        logs=[{name: value for name, value in row.items() if name != "sequence"} for row in rows],
        next_cursor=cursor,
    )
