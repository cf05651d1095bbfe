"""Metrics: their names, and series of one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from fastapi import Query

from clew.api.answer import Answer, AnswerDependency
from clew.api.freshness import reads
from clew.api.metric_series import Metric, Point, SeriesQuery, aggregations_of, read_points
from clew.api.models import metrics as models
from clew.api.parameters import (
    SECOND,
    CommonDependency,
    CommonParameters,
    rfc3339,
    split_page,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.sorting import Order, sort_parameter
from clew.api.traces import Attributes
from clew.storage import AttributeFilter, attribute_filters, queries

router = routes("metrics")

MetricType = Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]
Aggregation = Annotated[
    Literal["avg", "sum", "min", "max", "count", "rate", "p50", "p90", "p95", "p99", "last"] | None,
    Query(
        description="How the points of a step are combined. Default: `avg` for a gauge, `sum` "
        "over the series for a cumulative sum that goes up and down, `rate` (per second) for every "
        "other sum, `p95` for a histogram or a summary."
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
SORTS = ("name",)
MAX_POINTS = 11_000  # of a series
MAX_SERIES = 200
MAX_KINDS = 20  # types and units of one name


@router.get("", response_model=models.Metrics)
@reads("metrics")
def list_metrics(
    common: CommonDependency,
    answer: AnswerDependency,
    service: str | None = None,
    prefix: Annotated[
        str, Query(description="Only metrics whose name starts with this text; case-sensitive.")
    ] = "",
    sort: Annotated[str | None, sort_parameter(SORTS, "name")] = None,
) -> dict[str, Any]:
    """The metrics with points in the window, by name. One name with several types or units is
    several metrics."""
    order = Order.parse(sort, SORTS, "name", common.position)
    page, has_more = split_page(
        read_metrics(
            answer,
            common,
            service=service,
            prefix=prefix,
            name=None,
            after=common.position,
            backwards=order.is_reversed,
            limit=common.limit + 1,
        ),
        common.limit,
    )
    return answer.document(
        metrics=[vars(metric) for metric in page],
        next_cursor=common.next_cursor(
            id=page[-1].name, sequence=f"{page[-1].type} {page[-1].unit}", sort=str(order)
        )
        if has_more
        else None,
    )


@router.get("/query", response_model=models.MetricQuery)
@reads("metrics")
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
    type: Annotated[MetricType | None, Query(description="Only the metric of this type.")] = None,
    unit: Annotated[str | None, Query(description="Only the metric with this unit.")] = None,
) -> dict[str, Any]:
    """Series of one metric: one for each service and each combination of values of `by`.

    One name may have several types or units. Without an `aggregation` each of them has series of
    its own; with one, `type` and `unit` must say which is meant. Explicit and exponential
    histograms of one unit are combined."""
    step = step or common.window.step
    if common.window.seconds / step > MAX_POINTS:
        raise Problem(400, f"step={step}: more than {MAX_POINTS} points; use a longer step")
    metrics = read_metrics(
        answer, common, service=service, name=name, type=type, unit=unit, limit=MAX_KINDS
    )
    kinds = _group_by_kind(metrics, aggregation)
    series: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    used_aggregation: str | None = aggregation
    for kind in kinds.values():
        used_aggregation = _valid_aggregation(kind[0], aggregation)
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
            "unit": kind[0].unit,
        }
        types = frozenset(metric.type for metric in kind)
        query = SeriesQuery(
            answer, types, used_aggregation, step, common.window, filters, parameters, left_out
        )
        series += _series(answer, by, kind[0], used_aggregation, read_points(kind[0], query))
    is_one = len(kinds) == 1
    return answer.document(
        name=name,
        unit=metrics[0].unit if is_one else None,
        type=metrics[0].type if is_one else None,
        aggregation=used_aggregation if len(kinds) <= 1 else None,
        step=step,
        series=series,
        left_out=left_out["points"],
    )


def _group_by_kind(
    metrics: list[Metric], aggregation: str | None
) -> dict[tuple[str, str], list[Metric]]:
    """The metrics of one name by kind. Raises a Problem when an aggregation is given for several
    kinds."""
    kinds: dict[tuple[str, str], list[Metric]] = {}
    for metric in metrics:
        kinds.setdefault(metric.kind, []).append(metric)
    if aggregation is not None and len(kinds) > 1:
        choices = "; ".join(str(metric) for metric in metrics)
        raise Problem(
            400, f"{metrics[0].name} is several metrics: {choices}. Choose with type= and unit="
        )
    return kinds


def _valid_aggregation(metric: Metric, aggregation: str | None) -> str:
    allowed = aggregations_of(metric)
    if aggregation is not None and aggregation not in allowed:
        raise Problem(
            400, f"aggregation={aggregation}: for {metric} write one of {', '.join(allowed)}"
        )
    return aggregation or allowed[0]


def read_metrics(
    answer: Answer,
    common: CommonParameters,
    *,
    prefix: str = "",
    type: str | None = None,
    unit: str | None = None,
    after: Mapping[str, str] = MappingProxyType({}),
    backwards: bool = False,
    **parameters: Any,
) -> list[Metric]:
    """The metrics with points in the window; one name with several types or units is several."""
    after_type, _, after_unit = after.get("sequence", "").partition(" ")
    parameters |= {
        "environment": common.environment,
        **common.window.parameters,
        "prefix": prefix,
        "type": type,
        "unit": unit,
        "after_id": after.get("id", ""),
        "after_type": after_type,
        "after_unit": after_unit,
        "backwards": backwards,
    }
    rows = answer.rows(queries.METRICS, **parameters)
    last = sorted({(row["name"], row["last"]) for row in rows})
    if not last:
        return []
    details = {
        (row["name"], row["type"], row["unit"]): row
        for row in answer.rows(queries.METRIC_DETAILS, **common.window.parameters, last=last)
    }
    return [
        Metric(
            name=row["name"],
            type=row["type"],
            unit=row["unit"],
            description=details[row["name"], row["type"], row["unit"]]["description"],
            services=row["services"],
            is_monotonic=row["is_monotonic"],
            is_delta=row["is_delta"],
        )
        for row in rows
    ]


def _series(
    answer: Answer, by: list[str], metric: Metric, aggregation: str, points: Iterable[Point]
) -> list[dict[str, Any]]:
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
            "type": metric.type,
            "unit": metric.unit,
            "aggregation": aggregation,
            "labels": dict(zip(by, labels, strict=True)),
            "points": series[service, labels],
        }
        for service, labels in sorted(series)[:MAX_SERIES]
    ]
