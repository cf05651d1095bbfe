"""What limits a service."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clew.analysis.resources.constraints import ConstraintName
from clew.api.models.common import (
    Count,
    Operation,
    PerSecond,
    Service,
    SettledUntil,
    Share,
    Time,
    TransactionId,
    WindowResponse,
)
from clew.api.reference import Model


class LoadFit(Model):
    """The used share as a line over the load."""

    base: float
    """Used share without load."""
    per_request: float
    """Used share that one more request a second takes."""
    r2: Share
    """How much of the use the load explains, from 0 to 1; below 0.7 there is no fit."""
    n: int
    """Steps of time."""
    saturation_per_second: float
    """Requests a second at which the line reaches 1."""


class ResourceConstraint(Model):
    """A resource that can be full."""

    name: ConstraintName
    """The resource: `cpu_one_core` is one core of a process of Python or Node.js, in which one
    thread at a time runs code."""
    mean: float
    """Mean of the used share, from 0."""
    peak: float
    """Greatest used share of one source in a step of time."""
    peak_at: Time
    """Start of that step."""
    source: str
    """Which instance, container or host had it."""
    sources: Count
    """Number of instances, containers or hosts."""
    headroom: Share
    """Share that is left at the peak."""
    full: Share
    """Share of the steps of time in which a source used 0.9 or more."""
    fit: LoadFit | None
    """How the use follows the load; null if it does not."""
    reason: str
    """Why there is no fit; empty if there is one."""
    replicas: Annotated[int, Field(ge=1)] | None
    """Instances with which the peak would use 0.7; null if the present ones do, without a fit, or
    where more instances give no more of it."""
    advice: str
    """What helps when it is full."""


class MemoryLeak(Model):
    """Memory of an instance that grows all the time."""

    source: str
    """The instance."""
    bytes_per_hour: float
    """Median of the slopes between all pairs of steps (Theil–Sen)."""
    share_per_hour: float
    """The same as a share of the median."""
    hours: float
    """Hours over which it was seen: two at least."""


class ResourceUsage(Model):
    """A metric of which no limit is known."""

    metric: str = Field(examples=["process.open_file_descriptor.count"])
    """Name of the metric."""
    mean: float
    """Mean of its values; a rate a second of what only rises."""
    peak: float
    """Greatest value."""
    source: str
    """Which instance or host had it."""


class BoundTransaction(Model):
    """A transaction that waits for the service."""

    id: TransactionId
    service: Service
    operation: Operation
    traces: Count
    """Traces in the window."""
    critical_share: Share
    """The part of its time in which an operation of the service is on the critical path."""
    bound_by: str | None
    """The resource that limits it: that of the service, if a tenth of its time is spent there."""


class ServiceResources(WindowResponse):
    """What a service uses, and what limits it."""

    service: Service
    step: int
    """Seconds of a step of time."""
    bound_by: ConstraintName | None
    """The fullest resource, if its peak is 0.8 or more."""
    peak_per_second: PerSecond | None
    """Requests a second in the busiest step; null without requests."""
    constraints: list[ResourceConstraint]
    """Resources of which something is known, the fullest first."""
    leaks: list[MemoryLeak]
    """Instances whose memory grows by 1 % an hour or more."""
    usages: list[ResourceUsage]
    """Metrics without a known limit."""
    transactions: list[BoundTransaction]
    """Transactions that wait for the service, those that wait most first."""
    settled_until: SettledUntil
