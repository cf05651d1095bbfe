"""Nezha's rows as OTLP export requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from .nezha import CLIENT, INTERNAL, SERVER, NezhaDay, Point, Record, Span, service_of

REQUEST = 10_000  # items, about
CPU = "k8s.pod.cpu_limit_utilization"
KINDS = {
    SERVER: trace_pb2.Span.SPAN_KIND_SERVER,
    CLIENT: trace_pb2.Span.SPAN_KIND_CLIENT,
    INTERNAL: trace_pb2.Span.SPAN_KIND_INTERNAL,
}

ItemT = TypeVar("ItemT", Span, Record, Point)


def requests(day: NezhaDay) -> Iterator[tuple[str, bytes]]:
    """The day's export requests in order of time: path and body of each."""
    for spans in _portions(sorted(day.spans, key=lambda span: span.start)):
        resources = [
            ResourceSpans(
                resource=_resource(pod), scope_spans=[ScopeSpans(spans=map(_span, items))]
            )
            for pod, items in _by_pod(spans)
        ]
        yield "/v1/traces", ExportTraceServiceRequest(resource_spans=resources).SerializeToString()
    for records in _portions(sorted(day.records, key=lambda record: record.time)):
        logs = [
            ResourceLogs(
                resource=_resource(pod),
                scope_logs=[ScopeLogs(log_records=map(_record, items))],
            )
            for pod, items in _by_pod(records)
        ]
        yield "/v1/logs", ExportLogsServiceRequest(resource_logs=logs).SerializeToString()
    for points in _portions(day.points):
        metrics = [
            ResourceMetrics(
                resource=_resource(pod), scope_metrics=[ScopeMetrics(metrics=[_gauge(items)])]
            )
            for pod, items in _by_pod(points)
        ]
        body = ExportMetricsServiceRequest(resource_metrics=metrics).SerializeToString()
        yield "/v1/metrics", body


def _portions(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    for start in range(0, len(items), REQUEST):
        yield items[start : start + REQUEST]


def _by_pod(items: Iterable[ItemT]) -> Iterable[tuple[str, list[ItemT]]]:
    by_pod = defaultdict(list)
    for item in items:
        by_pod[item.pod].append(item)
    return by_pod.items()


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _resource(pod: str) -> Resource:
    return Resource(
        attributes=[
            _text("service.name", service_of(pod)),
            _text("service.instance.id", pod),
            _text("k8s.pod.name", pod),
        ]
    )


def _span(span: Span) -> trace_pb2.Span:
    return trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace),
        span_id=bytes.fromhex(span.id),
        parent_span_id=bytes.fromhex(span.parent),
        name=span.name,
        kind=KINDS[span.kind],
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
    )


def _record(record: Record) -> LogRecord:
    attributes = []
    if record.function:
        line = KeyValue(key="code.line.number", value=AnyValue(int_value=record.line))
        attributes = [_text("code.function.name", record.function), line]
    return LogRecord(
        time_unix_nano=record.time,
        observed_time_unix_nano=record.time,
        severity_text=record.severity,
        body=AnyValue(string_value=record.body),
        trace_id=bytes.fromhex(record.trace),
        span_id=bytes.fromhex(record.span),
        attributes=attributes,
    )


def _gauge(points: Sequence[Point]) -> Metric:
    data_points = [
        NumberDataPoint(time_unix_nano=point.time, as_double=point.value) for point in points
    ]
    return Metric(name=CPU, unit="1", gauge=Gauge(data_points=data_points))
