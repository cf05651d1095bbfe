"""Services, the map of them, and what is wrong with their telemetry."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clew.api.models.common import (
    Count,
    Durations,
    Kind,
    Operation,
    PerSecond,
    Service,
    SettledUntil,
    Share,
    WindowResponse,
)
from clew.api.reference import Model


class ServiceOperation(Model):
    """An operation of a service in the window."""

    operation: Operation
    kind: Kind
    count: Count
    """Number of spans."""
    errors: Count
    """Number of spans in error."""
    error_rate: Share
    """Share of spans in error, from 0 to 1."""
    per_second: PerSecond
    """Spans per second."""
    duration_ms: Durations
    """Durations of the spans."""


class ServiceRates(Model):
    """A service in the window. Its counts are those of the requests it received (operations of
    kind SERVER and CONSUMER), or of all operations if it received none."""

    service: Service
    count: Count
    """Number of requests."""
    errors: Count
    """Number of requests in error."""
    error_rate: Share
    """Share of requests in error, from 0 to 1."""
    per_second: PerSecond
    """Requests per second."""
    duration_ms: Durations
    """Durations of the requests."""
    operations: list[ServiceOperation]
    """All operations, most frequent first."""


class SilentService(Model):
    """A service of which no span came in."""

    service: str = Field(examples=["nightly"])
    """Name of the service."""
    log_records: Count
    """Number of log records."""
    points: Count
    """Number of data points of gauges, sums and histograms."""
    reason: str
    """The likely reason, and what to do."""


class ServiceList(WindowResponse):
    """Services in the order of `sort`."""

    services: list[ServiceRates]
    """The services."""
    without_spans: list[SilentService]
    """Services that sent log records or metrics in the last hour of the window, and no span."""


class DoctorCheck(Model):
    """What a check found."""

    check: str = Field(examples=["orphans"])
    """Name of the check."""
    status: Literal["ok", "warn", "fail", "none"]
    """Whether something is wrong; `none`: there was nothing to check, or it was not checked."""
    text: str
    """What was found."""
    mend: str
    """What to do; empty if nothing is wrong."""
    services: list[str]
    """Services that it concerns."""


class Doctor(WindowResponse):
    """What is wrong in the window that was examined."""

    checks: list[DoctorCheck]
    """Every check."""


class MapNode(Model):
    """A node of the service map. One that only calls others has no rates of its own."""

    id: str = Field(examples=["service:storefront"])
    """Id of the node: its type and its name."""
    type: Literal["service", "database", "external", "queue", "unknown"]
    """Type of the node; `external` is a host, `unknown` a caller that is not known."""
    name: str
    """Name of the node; empty for `unknown`."""
    calls: Count | None
    """Number of calls to the node."""
    errors: Count | None
    """Number of calls in error."""
    error_rate: Share | None
    """Share of calls in error, from 0 to 1."""
    duration_ms: Durations | None
    """Durations of calls."""


class MapEdge(Model):
    """Calls from one node to another."""

    source: str = Field(examples=["service:storefront"])
    """Id of the calling node."""
    target: str = Field(examples=["database:postgresql"])
    """Id of the called node."""
    type: Literal["service", "database", "external", "queue", "consumed"]
    """Type of the call; `consumed`: a service reads from a queue."""
    calls: Count
    """Number of calls."""
    errors: Count
    """Number of calls in error."""
    error_rate: Share
    """Share of calls in error, from 0 to 1."""
    per_second: PerSecond
    """Calls per second."""
    duration_ms: Durations
    """Durations of calls."""


class ServiceMap(WindowResponse):
    nodes: list[MapNode]
    """Services, and what they use; by id."""
    edges: list[MapEdge]
    """Calls between nodes, most frequent first."""
    sampled: bool
    """Whether counts are estimates, because only a part of the traces could be settled."""
    settled_until: SettledUntil
