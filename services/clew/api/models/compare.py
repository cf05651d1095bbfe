"""Two sets of traces compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clew.api.models.common import (
    Count,
    Kind,
    MedianAndP95,
    Operation,
    Response,
    Service,
    SettledUntil,
    Share,
    Time,
)
from clew.api.reference import Model


class ComparedSet(Model):
    """One of the two sets of traces."""

    start: Time
    """Start of the set's window."""
    end: Time
    """End of the set's window."""
    traces: Count
    """Number of traces in the set."""
    looked_at: Count
    """Number of traces in the sample."""
    errors: Count
    """Number of traces in the set whose entry span is in error."""
    error_rate: Share | None
    """Share of traces in error, from 0 to 1; null without traces."""
    duration_ms: MedianAndP95
    """Durations of the entry spans."""
    sampled: bool
    """Whether the sample is smaller than the set."""


class ComparedAttribute(Model):
    """A value of an attribute."""

    key: str
    """Key of the attribute."""
    value: str
    """Value of the attribute."""
    source: Literal["span", "resource"]
    """Whether it is an attribute of spans or of resources."""


class AttributeDifference(ComparedAttribute):
    """An attribute value whose share differs between the sets."""

    together: list[ComparedAttribute]
    """Other values that stand on the same spans: they always go together with this one."""
    a_count: Count
    """Number of traces in the sample of A that have the value."""
    a_share: Share
    """Share of the sample of A, from 0 to 1."""
    b_count: Count
    """Number of traces in the sample of B that have the value."""
    b_share: Share
    """Share of the sample of B, from 0 to 1."""
    effect: Annotated[float, Field(ge=-1, le=1)]
    """Difference of the shares, `a_share - b_share`."""
    p_value: Share
    """Probability of a difference at least as large if the sets do not differ."""


class OperationCost(Model):
    """An operation in one of the sets."""

    calls_per_trace: Annotated[float, Field(ge=0)]
    """Mean number of calls per trace."""
    self_ms_per_trace: Annotated[float, Field(ge=0)]
    """Mean self time per trace, in milliseconds."""


class PerCall(Model):
    """The mean time of one call in both sets."""

    a_ms: Annotated[float, Field(ge=0)] | None
    """Mean in A, in milliseconds; null without calls."""
    b_ms: Annotated[float, Field(ge=0)] | None
    """Mean in B, in milliseconds; null without calls."""
    change_ms: float | None
    """Difference of the means, A - B; null if one of them is."""
    confidence: Share | None
    """1 minus the probability of a difference at least as large if the sets do not differ (Welch's
    test); null with fewer than 5 samples in a set."""


class OperationDifference(Model):
    """An operation in both sets."""

    service: Service
    operation: Operation
    kind: Kind
    a: OperationCost
    """The operation in A."""
    b: OperationCost
    """The operation in B."""
    change_ms: float
    """Difference of self time per trace, A - B, in milliseconds."""
    change_calls: float
    """Difference of calls per trace, A - B."""
    per_call: PerCall
    """Self time of one call without the time that calls waited (`links`), averaged over traces."""


class LinkDifference(Model):
    """A link in both sets: calls as a place where time is spent, between two services, or a service
    and its database, queue or external host. A link that is slower accuses both ends."""

    source: Service
    """Service that calls; empty where it sent no spans."""
    target: Service
    """What is called."""
    type: Literal["service", "database", "external", "queue", "consumed"]
    """What the target is; `consumed`: the source is a queue, from which the target takes."""
    a_calls_per_trace: Annotated[float, Field(ge=0)]
    """Mean number of calls per trace of A."""
    b_calls_per_trace: Annotated[float, Field(ge=0)]
    """Mean number of calls per trace of B."""
    change_ms: float
    """Difference of the link's time per trace, A - B, in milliseconds."""
    per_call: PerCall
    """Time of one call in which its source waited and no span below it ran."""


class Comparison(Response):
    """Differences between two sets of traces, the largest first."""

    a: ComparedSet
    """Set A."""
    b: ComparedSet
    """Set B, the baseline."""
    attributes: list[AttributeDifference]
    """Attribute values whose shares differ significantly."""
    operations: list[OperationDifference]
    """Operations, by the difference of self time per trace."""
    links: list[LinkDifference]
    """Links, by the difference of their time per trace."""
    settled_until: SettledUntil
