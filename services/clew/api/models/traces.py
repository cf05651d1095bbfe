"""Traces: the search, and one trace."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clew.api.models.common import (
    Attributes,
    Count,
    Cursor,
    Kind,
    LinkedLog,
    LinkedMetric,
    Millis,
    Operation,
    Response,
    Service,
    Services,
    SpanId,
    Time,
    TraceId,
    TransactionId,
    TransactionName,
)
from clew.api.reference import Model


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


class SpanContent(Model):
    """A span as it was sent, with its place in the trace."""

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
    """What is wrong with the span. `ends_before_start`: its duration is stored as 0 ms.
    `shared_span_id`: the server's span was sent with the id of the client's, as Zipkin's are, and
    is shown under another id, as a child of the client's span."""


class Span(SpanContent):
    self_time_ms: Millis
    """Milliseconds during which none of the span's children ran."""
    critical: bool
    """Whether the span is on the trace's critical path."""


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
