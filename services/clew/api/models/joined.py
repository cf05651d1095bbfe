"""The joined view of a transaction, its instances and its funnel."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clew.api.models.common import (
    Count,
    Cursor,
    Kind,
    LinkedLog,
    LinkedMetric,
    MedianAndP95,
    Millis,
    Operation,
    Response,
    Service,
    Services,
    SettledUntil,
    Share,
    Time,
    TraceId,
    TransactionId,
    TransactionName,
    WindowResponse,
)
from clew.api.models.traces import TraceSummary, WholeTrace
from clew.api.models.transactions import SeriesPoint, Transaction
from clew.api.reference import Model


class Cohort(Model):
    """An operation in some of the traces."""

    calls_per_trace: Annotated[float, Field(ge=0)]
    """Mean number of calls per trace."""
    self_time_ms_per_trace: Annotated[float, Field(ge=0)]
    """Mean self time per trace, in milliseconds."""
    share: Share
    """Share of all self time, from 0 to 1."""
    critical_share: Share
    """Share of the time on critical paths, from 0 to 1."""


class BreakdownRow(Model):
    """An operation's part in the time of the traces."""

    service: Service
    operation: Operation
    kind: Kind
    calls: Count
    """Number of calls."""
    instances: Count
    """Number of instances with such a call; `operation` of `GET
    /api/v1/transactions/{transaction_id}/instances` selects them. An estimate where `sample` says
    that not all traces were read."""
    self_time_ms: Millis
    """Self time of all calls, in milliseconds."""
    share: Share
    """Share of all self time, from 0 to 1."""
    critical_share: Share
    """Share of the time on critical paths, from 0 to 1."""
    slow: Cohort
    """The operation in traces slower than the transaction's p95."""
    typical: Cohort
    """The operation in the other traces."""
    p95_without_ms: Millis | None
    """The transaction's p95 if the operation took no time, in milliseconds; null without a p95."""


class Dependency(Model):
    """Something that the traces called."""

    type: str = Field(examples=["database", "external", "queue", "service"])
    """`database`, `external` (a host), `queue`, `consumed` (a queue that is read) or `service`."""
    name: str = Field(examples=["postgresql"])
    """Name of what was called."""
    source: Service
    summary: str = Field(examples=["SELECT products"])
    """What was done there."""
    calls: Count
    """Number of calls."""
    errors: Count
    """Number of calls in error."""
    instances: Count
    """Number of instances with such a call; `call` of `GET
    /api/v1/transactions/{transaction_id}/instances` selects them. An estimate where `sample` says
    that not all traces were read."""
    failed_instances: Count
    """Number of instances with such a call in error, which `failed_call` selects."""
    error_rate: Share
    """Share of calls in error, from 0 to 1."""
    calls_per_trace: Annotated[float, Field(ge=0)]
    """Mean number of calls per trace."""
    total_ms: Millis
    """Duration of all calls, in milliseconds."""
    duration_ms: MedianAndP95
    """Durations of calls."""


class Sample(Model):
    """The traces that a breakdown was computed from."""

    traces: Count
    """Number of traces that were read."""
    of: Count
    """Number of traces that they represent."""
    error: Annotated[float, Field(ge=0)]
    """Largest standard error of a share; 0 if all traces were settled and read."""


class ExampleTraces(Model):
    """Up to five traces of each kind."""

    slowest: list[TraceSummary]
    """The slowest traces."""
    errors: list[TraceSummary]
    """The newest traces whose entry span is in error."""
    typical: list[TraceSummary]
    """Traces without an error whose duration is nearest to the median."""


class ExceptionGroup(Model):
    """Exceptions of the same type, message, service and frame."""

    type: str = Field(examples=["CardDeclined"])
    """Type of the exception."""
    message: str = Field(examples=["order # was declined"])
    """Message, with ids and numbers replaced by `#`."""
    service: Service
    frame: str | None
    """Innermost stack frame in the service's own code; null if there is none."""
    count: Count
    """Number of exceptions."""
    instances: Count
    """Number of instances with such an exception; `exception` of `GET
    /api/v1/transactions/{transaction_id}/instances` selects them."""
    first: Time
    """Time of the first one."""
    last: Time
    """Time of the last one."""
    example_trace_id: TraceId


class Deployment(Model):
    """A version of a service."""

    service: Service
    version: str = Field(examples=["1.9.0"])
    """Version of the service (`service.version`)."""
    first_seen: Time
    """Time when the version was first seen."""


class JoinedParts(Response):
    breakdown: list[BreakdownRow]
    """Where the time went, by operation, most self time first."""
    dependencies: list[Dependency]
    """What was called, most time first."""
    sample: Sample
    """The traces that `breakdown` and `dependencies` were computed from."""
    logs: list[LinkedLog]
    """Log records of the traces, then records of their processes without a trace id; newest
    first."""
    exceptions: list[ExceptionGroup]
    """Exceptions, most frequent first."""
    metrics: list[LinkedMetric]
    """Linked series of metrics, the strongest links first."""
    deployments: list[Deployment]
    """Versions of the services, newest first."""
    settled_until: SettledUntil


class JoinedView(JoinedParts, WindowResponse):
    """One transaction with everything that belongs to it."""

    transaction: Transaction
    """The transaction itself."""
    quantile_error: Share
    """Largest relative error of quantiles."""
    series: list[SeriesPoint]
    """The transaction over time."""
    traces: ExampleTraces
    """Example traces."""


class InstanceStep(Model):
    """A step of an instance, when it was first reached."""

    name: str
    """Name of the step, as the definition has it."""
    service: Service
    time: Time
    """Start of the step's span."""
    duration_ms: Millis
    """Duration of the step's span, in milliseconds."""
    status: Literal["ok", "error"]
    """Outcome of the step."""
    trace_id: TraceId


class Instance(Model):
    """One instance of a transaction; the documentation also calls it an occurrence. The optional
    members exist for defined transactions only."""

    key: str
    """Key of the instance; for an automatic transaction the trace id."""
    trace_ids: list[TraceId]
    """Ids of the instance's traces."""
    start: Time
    """Start of the first span."""
    end: Time | None = None
    """End of the last span."""
    duration_ms: Millis
    """Milliseconds from the first start to the last end, over all traces."""
    working_ms: Millis | None = None
    """Milliseconds during which at least one span ran."""
    entry_duration_ms: Millis | None = None
    """Duration of the matched entry span, in milliseconds; of the last attempt."""
    attempts: Count | None = None
    """Number of attempts."""
    status: Literal["ok", "error"]
    """Outcome, as the last attempt decides."""
    user: str | None
    """The user, as the definition names it."""
    value: float | None
    """The value, as the definition names it."""
    services: Services
    span_count: Count
    """Number of spans."""
    error_count: Count | None = None
    """Number of spans in error."""
    steps: list[InstanceStep]
    """Steps that were reached."""


class Instances(Response):
    """Instances in the order of `sort`."""

    instances: list[Instance]
    """The instances of this page."""
    next_cursor: Cursor
    settled_until: SettledUntil


class InstanceView(JoinedParts):
    """One instance with everything that belongs to it."""

    instance: Instance
    """The instance itself."""
    traces: list[WholeTrace]
    """Its traces, by start."""


class FunnelStep(Model):
    name: str
    """Name of the step; for the entry the transaction's name."""
    reached: Count
    """Number of instances that reached the step."""
    drop_off: Share
    """Share of the instances at the step before that did not reach this one, from 0 to 1."""
    from_previous_ms: MedianAndP95 | None
    """Time from the step before; null for the entry."""
    errors: Count
    """Number of instances that ended in an error and got no further than this step."""
    lost_value: float
    """Value of those instances."""
    failed: Count
    """Number of instances in which this step was in error."""


class FunnelGroup(Model):
    group: str
    """The day or hour as a time, or the value of the attribute."""
    steps: list[FunnelStep]
    """All steps, the entry first."""


class FunnelTransaction(Model):
    id: TransactionId
    name: TransactionName


class Funnel(WindowResponse):
    transaction: FunnelTransaction
    """The transaction."""
    by: str | None
    """How instances are grouped, as in the request."""
    steps: list[FunnelStep]
    """All steps over all instances, the entry first."""
    groups: list[FunnelGroup]
    """The same for each group; empty without `by`."""
    settled_until: SettledUntil
