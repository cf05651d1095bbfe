"""A request of each signal in which every field that OTLP has is set, and the rows it becomes.

The rows are written by the rules of the OpenTelemetry Collector's ClickHouse exporter, in the form
that the engine's JSONEachRow gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.any_values import any_value

START = 1_763_781_234_123_456_789
TIME = "2025-11-22 03:13:54.123456789"
SECOND = "2025-11-22 03:13:54"
TRACE, SPAN, PARENT = bytes(range(16)), bytes(range(1, 9)), bytes(range(8, 16))
HEX = {"TraceId": TRACE.hex(), "SpanId": SPAN.hex()}

# What OTLP has and no column is there for.
NOT_STORED = {
    "AnyValue.string_value_strindex",  # profiles only, as is the next
    "KeyValue.key_strindex",
    "Resource.dropped_attributes_count",
    "Resource.entity_refs",
    "EntityRef.schema_url",
    "EntityRef.type",
    "EntityRef.id_keys",
    "EntityRef.description_keys",
    "Span.flags",
    "Span.dropped_attributes_count",
    "Span.dropped_events_count",
    "Span.dropped_links_count",
    "Event.dropped_attributes_count",
    "Link.dropped_attributes_count",
    "Link.flags",
    "LogRecord.dropped_attributes_count",
    "Metric.metadata",
    "ExponentialHistogramDataPoint.zero_threshold",
    # of spans
    "traces: ResourceSpans.schema_url",
    "traces: ScopeSpans.schema_url",
    "traces: InstrumentationScope.dropped_attributes_count",
    # of log records, whose time is taken from it only where they have none of their own
    "logs: LogRecord.observed_time_unix_nano",
    "logs: InstrumentationScope.dropped_attributes_count",
}

SENT = {
    "text": "shop",
    "yes": True,
    "no": False,
    "int": -(2**63),
    "double": 0.5,
    "bytes": b"\x00\xff\x10",
    "array": [1, "x", None, [b"\x01"]],
    "map": {"b": 1.5, "a": {"c": True}},
    "none": None,
}
STORED = {
    "text": "shop",
    "yes": "true",
    "no": "false",
    "int": "-9223372036854775808",
    "double": "0.5",
    "bytes": "AP8Q",
    "array": '[1,"x",null,["AQ=="]]',
    "map": '{"a":{"c":true},"b":1.5}',
    "none": "",
    "indexed": "",
}


def put(attributes: Any) -> None:
    """One attribute of each kind of value."""
    for key, value in SENT.items():
        attributes.add(key=key, key_strindex=1).value.CopyFrom(any_value(value))
    attributes.add(key="indexed").value.string_value_strindex = 7


def _fill(group: Any, scope: Any, service: str) -> None:
    group.schema_url, scope.schema_url = "https://example.com/r", "https://example.com/s"
    group.resource.attributes.add(key="service.name").value.string_value = service
    put(group.resource.attributes)
    group.resource.dropped_attributes_count = 1
    group.resource.entity_refs.add(
        schema_url="https://example.com/e", type="service", id_keys=["text"], description_keys=["int"]
    )  # fmt: skip
    scope.scope.name, scope.scope.version = "a library", "1.0"
    scope.scope.dropped_attributes_count = 2
    put(scope.scope.attributes)


def traces(service: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    scope = group.scope_spans.add()
    _fill(group, scope, service)
    span = scope.spans.add(
        trace_id=TRACE, span_id=SPAN, parent_span_id=PARENT, trace_state="a=1,b=2", name="POST /pay",
        kind=2, start_time_unix_nano=START, end_time_unix_nano=START + 1_500_000_001, flags=0x301,
        dropped_attributes_count=3, dropped_events_count=4, dropped_links_count=5,
    )  # fmt: skip
    put(span.attributes)
    span.status.code, span.status.message = 2, "declined"
    event = span.events.add(time_unix_nano=START + 1, name="tried", dropped_attributes_count=6)
    put(event.attributes)
    link = span.links.add(
        trace_id=TRACE[::-1], span_id=SPAN[::-1], trace_state="c=3", flags=0x301, dropped_attributes_count=7
    )  # fmt: skip
    put(link.attributes)
    return request


def logs(service: str) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    scope = group.scope_logs.add()
    _fill(group, scope, service)
    record = scope.log_records.add(
        time_unix_nano=START, observed_time_unix_nano=START + 5, severity_number=17, severity_text="ERROR",
        trace_id=TRACE, span_id=SPAN, flags=0x101, event_name="order.failed", dropped_attributes_count=3,
    )  # fmt: skip
    record.body.CopyFrom(any_value({"said": ["no"]}))
    put(record.attributes)
    return request


def metrics(service: str) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    scope = group.scope_metrics.add()
    _fill(group, scope, service)
    points = {kind: _point(scope, kind) for kind in POINTS}
    points["gauge"].as_double = 2.5
    points["sum"].as_int = 2**53
    sum_ = scope.metrics[1].sum
    sum_.aggregation_temporality, sum_.is_monotonic = 2, True
    histogram = points["histogram"]
    histogram.count, histogram.sum, histogram.min, histogram.max = 2**63, 12.5, 0.5, 4.5
    histogram.bucket_counts.extend([1, 2, 2**64 - 1])
    histogram.explicit_bounds.extend([1.0, 2.5])
    scope.metrics[2].histogram.aggregation_temporality = 1
    exponential = points["exponential_histogram"]
    exponential.count, exponential.sum, exponential.scale, exponential.zero_count = 9, -4.0, -3, 2
    exponential.min, exponential.max, exponential.zero_threshold = -8.0, 8.0, 0.001
    exponential.positive.offset, exponential.negative.offset = -5, 6
    exponential.positive.bucket_counts.extend([1, 0, 300])
    exponential.negative.bucket_counts.extend([4])
    scope.metrics[3].exponential_histogram.aggregation_temporality = 2
    summary = points["summary"]
    summary.count, summary.sum = 3, 6.5
    summary.quantile_values.add(quantile=0.5, value=1.0)
    summary.quantile_values.add(quantile=0.99, value=9.0)
    return request


def _point(scope: Any, kind: str) -> Any:
    metric = scope.metrics.add(name=f"a.{kind}", description="what it is", unit="s")
    put(metric.metadata)
    point = getattr(metric, kind).data_points.add(
        start_time_unix_nano=START, time_unix_nano=START + 10**9, flags=1
    )
    put(point.attributes)
    if kind != "summary":
        for value in ({"as_double": 1.5}, {"as_int": 7}):
            made = point.exemplars.add(time_unix_nano=START, trace_id=TRACE, span_id=SPAN, **value)
            put(made.filtered_attributes)
    return point


REQUESTS = {"traces": traces, "logs": logs, "metrics": metrics}


def expected(service: str) -> dict[str, dict[str, Any]]:
    """The row of each table."""
    resource = {"service.name": service} | STORED
    span = {
        "Timestamp": TIME, **HEX, "ParentSpanId": PARENT.hex(), "TraceState": "a=1,b=2", "SpanName": "POST /pay",
        "SpanKind": "Server", "ServiceName": service, "ResourceAttributes": resource,
        "ScopeName": "a library", "ScopeVersion": "1.0", "SpanAttributes": STORED, "Duration": 1_500_000_001,
        "StatusCode": "Error", "StatusMessage": "declined",
        "Events.Timestamp": ["2025-11-22 03:13:54.123456790"], "Events.Name": ["tried"],
        "Events.Attributes": [STORED], "Links.TraceId": [TRACE[::-1].hex()], "Links.SpanId": [SPAN[::-1].hex()],
        "Links.TraceState": ["c=3"], "Links.Attributes": [STORED], "Environment": "", "ServiceVersion": "",
        "ScopeAttributes": STORED,
    }  # fmt: skip
    log = {
        "Timestamp": TIME, **HEX, "TraceFlags": 1, "SeverityText": "ERROR", "SeverityNumber": 17,
        "ServiceName": service, "Body": '{"said":["no"]}', "ResourceSchemaUrl": "https://example.com/r",
        "ResourceAttributes": resource, "ScopeSchemaUrl": "https://example.com/s", "ScopeName": "a library",
        "ScopeVersion": "1.0", "ScopeAttributes": STORED, "LogAttributes": STORED, "EventName": "order.failed",
    }  # fmt: skip
    point = {
        "ResourceAttributes": resource, "ResourceSchemaUrl": "https://example.com/r", "ScopeName": "a library",
        "ScopeVersion": "1.0", "ScopeAttributes": STORED, "ScopeDroppedAttrCount": 2,
        "ScopeSchemaUrl": "https://example.com/s", "ServiceName": service, "MetricDescription": "what it is",
        "MetricUnit": "s", "Attributes": STORED, "StartTimeUnix": SECOND, "TimeUnix": "2025-11-22 03:13:55", "Flags": 1,
    }  # fmt: skip
    exemplars = {
        "Exemplars.FilteredAttributes": [STORED] * 2, "Exemplars.TimeUnix": [SECOND] * 2, "Exemplars.Value": [1.5, 7],
        "Exemplars.SpanId": [SPAN.hex()] * 2, "Exemplars.TraceId": [TRACE.hex()] * 2,
    }  # fmt: skip
    own = {
        kind: row | point | {"MetricName": f"a.{kind}"} | (exemplars if kind != "summary" else {})
        for kind, row in POINTS.items()
    }
    return {"otel_traces": span, "otel_logs": log} | {
        f"otel_metrics_{kind}": row for kind, row in own.items()
    }


POINTS: dict[str, dict[str, Any]] = {
    "gauge": {"Value": 2.5},
    "sum": {"Value": 2**53, "AggregationTemporality": 2, "IsMonotonic": True},
    "histogram": {
        "Count": 2**63, "Sum": 12.5, "BucketCounts": [1, 2, 2**64 - 1], "ExplicitBounds": [1, 2.5], "Min": 0.5,
        "Max": 4.5, "AggregationTemporality": 1,
    },
    "exponential_histogram": {
        "Count": 9, "Sum": -4, "Scale": -3, "ZeroCount": 2, "PositiveOffset": -5, "PositiveBucketCounts": [1, 0, 300],
        "NegativeOffset": 6, "NegativeBucketCounts": [4], "Min": -8, "Max": 8, "AggregationTemporality": 2,
    },
    "summary": {
        "Count": 3, "Sum": 6.5, "ValueAtQuantiles.Quantile": [0.5, 0.99], "ValueAtQuantiles.Value": [1, 9],
    },
}  # fmt: skip
TABLES = [
    "otel_traces", "otel_logs", "otel_metrics_gauge", "otel_metrics_sum", "otel_metrics_histogram",
    "otel_metrics_exponential_histogram", "otel_metrics_summary",
]  # fmt: skip


def fields(descriptor: Descriptor) -> set[str]:
    """`Message.field` of every field that can be reached from a message."""
    found: set[str] = set()
    waiting, seen = [descriptor], {descriptor.full_name}
    while waiting:
        for field in (message := waiting.pop()).fields:
            found.add(f"{message.name}.{field.name}")
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen.add(inner.full_name)
                waiting.append(inner)
    return found


def messages(message: Any) -> Iterator[Message]:
    """A message and all that are in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                yield from messages(inner)


def fields_set(message: Any) -> set[str]:
    """`Message.field` of every field that is set somewhere in it."""
    return {
        f"{inner.DESCRIPTOR.name}.{field.name}"
        for inner in messages(message)
        for field, _ in inner.ListFields()
    }
