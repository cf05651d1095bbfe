"""Third parties."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clew.api.models.common import (
    Count,
    MedianAndP95,
    Operation,
    PerSecond,
    Service,
    Services,
    SettledUntil,
    Share,
    TraceId,
    TransactionId,
    WindowResponse,
)
from clew.api.reference import Model

Score = float | None


class UsualCalls(Model):
    """What is usual at this time of day, of the seven days before."""

    days: Count
    """Days with enough calls."""
    calls: Count
    """Calls of these days."""
    error_rate: Share
    """Share of calls in error."""
    duration_ms: MedianAndP95
    """The medians of the days' quantiles."""


class CallScores(Model):
    """How many standard deviations above what is usual; null where it is not known."""

    errors: Score
    """The share of failures that count against the host."""
    p50: Score
    """The median of the durations."""
    p95: Score
    """The 95th percentile of the durations."""


class FailureClass(Model):
    """Failed calls with answers of the same class."""

    name: str = Field(examples=["5xx"])
    """Class of the status: `5xx`, `4xx`, `429` and `408` by themselves, `none` where no answer
    came."""
    errors: Count
    """Failed calls whose spans are stored."""
    share: Share
    """Their share of all calls."""
    callers: Count
    """Services that have such calls."""
    tenants: int | None
    """Tenants or users that have them, of at most 100 of the traces; null where no span names
    one."""
    example_trace_id: TraceId


class DependentTransaction(Model):
    """A transaction that calls the host."""

    id: TransactionId
    service: Service
    operation: Operation
    traces: Count
    """Traces of the transaction in the window."""
    traces_with: Count
    """Those that call the host."""
    p95_share: Share
    """The part of the transaction's p95 that would be gone without the calls, at most: the calls
    of a trace count one after the other."""
    failure_share: Share | None
    """The share of the transaction's failures in which a call to the host failed; null without
    failures."""


class ExternalDependency(Model):
    """An external host."""

    host: str = Field(examples=["cards.example"])
    """Name of the host, as its callers' spans have it."""
    status: Literal["ok", "degraded", "down", "unknown"]
    """How it does against its own past."""
    reason: str
    """Why, with the numbers."""
    calls: Count
    """Number of calls."""
    per_second: PerSecond
    """Calls per second."""
    errors: Count
    """Number of calls in error."""
    error_rate: Share
    """Share of calls in error."""
    duration_ms: MedianAndP95
    """Durations of the calls."""
    usual: UsualCalls | None
    """What is usual; null where fewer than three of the days before have 20 calls."""
    z: CallScores
    """How far from what is usual."""
    failures: list[FailureClass]
    """Failed calls by the class of their status."""
    callers: Services
    transactions: list[DependentTransaction]
    """Transactions that call it, the most calls first."""


class ExternalDependencies(WindowResponse):
    """Third parties: hosts that no service here answers for."""

    dependencies: list[ExternalDependency]
    """The hosts: what is down first, then degraded ones, then by calls."""
    sampled: bool
    """Whether counts are scaled up from a sample of the traces."""
    settled_until: SettledUntil
