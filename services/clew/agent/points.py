"""OTLP's bytes of metrics, redacted in the same pass."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from struct import Struct, pack
from typing import Any

from opentelemetry.sdk.metrics.export import ExponentialHistogram, Gauge, Histogram, Sum

from clew.agent.encoding import Encoder, Groups, field_of_count, field_of_text, field_of_time
from clew.agent.wire import sized, varint

_log = logging.getLogger(__name__)

_SFIXED64, _DOUBLE = Struct("<q"), Struct("<d")


class MetricEncoder:
    """Encodes requests of OTLP, with what another encoder does for all signals."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._kinds: dict[type, tuple[bytes, Callable[[Any], bytes]]] = {
            Gauge: (b"\x2a", self._number),
            Sum: (b"\x3a", self._number),
            Histogram: (b"\x4a", self._histogram),
            ExponentialHistogram: (b"\x52", self._exponential_histogram),
        }

    def metrics(self, data: Any) -> bytes:
        """An ExportMetricsServiceRequest of a MetricsData."""
        groups = Groups(self._encoder)
        for resource_metrics in data.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    groups.add(resource_metrics.resource, scope_metrics.scope, self._metric, metric)
        return groups.request()

    def _metric(self, metric: Any) -> bytes:
        head = (
            field_of_text(b"\x0a", metric.name)
            + field_of_text(b"\x12", metric.description)
            + field_of_text(b"\x1a", metric.unit)
        )
        data = metric.data
        tag, encode = self._kinds.get(type(data), (b"", None))
        if encode is None:
            _log.warning("metric %s is left out: no such type of data: %s", metric.name, type(data))
            return head
        points = [b"\x0a" + sized(encode(point)) for point in data.data_points]
        if not points:
            return head
        message = b"".join(points)
        message += field_of_count(b"\x10", getattr(data, "aggregation_temporality", 0))
        if getattr(data, "is_monotonic", False):
            message += b"\x18\x01"
        return head + tag + sized(message)

    def _number(self, point: Any) -> bytes:
        value = point.value
        return (
            field_of_time(b"\x11", point.start_time_unix_nano)
            + field_of_time(b"\x19", point.time_unix_nano)
            + (_integer(b"\x31", value) if isinstance(value, int) else _double(b"\x21", value))
            + self._exemplars(b"\x2a", point.exemplars)
            + self._encoder.attributes(b"\x3a", point.attributes)
        )

    def _histogram(self, point: Any) -> bytes:
        counts, bounds = point.bucket_counts, point.explicit_bounds
        return (
            field_of_time(b"\x11", point.start_time_unix_nano)
            + field_of_time(b"\x19", point.time_unix_nano)
            + field_of_time(b"\x21", point.count)
            + _double(b"\x29", point.sum)
            + _packed(b"\x32", pack(f"<{len(counts)}Q", *counts))
            + _packed(b"\x3a", pack(f"<{len(bounds)}d", *bounds))
            + self._exemplars(b"\x42", point.exemplars)
            + self._encoder.attributes(b"\x4a", point.attributes)
            + _double(b"\x59", point.min)
            + _double(b"\x61", point.max)
        )

    def _exponential_histogram(self, point: Any) -> bytes:
        return (
            self._encoder.attributes(b"\x0a", point.attributes)
            + field_of_time(b"\x11", point.start_time_unix_nano)
            + field_of_time(b"\x19", point.time_unix_nano)
            + field_of_time(b"\x21", point.count)
            + _double(b"\x29", point.sum)
            + _zigzag(b"\x30", point.scale)
            + field_of_time(b"\x39", point.zero_count)
            + _buckets(b"\x42", point.positive)
            + _buckets(b"\x4a", point.negative)
            + field_of_count(b"\x50", point.flags)
            + self._exemplars(b"\x5a", point.exemplars)
            + _double(b"\x61", point.min)
            + _double(b"\x69", point.max)
        )

    def _exemplars(self, tag: bytes, exemplars: Iterable[Any]) -> bytes:
        return b"".join([tag + sized(self._exemplar(exemplar)) for exemplar in exemplars or ()])

    def _exemplar(self, exemplar: Any) -> bytes:
        value = exemplar.value
        ids = b""
        if exemplar.span_id is not None and exemplar.trace_id is not None:
            span_id, trace_id = exemplar.span_id.to_bytes(8), exemplar.trace_id.to_bytes(16)
            ids = b"\x22\x08%b\x2a\x10%b" % (span_id, trace_id)
        return (
            field_of_time(b"\x11", exemplar.time_unix_nano)
            + (_integer(b"\x31", value) if isinstance(value, int) else _double(b"\x19", value))
            + ids
            + self._encoder.attributes(b"\x3a", exemplar.filtered_attributes)
        )


def _integer(tag: bytes, value: int) -> bytes:
    return tag + _SFIXED64.pack(value)


def _double(tag: bytes, value: float | None) -> bytes:
    return b"" if value is None else tag + _DOUBLE.pack(value)


def _packed(tag: bytes, numbers: bytes) -> bytes:
    return tag + sized(numbers) if numbers else b""


def _zigzag(tag: bytes, number: int) -> bytes:
    return tag + varint(number * 2 if number >= 0 else -number * 2 - 1) if number else b""


def _buckets(tag: bytes, buckets: Any) -> bytes:
    if not buckets.bucket_counts:
        return b""
    counts = b"".join(map(varint, buckets.bucket_counts))
    return tag + sized(_zigzag(b"\x08", buckets.offset) + b"\x12" + sized(counts))
