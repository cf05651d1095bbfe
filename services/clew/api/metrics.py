"""Metrics: their names, and series of one of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import Query

from clew.api import models
from clew.api.answer import Answer, AnswerDependency
from clew.api.metric_series import Metric, Point, SeriesQuery, aggregations_of, read_points
from clew.api.parameters import (
    SECOND,
    CommonDependency,
    CommonParameters,
    rfc3339,
    split_page,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.traces import Attributes
from clew.storage import AttributeFilter, attribute_filters, queries

router = routes("metrics")

Aggregation = Annotated[
    Literal["avg", "sum", "min", "max", "count", "rate", "p50", "p90", "p95", "p99", "last"] | None,
    Query(
        description="How the points of a step are combined. Default: `avg` for a gauge or a "
        "non-monotonic sum, `rate` (per second) for a monotonic sum, `p95` for a histogram or a "
        "summary."
    ),
]
Step = Annotated[
    int | None,
    Query(
        ge=1,
        le=604_800,
        description="Seconds between points. Default: whole minutes, at most about 120 points.",
    ),
]
MAX_POINTS = 11_000  # of a series
MAX_SERIES = 200


@router.get("", response_model=models.Metrics)
def list_metrics(
    common: CommonDependency,
    answer: AnswerDependency,
    service: str | None = None,
    prefix: Annotated[
        str, Query(description="Only metrics whose name starts with this text; case-sensitive.")
    ] = "",
) -> dict[str, Any]:
    """The metrics with points in the window, by name. A name may occur with several types."""
    page, has_more = split_page(
        _read_metrics(
            answer,
            common,
            service=service,
            prefix=prefix,
            name=None,
            after_id=common.position.get("id", ""),
            after_type=common.position.get("sequence", ""),
            limit=common.limit + 1,
        ),
        common.limit,
    )
    return answer.document(
        metrics=[vars(metric) for metric in page],
        next_cursor=common.next_cursor(id=page[-1].name, sequence=page[-1].type)
        if has_more
        else None,
    )


@router.get("/query", response_model=models.MetricQuery)
def query_metric(
    common: CommonDependency,
    answer: AnswerDependency,
    name: Annotated[str, Query(description="Name of the metric.")],
    service: str | None = None,
    aggregation: Aggregation = None,
    by: Annotated[
        list[str],
        Query(description="Attribute key: one series for each of its values. May be repeated."),
    ] = [],  # noqa: B006 (FastAPI copies it)
    step: Step = None,
    attr: Attributes = [],  # noqa: B006
) -> dict[str, Any]:
    """Series of one metric: one for each service and each combination of values of `by`."""
    step = step or common.window.step
    if common.window.seconds / step > MAX_POINTS:
        raise Problem(400, f"step={step}: more than {MAX_POINTS} points; use a longer step")
    metrics = _read_metrics(
        answer, common, service=service, prefix="", name=name, after_id="", after_type="", limit=5
    )
    metric = metrics[0] if metrics else None
    used_aggregation: str | None = aggregation
    points: Iterable[Point] = []
    if metric is not None:
        used_aggregation = _valid_aggregation(metric, aggregation)
        filters, values = attribute_filters(
            [AttributeFilter.parse(text) for text in attr], "Attributes"
        )
        parameters = {
            **values,
            **common.window.parameters,
            "name": name,
            "service": service,
            "environment": common.environment,
            "by": by,
        }
        query = SeriesQuery(answer, used_aggregation, step, common.window, filters, parameters)
        points = read_points(metric, query)
    return answer.document(
        name=name,
        unit=metric.unit if metric else None,
        type=metric.type if metric else None,
        aggregation=used_aggregation,
        step=step,
        series=_series(answer, by, points),
    )


def _valid_aggregation(metric: Metric, aggregation: str | None) -> str:
    allowed = aggregations_of(metric)
    if aggregation is not None and aggregation not in allowed:
        raise Problem(
            400, f"aggregation={aggregation}: for {metric} write one of {', '.join(allowed)}"
        )
    return aggregation or allowed[0]


def _read_metrics(answer: Answer, common: CommonParameters, **parameters: Any) -> list[Metric]:
    parameters |= {"environment": common.environment, **common.window.parameters}
    rows = answer.rows(queries.METRICS, **parameters)
    last = sorted({(row["name"], row["last"]) for row in rows})
    if not last:
        return []
    details = {
        (row["name"], row["type"]): row
        for row in answer.rows(queries.METRIC_DETAILS, **common.window.parameters, last=last)
    }
    return [
        Metric(
            name=row["name"],
            type=row["type"],
            unit=details[row["name"], row["type"]]["unit"],
            description=details[row["name"], row["type"]]["description"],
            services=row["services"],
            is_monotonic=row["is_monotonic"],
        )
        for row in rows
    ]


def _series(answer: Answer, by: list[str], points: Iterable[Point]) -> list[dict[str, Any]]:
    """The points by service and labels. Points without a value are left out."""
    series: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}
    for point in points:
        if point.value is not None:
            series.setdefault((point.service, point.labels), []).append(
                {"time": rfc3339(point.time * SECOND), "value": point.value}
            )
    if len(series) > MAX_SERIES:
        answer.mark_truncated()
    return [
        {
            "service": service,
            "labels": dict(zip(by, labels, strict=True)),
            "points": series[service, labels],
        }
        for service, labels in sorted(series)[:MAX_SERIES]
    ]
