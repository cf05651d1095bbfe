"""Spans, log records and points as plain objects, and the OTLP requests that they become."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

SERVER, CLIENT = 2, 3
ERROR = 2
SEVERITIES = {"INFO": 9, "WARN": 13, "ERROR": 17}
MILLISECOND, SECOND = 10**6, 10**9

Attributes = Mapping[str, str | int]


@dataclass(frozen=True)
class Process:
    """An instance of a service."""

    service: str
    instance: str
    version: str = "1.0.0"

    def resource(self) -> list[KeyValue]:
        return _attributes(
            {
                "service.name": self.service,
                "service.instance.id": self.instance,
                "service.version": self.version,
                "deployment.environment.name": "demo",
            }
        )


@dataclass
class Span:
    """Times are nanoseconds since 1970, ids hex; `parent` is empty for a root."""

    trace: str
    id: str
    parent: str
    process: Process
    name: str
    kind: int
    start: int
    end: int
    attributes: dict[str, str | int] = field(default_factory=dict)
    is_error: bool = False


@dataclass(frozen=True)
class Log:
    process: Process
    time: int
    severity: str
    body: str
    trace: str
    span: str
    attributes: Attributes


@dataclass(frozen=True)
class Gauge:
    process: Process
    time: int
    name: str
    unit: str
    value: float


def traces_request(spans: Iterable[Span]) -> ExportTraceServiceRequest:
    by_process: dict[Process, list[Span]] = defaultdict(list)
    for span in spans:
        by_process[span.process].append(span)
    request = ExportTraceServiceRequest()
    for process, group in by_process.items():
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(process.resource())
        scope = resource.scope_spans.add()
        for span in group:
            message = scope.spans.add(
                trace_id=bytes.fromhex(span.trace),
                span_id=bytes.fromhex(span.id),
                parent_span_id=bytes.fromhex(span.parent),
                name=span.name,
                kind=span.kind,
                start_time_unix_nano=span.start,
                end_time_unix_nano=span.end,
                attributes=_attributes(span.attributes),
            )
            if span.is_error:
                message.status.code = ERROR
    return request


def logs_request(logs: Iterable[Log]) -> ExportLogsServiceRequest:
    by_process: dict[Process, list[Log]] = defaultdict(list)
    for log in logs:
        by_process[log.process].append(log)
    request = ExportLogsServiceRequest()
    for process, group in by_process.items():
        resource = request.resource_logs.add()
        resource.resource.attributes.extend(process.resource())
        scope = resource.scope_logs.add()
        for log in group:
            scope.log_records.add(
                time_unix_nano=log.time,
                severity_text=log.severity,
                severity_number=SEVERITIES[log.severity],
                trace_id=bytes.fromhex(log.trace),
                span_id=bytes.fromhex(log.span),
                body=AnyValue(string_value=log.body),
                attributes=_attributes(log.attributes),
            )
    return request


def metrics_request(points: Iterable[Gauge]) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    for point in points:
        resource = request.resource_metrics.add()
        resource.resource.attributes.extend(point.process.resource())
        metric = resource.scope_metrics.add().metrics.add(name=point.name, unit=point.unit)
        metric.gauge.data_points.add(time_unix_nano=point.time, as_double=point.value)
    return request


def _attributes(values: Attributes) -> list[KeyValue]:
    return [
        KeyValue(
            key=key,
            value=AnyValue(int_value=value)
            if isinstance(value, int)
            else AnyValue(string_value=value),
        )
        for key, value in values.items()
    ]
