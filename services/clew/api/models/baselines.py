"""Baselines and forecasts."""

from __future__ import annotations

from pydantic import Field

from clew.api.models.alerts import Labels
from clew.api.models.common import Count, StoredResponse, Time
from clew.api.reference import Model


class BandPoint(Model):
    """One hour. Null: nothing, or too little, is known."""

    time: Time
    """When the hour begins."""
    value: float | None
    """What it was."""
    expected: float | None
    """What is usual."""
    lower: float | None
    """Nine of ten hours are not below it or above `upper`."""
    upper: float | None
    """See `lower`."""


class BandSeries(Model):
    """One series."""

    labels: Labels
    measure: str
    """What is measured."""
    unit: str
    """`ms`, `1` (a share), `/s`, or a metric's."""
    hours_known: Count
    """In how many hours of the four weeks it had requests. With fewer than 48, nothing is
    expected."""
    points: list[BandPoint]
    """By hour, the oldest first."""


class Baseline(BandSeries):
    """One series with what is usual of it."""

    smallest_change: float | None = Field(examples=[0.12])
    """The smallest change that would be noticed nine times of ten; null if too little is known, or
    none would. Of p50, p75 and p95 how much slower it must be for a day (0.12 is 12 %); of
    `error_rate` the share of failed requests of an hour; of `rate` the share of the requests of two
    hours that must be missing; of `value_lost` the value lost in an hour; of metrics by what share
    of the usual value they must be higher."""


class Baselines(StoredResponse):
    """What is usual of some series."""

    start: Time
    """Start of the window."""
    end: Time
    """End of the window."""
    series: list[Baseline]
    """At most 20."""


class Forecasts(StoredResponse):
    """What is expected of some series."""

    series: list[BandSeries]
    """At most 20."""
