"""Metrics and their series."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clew.api.models.common import (
    Attributes,
    Count,
    Cursor,
    MetricPoint,
    Response,
    Service,
    Services,
)
from clew.api.reference import Model


class Metric(Model):
    name: str = Field(examples=["http.server.request.duration"])
    """Name of the metric."""
    type: Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]
    """Type of the metric."""
    unit: str
    """Unit, as it was sent."""
    description: str
    """Description, as it was sent."""
    services: Services
    is_monotonic: bool
    """Whether it is a sum that never decreases."""
    is_delta: bool
    """Whether it is a sum of which each point is what came since the point before it."""


class Metrics(Response):
    """Metrics, by name."""

    metrics: list[Metric]
    """The metrics of this page."""
    next_cursor: Cursor


class MetricSeries(Model):
    service: Service
    type: Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]
    """Type of the metric."""
    unit: str
    """Unit of the metric."""
    aggregation: str
    """The aggregation that was used."""
    labels: Attributes
    points: list[MetricPoint]
    """The points, by time; steps without a value are left out."""


class MetricQuery(Response):
    name: str
    """Name of the metric."""
    unit: str | None
    """Unit; null if the metric has no points in the window, or several units or types."""
    type: str | None
    """Type; null if the metric has no points in the window, or several units or types."""
    aggregation: str | None
    """The aggregation that was used; null if the metric has no points in the window, or several
    units or types: each of the series says its own."""
    step: Count
    """Seconds between points."""
    series: list[MetricSeries]
    """One series for each service and each combination of values of `by`."""
    left_out: Count
    """Points that are left out, whole or in part: values that are no numbers, buckets that do not
    fit their bounds."""
