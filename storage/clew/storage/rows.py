"""The rows of a small segment, decoded in Python.

To plan a landing table's view takes the engine longer than Python takes for a few hundred items
(ADR 0029). The rules are those of the views in schema/004*.sql and schema/005*.sql; what a base
table has a default for is left to the engine. tests/integration/test_direct_inserts.py stores the
same segments both ways and compares every column.
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from binascii import hexlify
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from clew.storage.errors import NestedValues
from clew.storage.formats import MAP, Map, encode_string
from clew.storage.kinds import METRIC_KINDS
from clew.storage.messages import message_class

Columns = Mapping[str, str]  # types by name
Row = tuple[Any, ...]

SECOND = 10**9  # nanoseconds
LAST_SECOND = (1 << 32) - 1  # the last that a DateTime has
WORD = 1 << 64
NO_ID = bytes(16)
NO_MAP: Map = (0, b"", b"")

# The first byte of an encoded AnyValue says what kind of value it is.
STRING, BOOL, INT, DOUBLE, BYTES = 0x0A, 0x10, 0x18, 0x21, 0x3A
NESTED = (0x2A, 0x32)
# The letters of AttributeTypes, in place of these bytes (schema/0220).
LETTERS = bytes.maketrans(b"\n\x10\x18!:\0", b"sbidye")

SPAN_KINDS = (b"Unspecified", b"Internal", b"Server", b"Client", b"Producer", b"Consumer")
STATUSES = (b"Unset", b"Ok", b"Error")


@dataclass(frozen=True)
class Rows:
    """Rows of one table: the types of their columns by name, and their values in that order."""

    table: str
    columns: Columns
    rows: Sequence[Row]


def decode(signal: str, requests: bytes) -> list[Rows]:
    """The rows of a segment's requests, by table; `signal` is its name. Raises NestedValues, and
    protobuf's DecodeError for bytes that it cannot parse."""
    return [rows for rows in _DECODERS[signal](requests) if rows.rows]


def double_text(value: float) -> str:
    """A double as ECMAScript prints it."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    shortest = repr(value)
    mantissa, _, exponent = shortest.partition("e")
    if not exponent:
        return shortest.removesuffix(".0")
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(shortest), "f")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"


# ---- values


_Entry = tuple[bytes, bytes, bytes, bytes]  # a key; it and its text, encoded; the value's type


class _Attributes:
    """Encodes attributes, every distinct one once."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Entry] = {}
        self._message = message_class("KeyValue")

    def encode(self, attributes: Sequence[bytes], *, sort: bool = False) -> tuple[Map, bytes]:
        """Attributes as a Map, and the type of each as a byte. Of a key that is there twice, the
        first value counts."""
        known = self._known
        entries = [known.get(attribute) or self._read(attribute) for attribute in attributes]
        if not entries:
            return NO_MAP, b""
        names, keys, texts, types = zip(*entries, strict=True)
        if sort or len(set(names)) < len(names):
            first: dict[bytes, _Entry] = {}
            for entry in entries:
                first.setdefault(entry[0], entry)
            entries = sorted(first.values()) if sort else list(first.values())
            _, keys, texts, types = zip(*entries, strict=True)
        return (len(keys), b"".join(keys), b"".join(texts)), b"".join(types)

    def map(self, attributes: Sequence[bytes], *, sort: bool = False) -> Map:
        return self.encode(attributes, sort=sort)[0]

    def find(self, attributes: Sequence[bytes], key: bytes) -> bytes:
        """The text of the first value with this key; empty if there is none."""
        for attribute in map(self._message.FromString, attributes):
            if attribute.key == key:
                return _text(attribute.value)
        return b""

    def _read(self, attribute: bytes) -> _Entry:
        message = self._message.FromString(attribute)
        text = encode_string(_text(message.value))
        entry = (message.key, encode_string(message.key), text, message.value[:1] or b"\0")
        self._known[attribute] = entry
        return entry


def _text(value: bytes) -> bytes:
    """The text of an encoded AnyValue (the function clew_tagged_value)."""
    size = len(value)
    tag = value[0] if size else 0
    if tag == STRING and 1 < size < 130 and value[1] == size - 2:
        return value[2:]
    if tag in (STRING, BYTES):
        content = value[2 + (size > 129) + (size > 16386) + (size > 2097155) :]
        length = len(content)
        if value[1:2] != bytes((length % 128 + 128 * (length > 127),)):
            raise NestedValues("a length is not written in the shortest way")
        return content if tag == STRING else b64encode(content)
    if tag in NESTED:
        raise NestedValues("an attribute or a body is an array or a map")
    if tag == INT:
        number = sum((byte & 127) << 7 * place for place, byte in enumerate(value[1:])) % WORD
        return b"%d" % _signed(number)
    if tag == BOOL:
        return b"true" if value.endswith(b"\x01") else b"false"
    if tag == DOUBLE:
        return double_text(struct.unpack("<d", value[1:9])[0]).encode()
    return b""


def _signed(number: int) -> int:
    """The Int64 with the bits of a UInt64."""
    return number - WORD if number >> 63 else number


def _id(value: bytes) -> bytes:
    """An id in hex; empty if it is all zeros (the function clew_id)."""
    return b"" if value <= NO_ID else hexlify(value)


def _name(names: Sequence[bytes], number: int) -> bytes:
    return names[number] if 0 <= number < len(names) else b""


def _second(nanoseconds: int) -> int:
    return min(nanoseconds // SECOND, LAST_SECOND)


# ---- traces

SPANS: Columns = {
    "Segment": "UInt64",
    "ServiceName": "String",
    "ResourceAttributes": MAP,
    "ScopeName": "String",
    "ScopeVersion": "String",
    "ScopeAttributes": MAP,
    "Timestamp": "DateTime64(9)",
    "TraceId": "String",
    "SpanId": "String",
    "ParentSpanId": "String",
    "TraceState": "String",
    "SpanName": "String",
    "SpanKind": "String",
    "SpanAttributes": MAP,
    "Duration": "UInt64",
    "EndsBeforeStart": "Bool",
    "StatusCode": "String",
    "StatusMessage": "String",
    "AttributeTypes": "String",
    "Events.Timestamp": "Array(DateTime64(9))",
    "Events.Name": "Array(String)",
    "Events.Attributes": f"Array({MAP})",
    "Links.TraceId": "Array(String)",
    "Links.SpanId": "Array(String)",
    "Links.TraceState": "Array(String)",
    "Links.Attributes": f"Array({MAP})",
}


def _spans(requests: bytes) -> list[Rows]:
    request, attributes = message_class("Traces").FromString(requests), _Attributes()
    rows = []
    for resource in request.resource_spans:
        encoded = resource.resource.attributes
        service = attributes.find(encoded, b"service.name")
        resource_map, resource_types = attributes.encode(encoded)
        for spans in resource.scope_spans:
            scope = spans.scope
            scope_map, scope_types = attributes.encode(scope.attributes)
            shared = (request.segment, service, resource_map, scope.name, scope.version, scope_map)
            types = b"|".join((resource_types, scope_types, b""))
            rows += [(*shared, *_span(span, attributes, types)) for span in spans.spans]
    return [Rows("otel_traces", SPANS, rows)]


def _span(span: Any, attributes: _Attributes, shared_types: bytes) -> Row:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    ends_before_start = _signed(end) < _signed(start)
    duration = 0 if ends_before_start else (end - start) % WORD
    span_map, types = attributes.encode(span.attributes)
    events, event_types = _events(span.events, attributes, start)
    links, link_types = _links(span.links, attributes)
    all_types = b"|".join((shared_types + types, event_types, link_types))
    status = span.status
    return (
        start,
        _id(span.trace_id),
        _id(span.span_id),
        _id(span.parent_span_id),
        span.trace_state,
        span.name,
        _name(SPAN_KINDS, span.kind),
        span_map,
        duration if duration < WORD >> 1 else 0,
        ends_before_start,
        _name(STATUSES, status.code),
        status.message,
        all_types.translate(LETTERS),
        *events,
        *links,
    )


def _events(events: Sequence[Any], attributes: _Attributes, start: int) -> tuple[Row, bytes]:
    """The columns of a span's events, and the types of their attributes."""
    if not events:
        return ((), (), ()), b""
    maps, types = zip(*(attributes.encode(event.attributes) for event in events), strict=True)
    times = [event.time_unix_nano or start for event in events]
    return (times, [event.name for event in events], maps), b",".join(types)


def _links(links: Sequence[Any], attributes: _Attributes) -> tuple[Row, bytes]:
    """The columns of a span's links, and the types of their attributes."""
    if not links:
        return ((), (), (), ()), b""
    maps, types = zip(*(attributes.encode(link.attributes) for link in links), strict=True)
    traces, spans = (
        [_id(getattr(link, name)) for link in links] for name in ("trace_id", "span_id")
    )
    return (traces, spans, [link.trace_state for link in links], maps), b",".join(types)


# ---- logs

RECORDS: Columns = {
    "Segment": "UInt64",
    "ServiceName": "String",
    "ResourceAttributes": MAP,
    "ResourceSchemaUrl": "String",
    "ScopeSchemaUrl": "String",
    "ScopeName": "String",
    "ScopeVersion": "String",
    "ScopeAttributes": MAP,
    "Timestamp": "DateTime64(9)",
    "TraceId": "String",
    "SpanId": "String",
    "TraceFlags": "UInt8",
    "SeverityText": "String",
    "SeverityNumber": "UInt8",
    "Body": "String",
    "LogAttributes": MAP,
    "EventName": "String",
}


def _records(requests: bytes) -> list[Rows]:
    request, attributes = message_class("Logs").FromString(requests), _Attributes()
    rows = []
    for resource in request.resource_logs:
        encoded = resource.resource.attributes
        service = attributes.find(encoded, b"service.name")
        resource_map = attributes.map(encoded)
        for records in resource.scope_logs:
            scope = records.scope
            shared = (
                *(request.segment, service, resource_map, resource.schema_url, records.schema_url),
                *(scope.name, scope.version, attributes.map(scope.attributes)),
            )
            rows += [(*shared, *_record(record, attributes)) for record in records.log_records]
    return [Rows("otel_logs", RECORDS, rows)]


def _record(record: Any, attributes: _Attributes) -> Row:
    return (
        record.time_unix_nano or record.observed_time_unix_nano,
        _id(record.trace_id),
        _id(record.span_id),
        record.flags & 255,
        record.severity_text,
        record.severity_number & 255,
        _text(record.body),
        attributes.map(record.attributes),
        record.event_name,
    )


# ---- metrics

POINTS: Columns = {
    "Segment": "UInt64",
    "ServiceName": "String",
    "ResourceAttributes": MAP,
    "ResourceSchemaUrl": "String",
    "ScopeName": "String",
    "ScopeVersion": "String",
    "ScopeAttributes": MAP,
    "ScopeDroppedAttrCount": "UInt32",
    "ScopeSchemaUrl": "String",
    "MetricName": "String",
    "MetricDescription": "String",
    "MetricUnit": "String",
    "Attributes": MAP,
    "StartTimeUnix": "DateTime",
    "StartTimeUnixNanos": "UInt32",
    "TimeUnix": "DateTime",
    "TimeUnixNanos": "UInt32",
    "Flags": "UInt32",
}
EXEMPLARS: Columns = {
    "Exemplars.FilteredAttributes": f"Array({MAP})",
    "Exemplars.TimeUnix": "Array(DateTime)",
    "Exemplars.Value": "Array(Float64)",
    "Exemplars.SpanId": "Array(String)",
    "Exemplars.TraceId": "Array(String)",
}
TEMPORALITY: Columns = {"AggregationTemporality": "Int32"}
DISTRIBUTION: Columns = {
    "Count": "UInt64", "Sum": "Float64", "Min": "Float64", "Max": "Float64",
    "HasSum": "Bool", "HasMin": "Bool", "HasMax": "Bool",
}  # fmt: skip


def _points(requests: bytes) -> list[Rows]:
    request, attributes = message_class("Metrics").FromString(requests), _Attributes()
    rows: dict[str, list[Row]] = {kind: [] for kind in METRIC_KINDS}
    for resource in request.resource_metrics:
        encoded = resource.resource.attributes
        service = attributes.find(encoded, b"service.name")
        resource_map = attributes.map(encoded)
        for metrics in resource.scope_metrics:
            scope = metrics.scope
            shared = (
                *(request.segment, service, resource_map, resource.schema_url, scope.name),
                *(scope.version, attributes.map(scope.attributes), scope.dropped_attributes_count),
                metrics.schema_url,
            )
            for metric in metrics.metrics:
                head = (*shared, metric.name, metric.description, metric.unit)
                for kind in filter(metric.HasField, METRIC_KINDS):
                    rows[kind] += _points_of(kind, getattr(metric, kind), head, attributes)
    return [
        Rows(f"otel_metrics_{kind}", {**POINTS, **_KINDS[kind][0]}, points)
        for kind, points in rows.items()
    ]


def _points_of(kind: str, metric: Any, head: Row, attributes: _Attributes) -> Iterator[Row]:
    values_of = _KINDS[kind][1]
    for point in metric.data_points:
        start, time = point.start_time_unix_nano, point.time_unix_nano
        yield (
            *head,
            attributes.map(point.attributes, sort=True),
            *(_second(start), start % SECOND, _second(time), time % SECOND, point.flags),
            *values_of(metric, point, attributes),
        )


def _number(point: Any) -> float:
    return float(point.as_int) or point.as_double


def _exemplars(point: Any, attributes: _Attributes) -> Row:
    exemplars = point.exemplars
    if not exemplars:
        return ((),) * len(EXEMPLARS)
    return (
        [attributes.map(exemplar.filtered_attributes) for exemplar in exemplars],
        [_second(exemplar.time_unix_nano) for exemplar in exemplars],
        [_number(exemplar) for exemplar in exemplars],
        [hexlify(exemplar.span_id) or b"0" * 16 for exemplar in exemplars],
        [hexlify(exemplar.trace_id) or b"0" * 32 for exemplar in exemplars],
    )


def _gauge(_: Any, point: Any, attributes: _Attributes) -> Row:
    return (_number(point), *_exemplars(point, attributes))


def _sum(metric: Any, point: Any, attributes: _Attributes) -> Row:
    temporality = (metric.aggregation_temporality, metric.is_monotonic)
    return (_number(point), *_exemplars(point, attributes), *temporality)


def _distribution(point: Any) -> Row:
    known = [point.HasField(name) for name in ("sum", "min", "max")]
    return (point.count, point.sum, point.min, point.max, *known)


def _histogram(metric: Any, point: Any, attributes: _Attributes) -> Row:
    return (
        *_distribution(point),
        *(point.bucket_counts, point.explicit_bounds),
        *_exemplars(point, attributes),
        metric.aggregation_temporality,
    )


def _exponential_histogram(metric: Any, point: Any, attributes: _Attributes) -> Row:
    return (
        *_distribution(point),
        *(point.scale, point.zero_count, point.positive.offset, point.positive.bucket_counts),
        *(point.negative.offset, point.negative.bucket_counts),
        *_exemplars(point, attributes),
        metric.aggregation_temporality,
    )


def _summary(_: Any, point: Any, attributes: _Attributes) -> Row:
    quantiles = point.quantile_values
    return (
        *(point.count, point.sum),
        *(
            [quantile.quantile for quantile in quantiles],
            [quantile.value for quantile in quantiles],
        ),
    )


# The columns of each kind beside POINTS, and their values of (metric, point, attributes).
_KINDS: Mapping[str, tuple[Columns, Callable[[Any, Any, _Attributes], Row]]] = {
    "gauge": ({"Value": "Float64", **EXEMPLARS}, _gauge),
    "sum": ({"Value": "Float64", **EXEMPLARS, **TEMPORALITY, "IsMonotonic": "Bool"}, _sum),
    "histogram": (
        {**DISTRIBUTION, "BucketCounts": "Array(UInt64)", "ExplicitBounds": "Array(Float64)",
         **EXEMPLARS, **TEMPORALITY},
        _histogram,
    ),
    "exponential_histogram": (
        {**DISTRIBUTION, "Scale": "Int32", "ZeroCount": "UInt64",
         "PositiveOffset": "Int32", "PositiveBucketCounts": "Array(UInt64)",
         "NegativeOffset": "Int32", "NegativeBucketCounts": "Array(UInt64)",
         **EXEMPLARS, **TEMPORALITY},
        _exponential_histogram,
    ),
    "summary": (
        {"Count": "UInt64", "Sum": "Float64",
         "ValueAtQuantiles.Quantile": "Array(Float64)", "ValueAtQuantiles.Value": "Array(Float64)"},
        _summary,
    ),
}  # fmt: skip
_DECODERS: Mapping[str, Callable[[bytes], list[Rows]]] = {
    "traces": _spans,
    "logs": _records,
    "metrics": _points,
}
