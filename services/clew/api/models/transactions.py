"""Business transactions: the list, and the course of one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clew.api.models.common import (
    Count,
    Cursor,
    Durations,
    Millis,
    Operation,
    PerSecond,
    Service,
    Services,
    SettledUntil,
    Share,
    Time,
    TransactionId,
    TransactionName,
    WindowResponse,
)
from clew.api.reference import Model


class TransactionValue(Model):
    """The value of a defined transaction's instances, as its definition names it."""

    sum: float
    """Value of all instances, including `lost`."""
    lost: float
    """Value of the instances that ended in an error."""
    at_risk: float
    """Value of the instances that ended well but took longer than the p95."""


class BurnRates(Model):
    """How fast the error budget is spent; at 1 it is spent exactly by the end of its period."""

    one_hour: Annotated[float, Field(alias="1h", ge=0)]
    """Burn rate over the last hour of the window."""
    six_hours: Annotated[float, Field(alias="6h", ge=0)]
    """Burn rate over the last 6 hours before the window's end."""
    three_days: Annotated[float, Field(alias="3d", ge=0)]
    """Burn rate over the last 3 days before the window's end."""


class SloState(Model):
    """A service level objective, and how far it is met in the window."""

    objective: Share = Field(examples=[0.995])
    """Share of instances that are to be good, from 0 to 1."""
    latency_ms: float | None
    """Milliseconds that a good instance may take; null if there is no limit."""
    good: Count
    """Number of good instances: without an error and fast enough."""
    total: Count
    """Number of instances."""
    attained: Share | None
    """Share of good instances, from 0 to 1; null without instances."""
    error_budget_left: float
    """Share of the error budget that is left: 1 is all of it, less than 0 if it is overspent."""
    burn_rates: BurnRates
    """How fast the error budget is spent."""


class ChangeBaseline(Model):
    """A window of time."""

    start: Time
    """Start of the baseline's window."""
    end: Time
    """End of the baseline's window."""


class Change(Model):
    """How a transaction changed against the baseline. All but the counts are null if it did not
    occur there."""

    baseline: ChangeBaseline
    """The baseline's window."""
    count: Count
    """Number of instances in the baseline's window."""
    per_second: float | None
    """Relative growth of the instances per second; 1 is twice as many."""
    error_rate: float | None
    """Error rate less that of the baseline."""
    p95: float | None
    """Relative growth of the p95; 1 is twice as long."""
    score: float | None
    """What `sort=change` sorts by: the growth of the rate and of the p95, and the change of the
    error rate relative to the baseline's (to at least 1 %), added."""


class TransactionSeries(Model):
    """The course of a transaction: lists with a number for each of `times`."""

    per_second: list[PerSecond]
    """Instances per second, in the part of the step that is in the window."""
    error_rate: list[Share | None]
    """Share of instances in error, from 0 to 1; null without instances."""
    p95: list[Millis | None]
    """95th percentile of the durations, in milliseconds; null without instances."""


class Transaction(Model):
    """A business transaction in the window. Durations, Apdex and SLO refer to the entry spans."""

    id: TransactionId
    name: TransactionName
    source: Literal["auto", "defined"]
    """`auto`: an automatic transaction. `defined`: one with a definition."""
    service: Service
    operation: Operation
    services: Services
    count: Count
    """Number of instances."""
    errors: Count
    """Number of instances that ended in an error."""
    error_rate: Share
    """Share of instances that ended in an error, from 0 to 1."""
    per_second: PerSecond
    """Instances per second."""
    impact: Annotated[float, Field(ge=0)]
    """Milliseconds that the entry spans take, per second of the window: time × rate."""
    duration_ms: Durations
    """Durations of the entry spans."""
    apdex: Share | None
    """Apdex, from 0 to 1; null without instances."""
    value: TransactionValue | None
    """Value of the instances; null for an automatic transaction."""
    slo: SloState | None
    """State of the service level objective; null if there is none."""
    change: Change | None
    """How it changed; null unless the request compares with a baseline."""
    series: TransactionSeries | None
    """Its course; null unless the request has `series`."""


class Overflow(Model):
    """A service with more names of transactions than are shown: the others are one transaction,
    `<service>: (other)`."""

    service: Service
    names: Count
    """Number of names that the service has."""


class Transactions(WindowResponse):
    """Transactions in the order of `sort`, then by id."""

    transactions: list[Transaction]
    """The transactions of this page."""
    times: list[Time]
    """Start of each point of `series`; the first may lie before the window. Empty without
    `series`."""
    overflow: list[Overflow]
    """Services with more than 200 names."""
    next_cursor: Cursor
    settled_until: SettledUntil


class SeriesPoint(Model):
    """A transaction in one step of time."""

    time: Time
    """Start of the step."""
    count: Count
    """Number of instances."""
    errors: Count
    """Number of instances that ended in an error."""
    p50: Millis | None
    """Median duration, in milliseconds."""
    p95: Millis | None
    """95th percentile of durations, in milliseconds."""
    p99: Millis | None
    """99th percentile of durations, in milliseconds."""


class Heatmap(WindowResponse):
    """Numbers of instances by time and duration. `counts` and `errors` have a list for each of
    `times`, and in it a number for each duration between two of `bounds_ms`."""

    step_seconds: Annotated[int, Field(ge=1, examples=[60])]
    """Seconds between two times."""
    times: list[Time]
    """Start of each column. The first may begin before the window; only what is in the window is
    counted."""
    bounds_ms: list[Millis] = Field(examples=[[0.9999995, 1.3335215, 1.7782785]])
    """Bounds of the durations, ascending, in milliseconds: eight for each power of ten. A bound
    lies between two nanoseconds, so that no duration is equal to it. Empty without instances."""
    counts: list[list[Count]] = Field(examples=[[[0, 12], [1, 7]]])
    """Number of instances, errors included."""
    errors: list[list[Count]] = Field(examples=[[[0, 3], [0, 0]]])
    """Number of instances that ended in an error."""
    settled_until: SettledUntil
