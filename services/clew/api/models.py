"""Models of the responses of /api/v1, for the OpenAPI document (see clew.api.reference).

Every member has a description: its docstring, or that of its type.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clew.analysis.transactions.definitions import Definition, Definitions
from clew.api.reference import Model

Time = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$",
        examples=["2026-11-22T10:00:00.000000001Z"],
    ),
]
Millis = Annotated[float, Field(ge=0, examples=[12.5])]
Count = Annotated[int, Field(ge=0)]
PerSecond = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
TraceId = Annotated[
    str,
    Field(
        description="Trace id, 32 lowercase hex digits.",
        examples=["5b8efff798038103d269b633813fc60c"],
    ),
]
SpanId = Annotated[
    str, Field(description="Span id, 16 lowercase hex digits.", examples=["eee19b7ec3c1b174"])
]
TransactionId = Annotated[
    str,
    Field(
        description="Stable id of the transaction.",
        pattern=r"^[A-Za-z0-9_-]+$",
        examples=["checkout"],
    ),
]
TransactionName = Annotated[
    str, Field(description="Name of the transaction.", examples=["storefront: POST /checkout"])
]
Attributes = Annotated[
    dict[str, str],
    Field(
        description="Attributes by key. Values are strings; arrays and maps are written as JSON.",
        examples=[{"http.route": "/checkout", "order.id": "o-17"}],
    ),
]
Level = Annotated[
    Literal["", "trace", "debug", "info", "warn", "error", "fatal"],
    Field(
        description="Severity on one scale: the number's band, else what the text says; empty if "
        "neither says it."
    ),
]
Service = Annotated[
    str, Field(description="Name of the service (`service.name`).", examples=["storefront"])
]
Services = Annotated[
    list[str],
    Field(description="Names of the services, sorted.", examples=[["orders", "storefront"]]),
]
Operation = Annotated[
    str, Field(description="Name of the operation: the span's name.", examples=["POST /checkout"])
]
Kind = Annotated[str, Field(description="Kind of the span.", examples=["Server"])]
Cursor = Annotated[
    str | None,
    Field(description="Send it as `cursor` for the next page; null on the last page."),
]


SettledUntil = Annotated[
    str | None,
    Field(
        description="What was stored up to this time is in the parts of the response that rest on "
        "settled traces, with the time as RFC 3339; null if nothing was settled yet.",
        examples=["2026-11-22T10:00:00.000000000Z"],
    ),
]


class Response(Model):
    truncated: bool
    """Whether the response leaves out a part of what was asked for, because of a limit. Further
    pages do not count as left out."""
    sql: list[str] = Field(default_factory=list)
    """With `explain=true`: the statements that produced the response, ready to be run again."""


class WindowResponse(Response):
    start: Time
    """Start of the window, part of it."""
    end: Time
    """End of the window, not part of it."""


class Durations(Model):
    """Quantiles of durations, in milliseconds. Each is within 1 % of the exact value; null when
    nothing was counted."""

    p50: Millis | None
    """Median, in milliseconds."""
    p90: Millis | None
    """90th percentile, in milliseconds."""
    p95: Millis | None
    """95th percentile, in milliseconds."""
    p99: Millis | None
    """99th percentile, in milliseconds."""
    max: Millis | None
    """Longest duration, in milliseconds."""


class MedianAndP95(Model):
    """Quantiles of durations, in milliseconds; null when nothing was counted."""

    p50: Millis | None
    """Median, in milliseconds."""
    p95: Millis | None
    """95th percentile, in milliseconds."""


# ---- traces


class TraceSummary(Model):
    trace_id: TraceId
    root_service: Service
    root_operation: Operation
    transaction_id: TransactionId | None
    """Id of the automatic transaction that the trace belongs to; null if the trace has neither a
    root span nor a SERVER or CONSUMER span."""
    start: Time
    """Start of the first span."""
    end: Time
    """End of the last span."""
    duration_ms: Millis
    """Milliseconds from the start of the first span to the end of the last."""
    span_count: Count
    """Number of spans."""
    error_count: Count
    """Number of spans in error."""
    services: Services


class MatchingTrace(TraceSummary):
    matched_at: Time
    """Start of the trace's newest span that matches the search and starts in its window."""


class Traces(Response):
    """Traces in the order of `sort`."""

    traces: list[MatchingTrace]
    """The traces of this page."""
    next_cursor: Cursor


class Event(Model):
    """An event of a span."""

    time: Time
    """Time of the event."""
    name: str
    """Name of the event."""
    attributes: Attributes


class Link(Model):
    """A link of a span to another span."""

    trace_id: TraceId
    span_id: SpanId
    attributes: Attributes


class Span(Model):
    span_id: SpanId
    parent_span_id: str = Field(examples=["eee19b7ec3c1b174"])
    """Span id of the parent; empty for a root span."""
    name: Operation
    kind: Kind
    service: Service
    start: Time
    """Start of the span."""
    offset_ms: float
    """Milliseconds from the start of the trace to the start of the span."""
    duration_ms: Millis
    """Duration of the span, in milliseconds."""
    self_time_ms: Millis
    """Milliseconds during which none of the span's children ran."""
    critical: bool
    """Whether the span is on the trace's critical path."""
    status: str = Field(examples=["Unset", "Ok", "Error"])
    """Status code of the span."""
    status_message: str
    """Status message of the span."""
    scope: str
    """Name of the instrumentation scope that created the span."""
    attributes: Attributes
    resource: Attributes
    events: list[Event]
    """Events of the span, in the order in which they were sent."""
    links: list[Link]
    """Links to other spans."""
    flags: list[Literal["ends_before_start", "shared_span_id"]]
    """What is wrong with the span. `ends_before_start`: its duration is stored as 0 ms.
    `shared_span_id`: the server's span was sent with the id of the client's, as Zipkin's are, and
    is shown under another id, as a child of the client's span."""


class LinkedLog(Model):
    """A log record that is linked to a trace or a transaction."""

    time: Time
    """Time of the record."""
    severity: str = Field(examples=["ERROR"])
    """Severity as text; the level's name if the record has none."""
    level: Level
    event_name: str = Field(examples=["device.app.lifecycle"])
    """Name of the event that the record is; empty if it is none."""
    service: Service
    body: str
    """Body of the record; arrays and maps as JSON."""
    attributes: Attributes
    trace_id: str = Field(examples=["5b8efff798038103d269b633813fc60c"])
    """Trace id of the record; empty if it has none."""
    span_id: str = Field(examples=["eee19b7ec3c1b174"])
    """Span id of the record; empty if it has none."""
    linked_by: Literal["trace", "resource"]
    """Why the record is shown. `trace`: it has the trace's id. `resource`: it has no trace id, and
    comes from a process of the trace in the same time."""


class MetricPoint(Model):
    time: Time
    """Time of the point, or start of its step."""
    value: float | None
    """Value of the point; null if it is not a finite number."""


class LinkedMetric(Model):
    """A series of a metric that is linked to a trace or a transaction."""

    name: str = Field(examples=["process.cpu.utilization"])
    """Name of the metric."""
    unit: str = Field(examples=["1"])
    """Unit of the metric, as it was sent."""
    service: Service
    resource: str
    """The process: `service.instance.id`."""
    attributes: Attributes
    linked_by: Literal["exemplar", "attribute", "resource"]
    """Why the series is shown; of several reasons the first. `exemplar`: an exemplar has the
    trace's id. `attribute`: it has an attribute of the transaction. `resource`: it comes from a
    process or a host of the trace in the same time."""
    points: list[MetricPoint]
    """A gauge's values, a monotonic sum's rates per second, a histogram's 95th percentiles."""
    correlation: Annotated[float, Field(ge=-1.001, le=1.001)] | None
    """Pearson's correlation with the transaction's p95, from -1 to 1; null if there are too few
    points or no change."""


class TransactionReference(Model):
    """A transaction that a trace belongs to."""

    id: TransactionId
    name: TransactionName
    key: str
    """Key of the instance that the trace belongs to; for an automatic transaction the trace id."""


class TraceTransaction(TransactionReference):
    """A transaction that a trace belongs to."""

    source: Literal["auto", "defined"]
    """`auto`: an automatic transaction. `defined`: one with a definition."""
    trace_ids: list[TraceId]
    """Ids of the traces of the instance, this one among them; of more than 100 the first 100."""


class WholeTrace(Model):
    """A trace with its spans, logs and metrics."""

    trace_id: TraceId
    transaction: TransactionReference | None
    """The first of `transactions`; null if there is none."""
    transactions: list[TraceTransaction]
    """The transactions that the trace belongs to: defined ones that match one of its spans, other
    defined ones, then the automatic one."""
    start: Time
    """Start of the first span."""
    duration_ms: Millis
    """Milliseconds from the start of the first span to the end of the last."""
    services: Services
    span_count: Count
    """Number of spans."""
    error_count: Count
    """Number of spans in error."""
    complete: bool
    """Whether the root span is stored, and the parent of every other span."""
    spans: list[Span]
    """The spans, by start."""
    logs: list[LinkedLog]
    """Log records of the trace, then records of its processes without a trace id; newest first."""
    metrics: list[LinkedMetric]
    """Series of metrics with an exemplar of the trace or from its processes."""


class Trace(WholeTrace, Response):
    pass


OutlineVersion = Annotated[
    str,
    Field(
        description="Version of the outline: another one when spans of the trace have come.",
        examples=["4-8d2f61c0a3b74e59"],
    ),
]
Row = Annotated[int, Field(ge=0, description="Row of the outline, from 0.", examples=[35])]


class OutlineSpan(Model):
    """Where a span is in the outline."""

    row: Row
    parent_row: Row | None
    """Row of the parent, of which a fold of its children has the span; null if it has none."""


class OutlineDictionaries(Model):
    """The texts of the outline, each once and cut off after 200 characters."""

    service: list[str]
    """Names of services."""
    name: list[str]
    """Names of spans."""
    kind: list[str]
    """Kinds of spans."""
    status: list[str]
    """Status codes."""
    scope: list[str]
    """Names of instrumentation scopes."""


class OutlineGroups(Model):
    """The groups of spans, as columns. Spans of a group have service, name, kind, status and scope
    in common; the numbers are places in the dictionaries."""

    service: list[Count]
    """Service of each group."""
    name: list[Count]
    """Name of each group."""
    kind: list[Count]
    """Kind of each group."""
    status: list[Count]
    """Status code of each group."""
    scope: list[Count]
    """Instrumentation scope of each group."""


class OutlineColumns(Model):
    """The spans in pre-order: each before its children, which are by start. Times are in units of
    `unit_ns`, rounded down."""

    depth: list[Count]
    """Depth of each span. Its parent is the last row before it with a smaller depth; a span of
    depth 0 has none in the outline."""
    group: list[Count]
    """Group of each span."""
    start: list[int]
    """Start of each span, minus that of the row before; of the first row, minus that of the
    trace."""
    duration: list[Count]
    """Duration of each span."""
    flags: list[Count]
    """Sum of: 1, the span ends before it starts and has the duration 0; 2, it has events; 4, it has
    links; 8, `shared_span_id` as in a trace; 16, its parent is not stored, or its ancestors form a
    cycle."""


class OutlineTree(Response):
    """The first line of an outline: the tree."""

    trace_id: TraceId
    version: OutlineVersion
    start: Time
    """Start of the first span."""
    duration_ms: Millis
    """Milliseconds from the start of the first span to the end of the last."""
    services: Services
    span_count: Count
    """Number of spans of the whole trace, also where the outline has only the first of them."""
    error_count: Count
    """Number of spans in error."""
    complete: bool
    """Whether the root span is stored, and the parent of every other span."""
    unit_ns: Annotated[int, Field(examples=[1, 1000])]
    """Nanoseconds of a unit of time: 1000 in large traces, else 1."""
    span: OutlineSpan | None
    """Where the span is that the request names; null if it names none, or the outline does not have
    it."""
    dictionaries: OutlineDictionaries
    """Texts of the groups."""
    groups: OutlineGroups
    """Groups of spans that have the same texts."""
    columns: OutlineColumns
    """The spans."""


class SelfTimes(Model):
    """The spans whose self time is not their duration, as columns."""

    row: list[Count]
    """Row of each, minus the row before in the list."""
    time: list[Count]
    """Self time of each: in which none of its children ran."""


class CriticalSegments(Model):
    """The critical path: of each span on it the segments, the parts of its time in which it waited
    for none of its children on the path. Rows are given minus the row before in the list."""

    whole: list[Count]
    """Rows of the spans whose only segment is from start to end."""
    row: list[Count]
    """Rows of the other critical spans."""
    count: list[Count]
    """Number of segments of each of these; a span that waited all the time has one segment without
    length."""
    gap: list[Count]
    """Of each segment of these spans, the time from the end of the span's segment before, or from
    the span's start."""
    length: list[Count]
    """Length of each of these segments."""


class OutlineTimes(Model):
    """The second line of an outline: times of the spans, in units of `unit_ns`."""

    self: SelfTimes
    """Self times; that of every other span is its duration."""
    critical: CriticalSegments
    """Segments of the critical path."""


class SpanDetails(Model):
    row: Row
    span_id: SpanId
    parent_span_id: str = Field(examples=["eee19b7ec3c1b174"])
    """Span id of the parent; empty for a root span."""
    name: Operation
    kind: Kind
    service: Service
    start: Time
    """Start of the span."""
    offset_ms: float
    """Milliseconds from the start of the trace to the start of the span."""
    duration_ms: Millis
    """Duration of the span, in milliseconds."""
    status: str = Field(examples=["Unset", "Ok", "Error"])
    """Status code of the span."""
    status_message: str
    """Status message of the span."""
    scope: str
    """Name of the instrumentation scope that created the span."""
    attributes: Attributes
    resource: Attributes
    events: list[Event]
    """Events of the span, in the order in which they were sent."""
    links: list[Link]
    """Links to other spans."""
    flags: list[Literal["ends_before_start", "shared_span_id"]]
    """What is wrong with the span, as in a trace."""


class TraceSpans(Response):
    """Spans of a trace."""

    trace_id: TraceId
    version: OutlineVersion
    spans: list[SpanDetails]
    """The spans of the rows, in the order in which they were asked for."""


class TraceLog(LinkedLog):
    """A log record of a trace."""

    row: Row | None
    """Row of the record's span in the outline; null if it has none there."""


class TraceLogs(Response):
    """Log records of a trace."""

    trace_id: TraceId
    version: OutlineVersion
    logs: list[TraceLog]
    """Log records of the trace, then records of its processes without a trace id; newest first."""


class TraceMetrics(Response):
    """Metrics of a trace."""

    trace_id: TraceId
    metrics: list[LinkedMetric]
    """Series of metrics with an exemplar of the trace or from its processes."""


class TraceOccurrences(Response):
    """The instances (occurrences) of transactions that a trace belongs to."""

    trace_id: TraceId
    transaction: TransactionReference | None
    """The first of `transactions`; null if there is none."""
    transactions: list[TraceTransaction]
    """The transactions that the trace belongs to: defined ones that match one of its spans, other
    defined ones, then the automatic one."""


# ---- transactions


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
    first: Time
    """Time of the first one."""
    last: Time
    """Time of the last one."""
    example_trace_id: TraceId


class VersionCount(Model):
    """Exceptions of one version of a service."""

    version: str = Field(examples=["1.9.0"])
    """Version of the service (`service.version`); empty if it is not known."""
    count: Count
    """Number of exceptions."""


class ExceptionTransaction(Model):
    """A transaction."""

    id: TransactionId
    name: TransactionName


class ExceptionOfService(Model):
    """Exceptions of the same service, type and message."""

    type: str = Field(examples=["CardDeclined"])
    """Type of the exception."""
    message: str = Field(examples=["order # was declined"])
    """Message, with ids and numbers replaced by `#`."""
    service: Service
    frame: str | None
    """Innermost stack frame in the service's own code, of the newest one; null if there is none."""
    count: Count
    """Number of exceptions."""
    first: Time
    """Time of the first one in the window."""
    last: Time
    """Time of the last one in the window."""
    versions: list[VersionCount]
    """Numbers by the service's version, the greatest first."""
    transactions: list[ExceptionTransaction]
    """Transactions that up to 40 of the traces belong to, the most frequent first."""
    example_trace_id: TraceId | None
    """Trace of the newest one; null if none has a trace."""
    example_span_id: SpanId | None
    """Span of the newest one; null if it is not known."""


class Exceptions(Response):
    """Groups of exceptions in the order of `sort`."""

    exceptions: list[ExceptionOfService]
    """The groups of this page."""
    next_cursor: Cursor


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


# ---- compare


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
    settled_until: SettledUntil


# ---- logs


class LogRecord(Model):
    time: Time
    """Time of the record."""
    severity: str = Field(examples=["ERROR"])
    """Severity as text; the level's name if the record has none."""
    severity_number: Annotated[int, Field(ge=0, le=255)]
    """OTLP's severity number as it was sent; 0 if there is none."""
    level: Level
    event_name: str = Field(examples=["device.app.lifecycle"])
    """Name of the event that the record is; empty if it is none."""
    service: Service
    body: str
    """Body of the record; arrays and maps as JSON."""
    attributes: Attributes
    resource: Attributes
    trace_id: str = Field(examples=["5b8efff798038103d269b633813fc60c"])
    """Trace id of the record; empty if it has none."""
    span_id: str = Field(examples=["eee19b7ec3c1b174"])
    """Span id of the record; empty if it has none."""


class Logs(Response):
    """Log records, newest first."""

    logs: list[LogRecord]
    """The records of this page."""
    next_cursor: Cursor


# ---- services


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


# ---- metrics


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


# ---- attributes


class AttributeKey(Model):
    key: str
    """Key of the attribute."""
    source: Literal["span", "resource", "log"]
    """Whether spans, resources or log records have it."""
    count: Count
    """How often it was counted, in the part of the telemetry that is counted."""


class AttributeKeys(Response):
    attributes: list[AttributeKey]
    """Attribute keys, most frequent first."""
    settled_until: SettledUntil


class AttributeValue(Model):
    value: str
    """Value of the attribute."""
    count: Count
    """How often it was counted, in the part of the telemetry that is counted."""


class AttributeValues(Response):
    key: str
    """Key of the attribute."""
    values: list[AttributeValue]
    """Values, most frequent first."""
    settled_until: SettledUntil


# ---- the ledger


class ServiceAccount(Model):
    service: Service
    stored: Count
    """Number of items stored."""
    late: Count
    """Number of items stored whose own time is more than an hour from their receipt."""


class Account(Model):
    """Counts of items: spans, log records or data points. `received = stored + rejected +
    pending`."""

    received: Count
    """Number of items received."""
    stored: Count
    """Number of items stored in the tables."""
    rejected: Count
    """Number of items rejected."""
    pending: Count
    """Number of items that are on disk and not in the tables yet."""
    late: Count
    """Number of items stored whose own time is more than an hour from their receipt."""
    mended: Count
    """Number of items received and changed: odd text replaced, a missing time set, or the invalid
    ids of a log record removed."""
    redacted: Count
    """Number of items received from which secrets were removed."""
    unreadable_requests: Count
    """Number of requests that could not be parsed; their items cannot be counted."""
    refused_requests: Count
    """Number of requests that were refused; their senders were told to retry later."""
    reasons: dict[str, Count]
    """Number of items rejected, by reason."""
    services: list[ServiceAccount]
    """Items stored, by service."""


class MinuteAccount(Account):
    """The account of one minute."""

    time: Time
    """Start of the minute."""


class SignalAccount(Account):
    """The account of one signal."""

    signal: Literal["traces", "logs", "metrics"]
    """The signal."""
    series: list[MinuteAccount]
    """The account by minute."""


class Expired(Model):
    """A partition (a day of a table) that was dropped to keep the database below its limit."""

    time: str = Field(examples=["2026-11-22T10:00:00Z"])
    """Time when it was dropped."""
    table: str
    """Name of the table."""
    partition: str
    """Name of the partition."""
    rows: Count
    """Number of rows dropped."""
    bytes: Count
    """Size on disk, in bytes."""
    reason: str
    """Why it was dropped."""


class Outage(Model):
    """A time during which no collector ran."""

    start: Time
    """End of the last minute in which a collector ran."""
    end: Time
    """Start of the first minute in which one ran again, or the end of the window."""


class Ledger(WindowResponse):
    signals: list[SignalAccount]
    """The account of each signal."""
    unreadable_requests: Count
    """Number of requests that could not be parsed, over all signals."""
    expired: list[Expired]
    """Partitions that were dropped in the window."""
    outages: list[Outage]
    """Times in the window during which no collector ran."""


# ---- definitions


class DefinitionsBody(Definitions):
    """Definitions, as PUT takes them. The other members are those of an answer, and ignored: an
    answer of GET can be sent unchanged."""

    revision: object = None
    """Ignored."""
    origin: object = None
    """Ignored."""
    truncated: object = None
    """Ignored."""
    sql: object = None
    """Ignored."""


class DefinitionsAnswer(Model):
    """The definitions in force."""

    revision: str
    """The revision's number, which is also the ETag. Every change makes a new revision."""
    origin: str
    """The file that the definitions come from, or `api`."""
    transactions: list[Definition]
    """The definitions of business transactions."""
    truncated: bool = False
    """Always false."""
    sql: list[str] = Field(default_factory=list)
    """With `explain=true`: the statements that produced the response, ready to be run again."""


class Endpoints(Model):
    """URLs that the process serves; empty for what it does not serve."""

    otlp_http: str = Field(examples=["http://127.0.0.1:4318"])
    """OTLP over HTTP."""
    otlp_grpc: str = Field(examples=["http://127.0.0.1:4317"])
    """OTLP over gRPC."""
    api: str = Field(examples=["http://127.0.0.1:4319"])
    """The API and the web UI."""
    clickhouse: str = Field(examples=["http://127.0.0.1:8123"])
    """ClickHouse's HTTP protocol."""


class Setup(Model):
    """How this clew is set up."""

    version: str = Field(examples=["0.1.0"])
    """Version of clew."""
    endpoints: Endpoints
    """Its addresses."""
    api_keys: bool
    """Whether clients need an API key."""
