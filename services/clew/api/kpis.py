"""Business KPIs that a definition names, beside the latency and the errors of the transaction."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from clew.analysis.kpis import Correlation, Floats, Ints, correlate
from clew.analysis.transactions.definitions import Definition, Kpi
from clew.api.answer import Answer, AnswerDependency
from clew.api.defined_transactions import DefinitionsDependency
from clew.api.freshness import reads
from clew.api.metric_series import Metric, Point, SeriesQuery, aggregations_of, read_points
from clew.api.metrics import read_metrics
from clew.api.models import kpis as models
from clew.api.parameters import (
    SECOND,
    CommonDependency,
    CommonParameters,
    Window,
    read_rfc3339,
    rfc3339,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.transactions import find_transaction
from clew.storage import queries

router = routes("transactions")

HOUR = 3600 * SECOND
SHORTEST = 48 * HOUR  # a shorter window is made DEFAULT long
DEFAULT = 7 * 24 * HOUR
LONGEST = 92 * 24 * HOUR
MEASURES = ("p50", "p95", "error_rate")
SUMMED = ("sum", "count", "rate")
NO_POINTS = "nothing was stored of it in the window"
FEW_HOURS = "too few hours in which both are known, or one of the two never changes"


@router.get("/{transaction_id}/kpis", response_model=models.TransactionKpis)
@reads("traces", "metrics", settled=True)
def transaction_kpis(
    transaction_id: str,
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
) -> dict[str, Any]:
    """The KPIs that the definition names (`kpi`), by the hour, and how each moves with the
    transaction's p50, p95 and share of errors.

    Covers whole hours; a window of less than two days is extended to the seven days before its
    end. What both do every day is taken out first. A correlation is not a cause."""
    definition = find_transaction(answer, definitions, transaction_id)
    window = _hours(common.window)
    common = replace(common, window=window)
    kpis: list[dict[str, Any]] = []
    if isinstance(definition, Definition) and definition.kpi:
        times = list(window.starts(3600))
        measures = _measures(answer, definition, common, times)
        kpis = [_kpi(answer, definition, kpi, common, times, measures) for kpi in definition.kpi]
    return answer.document(
        start=rfc3339(window.start),
        end=rfc3339(window.end),
        id=transaction_id,
        kpis=kpis,
    )


def _hours(window: Window) -> Window:
    end = window.end // HOUR * HOUR
    start = -(-window.start // HOUR) * HOUR
    if end - start < SHORTEST:
        start = max(0, end - DEFAULT)
    if end - start > LONGEST:
        raise Problem(422, "start, end: 92 days at most are compared")
    return Window(start, max(end, start + HOUR))


def _measures(
    answer: Answer, definition: Definition, common: CommonParameters, times: list[int]
) -> dict[str, Floats]:
    """The transaction's measures [hours]; nan where it did not occur."""
    measures = {name: np.full(len(times), np.nan) for name in MEASURES}
    for row in answer.rows(
        queries.DEFINED_SERIES,
        **common.window.parameters,
        environment=common.environment,
        defined=definition.id,
        step=3600,
    ):
        place = (read_rfc3339(row["time"]) - times[0]) // HOUR
        p50, _, p95, _ = row["quantiles"]
        values = {"p50": p50, "p95": p95, "error_rate": row["errors"] / row["count"]}
        for name, value in values.items():
            measures[name][place] = math.nan if value is None else value
    return measures


def _kpi(
    answer: Answer,
    definition: Definition,
    kpi: Kpi,
    common: CommonParameters,
    times: list[int],
    measures: dict[str, Floats],
) -> dict[str, Any]:
    unit, aggregation, values = _values(answer, definition, kpi, common, times)
    correlations = _correlations(values, measures, times)
    reason = FEW_HOURS if np.isfinite(values).any() else NO_POINTS
    return {
        "name": kpi.name,
        "metric": kpi.metric,
        "sum": kpi.sum,
        "unit": unit,
        "aggregation": aggregation,
        "points": [
            {"time": rfc3339(time), "value": float(value)}
            for time, value in zip(times, values, strict=True)
            if math.isfinite(value)
        ],
        "correlations": correlations,
        "reason": "" if correlations else reason,
    }


def _values(
    answer: Answer,
    definition: Definition,
    kpi: Kpi,
    common: CommonParameters,
    times: list[int],
) -> tuple[str, str, Floats]:
    """The unit, the aggregation and the values [hours] of a KPI; nan: unknown."""
    if kpi.metric is not None:
        return _metric_values(answer, kpi, kpi.metric, common, times)
    is_default = kpi.service is None and kpi.operation is None
    rows = answer.rows(
        queries.KPI_SUMS,
        **common.window.parameters,
        environment=common.environment,
        attribute=kpi.sum,
        service=kpi.service or definition.match.service,
        operation=(definition.match.operation if is_default else kpi.operation) or "",
    )
    values = np.full(len(times), np.nan)
    for row in rows:
        if row["total"] is not None:
            values[(row["hour"] * SECOND - times[0]) // HOUR] = row["total"]
    return "", "sum", values


def _metric_values(
    answer: Answer, kpi: Kpi, name: str, common: CommonParameters, times: list[int]
) -> tuple[str, str, Floats]:
    metrics = read_metrics(answer, common, service=kpi.service, name=name, limit=1)
    if not metrics:
        return "", kpi.aggregation or "", np.full(len(times), np.nan)
    metric = metrics[0]
    aggregation = _aggregation(metric, kpi)
    parameters = {
        **common.window.parameters,
        "name": name,
        "service": kpi.service,
        "environment": common.environment,
        "by": [],
        "unit": metric.unit,
    }
    types = frozenset([metric.type])
    query = SeriesQuery(answer, types, aggregation, 3600, common.window, "", parameters)
    return metric.unit, aggregation, _combined(read_points(metric, query), aggregation, times)


def _aggregation(metric: Metric, kpi: Kpi) -> str:
    """The aggregation that the definition names, if the metric allows it; else the usual one."""
    allowed = aggregations_of(metric)
    if kpi.aggregation in allowed:
        return str(kpi.aggregation)
    return "sum" if metric.is_counter or metric.type not in ("gauge", "sum") else "avg"


def _combined(points: Iterable[Point], aggregation: str, times: list[int]) -> Floats:
    """The values [hours] of all services together: summed, or their mean."""
    total, count = np.zeros(len(times)), np.zeros(len(times))
    for point in points:
        place = (point.time * SECOND - times[0]) // HOUR
        if point.value is not None and 0 <= place < len(times):
            total[place] += point.value
            count[place] += 1
    divisor = np.minimum(count, 1) if aggregation in SUMMED else count
    values: Floats = np.where(divisor > 0, total / np.maximum(divisor, 1), np.nan)
    return values


def _correlations(
    values: Floats, measures: dict[str, Floats], times: list[int]
) -> list[dict[str, Any]]:
    hours: Ints = np.array([time // HOUR % 24 for time in times])
    results = {name: correlate(values, measure, hours) for name, measure in measures.items()}
    listed = [_document(name, result) for name, result in results.items() if result is not None]
    return sorted(listed, key=lambda one: (not one["is_clear"], -abs(one["r"])))


def _document(measure: str, result: Correlation) -> dict[str, Any]:
    return {
        "measure": measure,
        "r": result.r,
        "lower": result.lower,
        "upper": result.upper,
        "lag_hours": result.lag,
        "n": result.n,
        "independent": round(result.independent, 1),
        "is_clear": result.is_clear,
    }
