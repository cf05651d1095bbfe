"""What is usual of a series, hour by hour."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import Query, Request

from clew.analysis import baselines as learning
from clew.analysis.alerts.rules import Select
from clew.analysis.detectors.levels import LEVELS as PROCESS_LEVELS
from clew.analysis.traces.times import HOUR
from clew.analysis.watching.bands import Band, BandMeasure, past_band
from clew.analysis.watching.evidence import kinds_of
from clew.analysis.watching.learned import LEVELS, learn
from clew.analysis.watching.noticed import smallest_changes
from clew.analysis.watching.process_metrics import METRICS
from clew.analysis.watching.processes import learn_processes
from clew.analysis.watching.series import History, WatchedSeries
from clew.api.alert_rules import rulebook_of
from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import baselines as models
from clew.api.parameters import SECOND, CommonDependency, rfc3339
from clew.api.reference import routes
from clew.storage.statements import Statements

router = routes("baselines")

WEEKS = learning.WEEKS * learning.HOURS * HOUR  # seconds of history
LIMITS = {"max_execution_time": 20, "max_memory_usage": 1 << 30}
MAX_SERIES = 20
NAMES = ("value", "expected", "lower", "upper")
UNITS = {"rate": "/s", "error_rate": "1", "value_lost": ""}

MeasureParameter = Annotated[
    BandMeasure,
    Query(
        description="What of the series: requests a second, share, quantile, value lost in an "
        "hour; `value` of a metric."
    ),
]
TransactionParameter = Annotated[
    str | None,
    Query(description="Transactions, by `service: operation`, or name or id of a definition."),
]
DependencyParameter = Annotated[
    str | None, Query(description="Calls of this database, queue or host, as in the service map.")
]
MetricParameter = Annotated[
    str | None,
    Query(description="A metric of services' processes that is watched. The measure is `value`."),
]


@router.get("", response_model=models.Baselines)
@reads()
def baselines(
    request: Request,
    common: CommonDependency,
    answer: AnswerDependency,
    measure: MeasureParameter = "p95",
    transaction: TransactionParameter = None,
    service: str | None = None,
    operation: str | None = None,
    dependency: DependencyParameter = None,
    metric: MetricParameter = None,
) -> dict[str, Any]:
    """What was usual in each hour of the window, by the four weeks before its end, and what was.

    `*` stands for any characters; without an operation, a service is what comes in to it, and
    without any name all services are shown. Nine of
    ten hours lie between `lower` and `upper`. Each week is compared with the others, so an hour
    does not explain itself. An hour has a value once it is over."""
    select = select_series(transaction, service, operation, dependency, common.environment, metric)
    measure = "value" if metric else measure
    first = common.window.start // SECOND // HOUR * HOUR
    end = -(-common.window.end // SECOND // HOUR) * HOUR
    histories, is_cut = read_histories(request, select, end - WEEKS, end)
    zone = rulebook_of(request).current().all.zone
    series = [
        series_document(history, measure, past_band(history, measure, zone), first)
        | {"smallest_change": change}
        for history, change in zip(histories, _smallest(histories, measure, zone), strict=True)
    ]
    return answer.document(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        series=series,
    ) | ({"truncated": True} if is_cut else {})


def select_series(
    transaction: str | None,
    service: str | None,
    operation: str | None,
    dependency: str | None,
    environment: str | None,
    metric: str | None = None,
) -> Select:
    """The series that are asked for; without a name, those of all services."""
    if (transaction, service, operation, dependency, metric) == (None,) * 5:
        service = "*"
    return Select(
        transaction=transaction,
        service=service,
        operation=operation,
        dependency=dependency,
        environment=environment,
        metric=metric,
    )


def read_histories(
    request: Request, select: Select, start: float, end: float
) -> tuple[list[History], bool]:
    """The histories of the series that are selected, and whether there are more."""
    watched = WatchedSeries(Statements(request.app.state.reader.store, LIMITS))
    service = select.service if select.service and "*" not in select.service else ""
    names = {one.id: one.name for one in request.app.state.definitions.definitions()}
    ids = [
        series.id
        for series in watched.names(start, end, service)
        if series.kind in kinds_of(select)
        and (select.matches(series.labels) or select.matches(series.named(names).labels))
    ]
    if not ids:
        return [], False
    levels = PROCESS_LEVELS if select.metric else LEVELS
    return watched.history(start, end, levels, ids[:MAX_SERIES]), len(ids) > MAX_SERIES


def _smallest(
    histories: Sequence[History], measure: BandMeasure, zone: str
) -> Sequence[float | None]:
    """The smallest change of each series that would be noticed."""
    if not histories:
        return []
    if measure == "value":
        changes = learn_processes(histories, zone).smallest_changes()
    else:
        changes = smallest_changes(learn(histories, zone), measure)
    return [change if math.isfinite(change) else None for change in changes.tolist()]


def series_document(
    history: History, measure: BandMeasure, band: Band, first: float = -math.inf
) -> dict[str, Any]:
    metric = METRICS.get(history.series.name) if measure == "value" else None
    unit = UNITS.get(measure, "ms") if metric is None else metric.unit
    factor = 1e3 if unit == "ms" else 1.0  # seconds as milliseconds
    ends = band.start + HOUR * np.arange(1, len(band.value) + 1)
    value = np.where(ends <= time.time(), band.value, np.nan)  # of an hour that is over
    columns = np.stack([value, band.expected, band.lower, band.upper], axis=1) * factor
    points = [
        {"time": rfc3339((band.start + place * HOUR) * SECOND)}
        | {
            name: number if math.isfinite(number) else None
            for name, number in zip(NAMES, row, strict=True)
        }
        for place, row in enumerate(columns.tolist())
        if band.start + place * HOUR >= first
    ]
    return {
        "labels": history.series.labels,
        "measure": measure,
        "unit": unit,
        "hours_known": int((history.count > 0).sum()),
        "points": points,
    }
