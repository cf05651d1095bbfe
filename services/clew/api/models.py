"""The answers of /api/v1, as the OpenAPI document has them (see clew.api.reference)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clew.analysis.transactions.definitions import Definition, Definitions
from clew.api.reference import Model

Time = Annotated[
    str,
    Field(
        description="RFC 3339, with nanoseconds.",
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$",
        examples=["2026-11-22T10:00:00.000000001Z"],
    ),
]
Millis = Annotated[float, Field(description="Milliseconds.", ge=0, examples=[12.5])]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(description="From 0 to 1.", ge=0, le=1)]
TraceId = Annotated[str, Field(description="Hex.", examples=["5b8efff798038103d269b633813fc60c"])]
SpanId = Annotated[str, Field(description="Hex.", examples=["eee19b7ec3c1b174"])]
TransactionId = Annotated[
    str, Field(description="Stays the same.", pattern=r"^[A-Za-z0-9_-]+$", examples=["checkout"])
]
Attributes = Annotated[
    dict[str, str],
    Field(
        description="Values as text; arrays and maps as JSON.",
        examples=[{"http.route": "/checkout", "order.id": "o-17"}],
    ),
]
Service = Annotated[str, Field(description="service.name", examples=["storefront"])]
Operation = Annotated[str, Field(description="The span's name.", examples=["POST /checkout"])]
Kind = Annotated[str, Field(description="The span's kind.", examples=["Server"])]
Cursor = Annotated[
    str | None, Field(description="`cursor` of the next page; null on the last one.")
]


class Answer(Model):
    truncated: bool
    """There was more than the answer shows."""
    sql: list[str] = Field(default_factory=list)
    """With `explain=true`: the statements that produced the answer, ready to be run again."""


class OfWindow(Answer):
    start: Time
    end: Time


class Durations(Model):
    """Quantiles are within 1 % of a true value; null where nothing was counted."""

    p50: Millis | None
    p90: Millis | None
    p95: Millis | None
    p99: Millis | None
    max: Millis | None


class Rates(Model):
    count: Count
    errors: Count
    error_rate: Share
    per_second: Annotated[float, Field(ge=0)]


# ---- traces


class TraceSummary(Model):
    trace_id: TraceId
    root_service: Service
    root_operation: Operation
    transaction_id: TransactionId | None
    """The automatic transaction that it is; null where it has no entry."""
    start: Time
    end: Time
    duration_ms: Millis
    span_count: Count
    error_count: Count
    services: list[Service]


class Traces(Answer):
    """Newest first."""

    traces: list[TraceSummary]
    next_cursor: Cursor


class Event(Model):
    time: Time
    name: str
    attributes: Attributes


class Link(Model):
    trace_id: TraceId
    span_id: SpanId
    attributes: Attributes


class Span(Model):
    span_id: SpanId
    parent_span_id: SpanId
    """Empty of a root."""
    name: Operation
    kind: Kind
    service: Service
    start: Time
    offset_ms: float
    """From the start of the trace."""
    duration_ms: Millis
    self_time_ms: Millis
    """In which none of its children was running."""
    critical: bool
    """Whether the end of the trace waited for it."""
    status: str = Field(examples=["Unset", "Ok", "Error"])
    status_message: str
    scope: str
    """The instrumentation that made it."""
    attributes: Attributes
    resource: Attributes
    events: list[Event]
    links: list[Link]
    flags: list[Literal["ends_before_start"]]
    """What is odd about it; a span that ends before it starts counts as 0 ms."""


class LinkedLog(Model):
    time: Time
    severity: str = Field(examples=["ERROR"])
    service: Service
    body: str
    attributes: Attributes
    trace_id: TraceId
    """Empty where the record has none."""
    span_id: SpanId
    linked_by: Literal["trace", "resource"]
    """`trace`: it has the trace's id; `resource`: the same process, at the time."""


class MetricPoint(Model):
    time: Time
    value: float | None


class LinkedMetric(Model):
    name: str = Field(examples=["process.cpu.utilization"])
    unit: str = Field(examples=["1"])
    service: Service
    resource: str
    """service.instance.id"""
    attributes: Attributes
    linked_by: Literal["exemplar", "attribute", "resource"]
    """`exemplar`: an exemplar names the trace; `resource`: the same process, at the time."""
    points: list[MetricPoint]
    """The gauge's value, the sum's rate per second, the histogram's p95."""
    correlation: Annotated[float, Field(ge=-1.001, le=1.001)] | None
    """Pearson's, with the transaction's p95; null where there is too little to say."""


class OfTransaction(Model):
    id: TransactionId
    name: str = Field(examples=["storefront: POST /checkout"])
    key: str


class Belonging(OfTransaction):
    source: Literal["auto", "defined"]


class WholeTrace(Model):
    """As GET /api/v1/traces/{trace_id} has it."""

    trace_id: TraceId
    transaction: OfTransaction | None
    """The first of `transactions`."""
    transactions: list[Belonging]
    """What it belongs to: defined transactions that it enters, others, the automatic one."""
    start: Time
    duration_ms: Millis
    services: list[Service]
    span_count: Count
    error_count: Count
    complete: bool
    """Its root is there, and every span's parent."""
    spans: list[Span]
    logs: list[LinkedLog]
    metrics: list[LinkedMetric]


class Trace(WholeTrace, Answer):
    pass


# ---- transactions


class Value(Model):
    sum: float
    """Includes `lost`."""
    lost: float
    """Of occurrences that ended in an error."""
    at_risk: float
    """Of those that ended well, and took longer than the p95."""


class BurnRates(Model):
    """1 spends the error budget exactly."""

    one_hour: Annotated[float, Field(alias="1h", ge=0)]
    six_hours: Annotated[float, Field(alias="6h", ge=0)]
    three_days: Annotated[float, Field(alias="3d", ge=0)]


class SloState(Model):
    objective: Share = Field(examples=[0.995])
    latency_ms: float | None
    """What is slower is not good either."""
    good: Count
    total: Count
    attained: Share | None
    error_budget_left: float
    """1 is all of it; less than 0, more has gone wrong than may."""
    burn_rates: BurnRates


class Transaction(Rates):
    id: TransactionId
    name: str = Field(examples=["storefront: POST /checkout"])
    source: Literal["auto", "defined"]
    service: Service
    operation: Operation
    services: list[Service]
    """Which its traces went through."""
    duration_ms: Durations
    apdex: Share | None
    value: Value | None
    """Null of an automatic transaction."""
    slo: SloState | None


class Overflow(Model):
    """A service whose further names are one transaction."""

    service: Service
    names: Count


class Transactions(OfWindow):
    """The most frequent first, then by id."""

    transactions: list[Transaction]
    overflow: list[Overflow]
    next_cursor: Cursor


class SeriesPoint(Model):
    time: Time
    count: Count
    errors: Count
    p50: Millis | None
    p95: Millis | None
    p99: Millis | None


class Cohort(Model):
    calls_per_trace: Annotated[float, Field(ge=0)]
    self_time_ms_per_trace: Annotated[float, Field(ge=0)]
    share: Share
    critical_share: Share


class BreakdownRow(Model):
    service: Service
    operation: Operation
    kind: Kind
    calls: Count
    self_time_ms: Millis
    share: Share
    """Of all self time."""
    critical_share: Share
    """Of the time that the ends of the traces waited for."""
    slow: Cohort
    """In the traces slower than the p95."""
    typical: Cohort
    """In the others."""
    p95_without_ms: Millis | None
    """What the p95 would be if this took no time."""


class TwoDurations(Model):
    p50: Millis | None
    p95: Millis | None


class Dependency(Model):
    type: str = Field(examples=["database", "external", "queue", "service"])
    name: str = Field(examples=["postgresql"])
    source: Service
    summary: str = Field(examples=["SELECT products"])
    calls: Count
    errors: Count
    error_rate: Share
    calls_per_trace: Annotated[float, Field(ge=0)]
    total_ms: Millis
    duration_ms: TwoDurations


class Sample(Model):
    traces: Count
    """Computed over so many,"""
    of: Count
    """of so many."""
    error: Annotated[float, Field(ge=0)]
    """The greatest standard error of a share; 0 where all traces were settled and read."""


class TracesByKind(Model):
    slowest: list[TraceSummary]
    errors: list[TraceSummary]
    typical: list[TraceSummary]


class ExceptionGroup(Model):
    type: str = Field(examples=["CardDeclined"])
    message: str = Field(examples=["order # was declined"])
    """With ids and numbers replaced."""
    service: Service
    frame: str | None
    """The innermost of the service's own code."""
    count: Count
    first: Time
    last: Time
    example_trace_id: TraceId


class Deployment(Model):
    service: Service
    version: str = Field(examples=["1.9.0"])
    first_seen: Time


class Parts(Answer):
    """What belongs to traces."""

    breakdown: list[BreakdownRow]
    dependencies: list[Dependency]
    sample: Sample
    """How many traces the breakdown and the dependencies were computed over."""
    logs: list[LinkedLog]
    exceptions: list[ExceptionGroup]
    metrics: list[LinkedMetric]
    deployments: list[Deployment]


class JoinedView(Parts, OfWindow):
    transaction: Transaction
    quantile_error: Share
    """Quantiles are this near to a true value."""
    series: list[SeriesPoint]
    traces: TracesByKind


class Step(Model):
    """The first time that a step was reached."""

    name: str
    service: Service
    time: Time
    duration_ms: Millis
    status: Literal["ok", "error"]
    trace_id: TraceId


class Instance(Model):
    """One occurrence. Members that are optional are those of defined transactions."""

    key: str
    trace_ids: list[TraceId]
    start: Time
    end: Time | None = None
    duration_ms: Millis
    """From the first start to the last end, over all its traces."""
    working_ms: Millis | None = None
    """In which any of its spans was running."""
    entry_duration_ms: Millis | None = None
    """Of the span that matched; the last attempt's."""
    attempts: Count | None = None
    status: Literal["ok", "error"]
    user: str | None
    value: float | None
    services: list[Service]
    span_count: Count
    error_count: Count | None = None
    steps: list[Step]


class Instances(Answer):
    """Newest first."""

    instances: list[Instance]
    next_cursor: Cursor


class OneInstance(Parts):
    instance: Instance
    traces: list[WholeTrace]


class FunnelStep(Model):
    name: str
    reached: Count
    drop_off: Share
    """Of those that reached the step before."""
    from_previous_ms: TwoDurations | None
    """Null of the entry."""
    errors: Count
    """Occurrences that ended in an error, and came no further."""
    lost_value: float
    failed: Count
    """Occurrences in which this step was in error."""


class FunnelGroup(Model):
    group: str
    steps: list[FunnelStep]


class DefinedName(Model):
    id: TransactionId
    name: str = Field(examples=["Checkout"])


class Funnel(OfWindow):
    transaction: DefinedName
    by: str | None
    steps: list[FunnelStep]
    """The entry first."""
    groups: list[FunnelGroup]


# ---- compare


class TraceSet(Model):
    start: Time
    end: Time
    traces: Count
    looked_at: Count
    errors: Count
    error_rate: Share | None
    duration_ms: TwoDurations
    sampled: bool
    """Whether a sample was looked at, and not all."""


class AttributeDifference(Model):
    key: str
    value: str
    source: Literal["span", "resource"]
    a_count: Count
    a_share: Share
    b_count: Count
    b_share: Share
    effect: Annotated[float, Field(ge=-1, le=1)]
    """a_share - b_share"""
    p_value: Share
    """How likely as great a difference is where there is none."""


class Side(Model):
    calls_per_trace: Annotated[float, Field(ge=0)]
    self_ms_per_trace: Annotated[float, Field(ge=0)]


class OperationDifference(Model):
    service: Service
    operation: Operation
    kind: Kind
    a: Side
    b: Side
    change_ms: float
    change_calls: float


class Comparison(Answer):
    """The greatest differences first."""

    a: TraceSet
    b: TraceSet
    attributes: list[AttributeDifference]
    operations: list[OperationDifference]


# ---- logs


class LogRecord(Model):
    time: Time
    severity: str = Field(examples=["ERROR"])
    severity_number: Annotated[int, Field(ge=0, le=255)]
    service: Service
    body: str
    attributes: Attributes
    resource: Attributes
    trace_id: TraceId
    """Empty where the record has none."""
    span_id: SpanId


class Logs(Answer):
    """Newest first."""

    logs: list[LogRecord]
    next_cursor: Cursor


# ---- services


class ServiceOperation(Rates):
    operation: Operation
    kind: Kind
    duration_ms: Durations


class ServiceRates(Rates):
    """Its rate is that of the requests it took, or of everything where it took none."""

    service: Service
    operations: list[ServiceOperation]


class Services(OfWindow):
    services: list[ServiceRates]


class Node(Model):
    """What calls and is not called has no rate of its own."""

    id: str = Field(examples=["service:storefront"])
    type: Literal["service", "database", "external", "queue", "unknown"]
    name: str
    calls: Count | None
    errors: Count | None
    error_rate: Share | None
    duration_ms: Durations | None


class Edge(Model):
    source: str = Field(examples=["service:storefront"])
    target: str = Field(examples=["database:postgresql"])
    type: Literal["service", "database", "external", "queue", "consumed"]
    calls: Count
    errors: Count
    error_rate: Share
    per_second: Annotated[float, Field(ge=0)]
    duration_ms: Durations


class ServiceMap(OfWindow):
    nodes: list[Node]
    edges: list[Edge]
    sampled: bool
    """Whether some calls stand for others: more came in than every trace of could be looked at."""


# ---- metrics


class Metric(Model):
    name: str = Field(examples=["http.server.request.duration"])
    type: Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]
    unit: str
    description: str
    services: list[Service]
    is_monotonic: bool


class Metrics(Answer):
    """By name."""

    metrics: list[Metric]
    next_cursor: Cursor


class MetricSeries(Model):
    service: Service
    labels: Attributes
    points: list[MetricPoint]


class MetricQuery(Answer):
    name: str
    unit: str | None
    type: str | None
    """Null where there is no such metric in the window."""
    aggregation: str | None
    step: Count
    """Seconds."""
    series: list[MetricSeries]


# ---- attributes


class AttributeKey(Model):
    key: str
    source: Literal["span", "resource", "log"]
    count: Count


class AttributeKeys(Answer):
    attributes: list[AttributeKey]


class AttributeValue(Model):
    value: str
    count: Count


class AttributeValues(Answer):
    key: str
    values: list[AttributeValue]


# ---- the ledger


class ServiceAccount(Model):
    service: Service
    stored: Count
    late: Count


class Account(Model):
    """In items: spans, log records, data points. received = stored + rejected + pending."""

    received: Count
    stored: Count
    rejected: Count
    pending: Count
    late: Count
    unreadable_requests: Count
    """Requests that could not be parsed; what they held is not known."""
    refused_requests: Count
    reasons: dict[str, Count]
    """How many were rejected, by the reason."""
    services: list[ServiceAccount]


class MinuteAccount(Account):
    time: Time


class SignalAccount(Account):
    signal: Literal["traces", "logs", "metrics"]
    series: list[MinuteAccount]


class Expired(Model):
    """A partition, a day, that was dropped to keep the database below its limit."""

    time: str = Field(examples=["2026-11-22T10:00:00Z"])
    table: str
    partition: str
    rows: Count
    bytes: Count
    reason: str


class Outage(Model):
    """A time in which no collector ran."""

    start: Time
    end: Time


class LedgerAnswer(OfWindow):
    signals: list[SignalAccount]
    unreadable_requests: Count
    expired: list[Expired]
    outages: list[Outage]


# ---- definitions


class DefinitionsBody(Definitions):
    """Definitions, as PUT takes them. The other members are those of an answer, and ignored: an
    answer of GET can be sent unchanged."""

    revision: object = None
    origin: object = None
    truncated: object = None
    sql: object = None


class DefinitionsAnswer(Model):
    """The definitions in force."""

    revision: str
    """The revision's number, which is also the ETag. Every change makes a new revision."""
    origin: str
    """The file that the definitions come from, or `api`."""
    transactions: list[Definition]
    """The definitions of business transactions."""
    truncated: bool = False
    sql: list[str] = Field(default_factory=list)
