"""The course of each transaction of a list: a few points, enough for a sparkline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from clew.api.answer import Answer
from clew.api.parameters import SECOND, CommonParameters, Window, read_rfc3339, rfc3339, sql_time
from clew.storage import queries

MAX_POINTS = 120
MINUTE, HOUR = 60, 3600  # seconds

Points = Annotated[
    int | None,
    Query(
        ge=2,
        le=MAX_POINTS,
        description="Add the course of each transaction (`series`) in at most so many points.",
        examples=[30],
    ),
]
SeriesRow = queries.TransactionSparklinesRow | queries.DefinedSparklinesRow


def add_series(
    answer: Answer, common: CommonParameters, page: Sequence[dict[str, Any]], points: int
) -> list[str]:
    """Give each transaction its `series`, as `models.TransactionSeries`. Returns the times of the
    points, which all have in common."""
    window = common.window
    step = window.step_for(points, MINUTE)
    automatic, defined = answer.in_parallel(
        lambda: _automatic_rows(answer, common, page, step),
        lambda: _defined_rows(answer, common, page, step),
    )
    times = window.starts(step)
    places = {time: place for place, time in enumerate(times)}
    lengths = [_seconds_inside(window, time, step) for time in times]
    series: dict[str, dict[str, list[Any]]] = {
        transaction["id"]: {
            "per_second": [0.0] * len(times),
            "error_rate": [None] * len(times),
            "p95": [None] * len(times),
        }
        for transaction in page
    }
    for row in [*automatic, *defined]:
        place = places[read_rfc3339(row["time"])]
        columns = series[row["id"]]
        columns["per_second"][place] = row["count"] / lengths[place]
        columns["error_rate"][place] = row["errors"] / row["count"]
        columns["p95"][place] = row["p95"]
    for transaction in page:
        transaction["series"] = series[transaction["id"]]
    return [rfc3339(time) for time in times]


def _seconds_inside(window: Window, start: int, step: int) -> float:
    """How much of a step is in the window."""
    end = min(start + step * SECOND, window.end)
    return (end - max(start, window.start)) / SECOND


def _automatic_rows(
    answer: Answer, common: CommonParameters, page: Sequence[dict[str, Any]], step: int
) -> Sequence[SeriesRow]:
    window = common.window
    entries = [
        (transaction["service"], transaction["operation"])
        for transaction in page
        if transaction["source"] == "auto"
    ]
    if not entries:
        return []
    rollups = window.rollup_parameters
    if step % HOUR:  # an hour is in several steps
        rollups |= dict.fromkeys(("first_hour", "last_hour"), sql_time(window.end)[:19])
    return answer.rows(
        queries.TRANSACTION_SPARKLINES,
        **window.parameters,
        **rollups,
        environment=common.environment,
        services=sorted({service for service, _ in entries}),
        entries=entries,
        step=step,
    )


def _defined_rows(
    answer: Answer, common: CommonParameters, page: Sequence[dict[str, Any]], step: int
) -> Sequence[SeriesRow]:
    ids = [transaction["id"] for transaction in page if transaction["source"] == "defined"]
    if not ids:
        return []
    return answer.rows(
        queries.DEFINED_SPARKLINES,
        **common.window.parameters,
        environment=common.environment,
        ids=ids,
        step=step,
    )
