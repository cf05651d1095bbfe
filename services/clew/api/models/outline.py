"""The outline of a trace and the parts that are read with it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clew.api.models.common import (
    Count,
    LinkedLog,
    LinkedMetric,
    Millis,
    Response,
    Services,
    Time,
    TraceId,
)
from clew.api.models.traces import SpanContent, TraceTransaction, TransactionReference
from clew.api.reference import Model

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


class SpanDetails(SpanContent):
    row: Row


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
