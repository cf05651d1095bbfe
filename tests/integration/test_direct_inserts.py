"""A small segment is decoded in Python and inserted directly, a larger one by the engine: both ways, and
a reload after a crash, store the same rows in every table, whatever the segment contains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.collector import otlp
from clew.collector.loader import write_out
from clew.collector.segment import Segment, encode_segment
from clew.storage import SIGNALS, Ingest, NestedValues, Store
from support import every_field
from support.any_values import any_value
from support.loading import sides_equal_their_base

START = 1_763_781_234_123_456_789
NAMES = ("http.route", "exception.type", "", "k", "é", "K", "x" * 127, "y" * 128)
RESOURCE = ("service.name", "service.version", "deployment.environment", "service.instance.id")
TEXTS = (
    *("", "0", "shop", "exception", "ü \0 \u2028 😀", "a\tb\n\"c\\'", "ﬁ ＡＢＣ 注文", "x" * 127),
    *("y" * 128, "z" * 129, "b" * 16_383, "c" * 16_384, "\x10\x01", "|,"),
)
INTS = (0, 1, -1, 127, 128, 2**53 + 1, 2**63 - 1, -(2**63))
WORDS = (0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
DOUBLES = (
    *(0.0, -0.0, 0.1, 1.0, -1.5, 1e15, 1e16, 123456789012345680.0, 1e20, 1e21, 1e22, -1e21, 5e-324),
    *(1e-4, 1e-5, 1e-6, 1e-7, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf")),
)
texts = st.sampled_from(TEXTS) | st.text(max_size=5)
ints = st.sampled_from(INTS) | st.integers(-(2**63), 2**63 - 1)
words = st.sampled_from(WORDS) | st.integers(0, 2**64 - 1)
doubles = st.sampled_from(DOUBLES) | st.floats()
times = st.sampled_from((START, START + 1, *WORDS)) | st.integers(START, START + 10**11)
flags = st.sampled_from((0, 1, 255, 256, 2**32 - 1))
enums = st.sampled_from((0, 1, 2, 3, 4, 5, 6, -1, 17, 300, 2**31 - 1, -(2**31)))
scalars = (
    st.none() | texts | st.booleans() | ints | doubles | st.sampled_from((b"", b"\0\xff\x10"))
    | st.sampled_from((b"\x01" * 97, b"\x01" * 127, b"\x01" * 128))
)  # fmt: skip
nested = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=3,
)


class Draw:
    """Draws the parts of a request."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw
        self.values = nested if self.number(0, 4) == 0 else scalars

    def of(self, values: st.SearchStrategy[Any]) -> Any:
        return self._draw(values)

    def number(self, least: int, most: int) -> int:
        return self.of(st.integers(least, most))

    def fill(self, attributes: Any, keys: tuple[str, ...] = NAMES) -> None:
        for _ in range(self.number(0, 4)):
            attribute = attributes.add(key=self.of(st.sampled_from(keys)))
            attribute.value.CopyFrom(any_value(self.of(self.values)))
            if self.number(0, 20) == 0:
                attribute.value.string_value_strindex = 7

    def head(self, group: Any, scope: Any) -> None:
        self.fill(group.resource.attributes, (*RESOURCE, "k"))
        self.fill(scope.scope.attributes)
        scope.scope.name, scope.scope.version = self.of(texts), self.of(texts)
        scope.scope.dropped_attributes_count = self.of(flags)
        group.schema_url, scope.schema_url = self.of(texts), self.of(texts)

    def id(self, size: int) -> bytes:
        return self.of(st.sampled_from((b"", bytes(size), b"\1" * size, bytes(size - 1) + b"\2")))


def spans(draw: Draw, group: Any) -> None:
    scope = group.scope_spans.add()
    draw.head(group, scope)
    for _ in range(draw.number(0, 4)):
        start = draw.of(times)
        span = scope.spans.add(
            trace_id=draw.of(st.sampled_from((b"\1" * 16, bytes(15) + b"\2"))), span_id=b"\xab" * 8,
            parent_span_id=draw.id(8), trace_state=draw.of(texts), name=draw.of(texts),
            kind=draw.of(enums), start_time_unix_nano=start,
            end_time_unix_nano=draw.of(times | st.just(start) | st.just(start + 10**9)) % 2**64,
        )  # fmt: skip
        draw.fill(span.attributes)
        span.status.code, span.status.message = draw.of(enums), draw.of(texts)
        for _ in range(draw.number(0, 2)):
            event = span.events.add(time_unix_nano=draw.of(times), name=draw.of(texts))
            draw.fill(event.attributes)
        for _ in range(draw.number(0, 2)):
            link = span.links.add(
                trace_id=b"\2" * 16, span_id=b"\3" * 8, trace_state=draw.of(texts)
            )
            draw.fill(link.attributes)


def records(draw: Draw, group: Any) -> None:
    scope = group.scope_logs.add()
    draw.head(group, scope)
    for _ in range(draw.number(0, 4)):
        record = scope.log_records.add(
            time_unix_nano=draw.of(times), observed_time_unix_nano=draw.of(times),
            severity_number=draw.of(enums), severity_text=draw.of(texts | st.just("WARNING")),
            trace_id=draw.id(16), span_id=draw.id(8), flags=draw.of(flags), event_name=draw.of(texts),
        )  # fmt: skip
        record.body.CopyFrom(any_value(draw.of(draw.values)))
        draw.fill(record.attributes)


def points(draw: Draw, group: Any) -> None:
    scope = group.scope_metrics.add()
    draw.head(group, scope)
    kinds = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
    for _ in range(draw.number(0, 3)):
        kind = draw.of(st.sampled_from(kinds))
        metric = scope.metrics.add(
            name=draw.of(texts), description=draw.of(texts), unit=draw.of(texts)
        )
        of_kind = getattr(metric, kind)
        of_kind.SetInParent()
        if kind in kinds[1:4]:
            of_kind.aggregation_temporality = draw.of(enums)
        if kind == "sum":
            of_kind.is_monotonic = draw.of(st.booleans())
        for _ in range(draw.number(0, 2)):
            point = of_kind.data_points.add(
                start_time_unix_nano=draw.of(times), time_unix_nano=draw.of(times), flags=draw.of(flags)
            )  # fmt: skip
            draw.fill(point.attributes)
            FILL[kind](draw, point)
            for _ in range(draw.number(0, 2) if kind != "summary" else 0):
                exemplar = point.exemplars.add(
                    time_unix_nano=draw.of(times), trace_id=draw.id(16), span_id=draw.id(8)
                )
                fill_number(draw, exemplar)
                draw.fill(exemplar.filtered_attributes)


def fill_number(draw: Draw, point: Any) -> None:
    match draw.number(0, 2):
        case 1:
            point.as_int = draw.of(ints)
        case 2:
            point.as_double = draw.of(doubles)


def fill_histogram(draw: Draw, point: Any) -> None:
    fill_distribution(draw, point)
    point.bucket_counts.extend(draw.of(st.lists(words, max_size=3)))
    point.explicit_bounds.extend(draw.of(st.lists(doubles, max_size=3)))


def fill_exponential(draw: Draw, point: Any) -> None:
    fill_distribution(draw, point)
    point.scale, point.zero_count = draw.of(enums), draw.of(words)
    for buckets in (point.positive, point.negative):
        if draw.of(st.booleans()):
            buckets.offset = draw.of(enums)
            buckets.bucket_counts.extend(draw.of(st.lists(words, max_size=3)))


def fill_distribution(draw: Draw, point: Any) -> None:
    point.count = draw.of(words)
    for name in ("sum", "min", "max"):
        if draw.of(st.booleans()):
            setattr(point, name, draw.of(doubles))


def fill_summary(draw: Draw, point: Any) -> None:
    point.count, point.sum = draw.of(words), draw.of(doubles)
    for _ in range(draw.number(0, 2)):
        point.quantile_values.add(quantile=draw.of(doubles), value=draw.of(doubles))


FILL: dict[str, Callable[[Draw, Any], None]] = {
    "gauge": fill_number, "sum": fill_number, "histogram": fill_histogram,
    "exponential_histogram": fill_exponential, "summary": fill_summary,
}  # fmt: skip
REQUESTS: dict[str, tuple[Any, str, Callable[[Draw, Any], None]]] = {
    "traces": (ExportTraceServiceRequest, "resource_spans", spans),
    "logs": (ExportLogsServiceRequest, "resource_logs", records),
    "metrics": (ExportMetricsServiceRequest, "resource_metrics", points),
}


def bodies(data: st.DataObject, signal: str) -> list[bytes]:
    """One or two requests of the signal."""
    draw = Draw(data)
    message, groups, fill = REQUESTS[signal]
    made = []
    for _ in range(draw.number(1, 2)):
        request = message()
        for _ in range(draw.number(1, 2)):
            fill(draw, getattr(request, groups).add())
        made.append(request.SerializeToString())
    return made


AGGREGATED = (
    *("clew_traces", "clew_operations_1m", "clew_operations_1h", "clew_operations"),
    "clew_watch_1m",
)


class Ways:
    """Stores segments in either way, and reads what is in the tables."""

    def __init__(self, store: Store, directory: Path) -> None:
        self._store = store
        self._ingest = Ingest(store)
        self._directory = directory
        self._columns = self._read_columns()

    def seal(self, signal: str, bodies: list[bytes]) -> Segment:
        """A segment of the bodies, as the collector would write it."""
        batches = [otlp.decode_protobuf(signal, body, START) for body in bodies]
        path = self._directory / f"{1:020}-{sum(batch.items for batch in batches)}.sealed"
        path.write_bytes(encode_segment(batches, 1))
        segment = Segment.from_path(signal, path)
        assert segment is not None
        return segment

    def store(self, segment: Segment, limit: int, damage: str = "") -> dict[str, list[str]]:
        """The rows of every table after the segment was loaded, up to `limit` bytes directly. With
        `damage`, a part of them is then removed, and the segment is reloaded."""
        signal = SIGNALS[segment.signal]
        with self._store.client() as client:
            for table in _tables(signal):
                client.command(f"TRUNCATE TABLE otel.{table}")
        arguments = (signal, segment.path, segment.id, segment.items, segment.received_at)
        with patch("clew.storage.ingest.DIRECT_BYTES", limit):
            try:
                stored = self._ingest.load(*arguments)
            except NestedValues:
                write_out(segment)
                stored = self._ingest.load(*arguments)
            if damage:
                with self._store.client() as client:
                    for table in (*signal.tables, *(side.name for side in signal.sides)):
                        client.command(f"DELETE FROM otel.{table} WHERE {damage}")
                assert self._ingest.reload(*arguments) == stored
        assert sum(service.items for service in stored.values()) == segment.items
        assert sides_equal_their_base(self._store)
        return {table: self._rows(table) for table in self._columns if table in _tables(signal)}

    def _rows(self, table: str) -> list[str]:
        with self._store.client() as client:
            columns = ", ".join(self._columns[table])
            final = " FINAL" if table in AGGREGATED else ""
            sql = f"SELECT formatRow('JSONCompactEachRow', {columns}) FROM otel.{table}{final}"
            return sorted(row for (row,) in client.query(sql).result_rows)

    def _read_columns(self) -> dict[str, list[str]]:
        """The columns of each table, but for the time of insertion; states as their results."""
        with self._store.client() as client:
            columns = client.query(
                "SELECT table, name, type FROM system.columns WHERE database = 'otel' AND name != 'InsertedAt'"
            ).result_rows
        tables: dict[str, list[str]] = {}
        for table, name, kind in columns:
            quoted = f"`{name}`"
            if kind.startswith("AggregateFunction(argMin"):
                continue  # which of two spans of the same start is the entry depends on their order
            if kind.startswith("AggregateFunction("):
                quoted = f"finalizeAggregation({quoted})"
            elif "groupUniqArray" in kind:
                quoted = f"arraySort({quoted})"
            tables.setdefault(table, []).append(quoted)
        return tables


def _tables(signal: Any) -> set[str]:
    names = {"clew_operations"} if signal.name == "traces" else set()
    return {*signal.tables, *(side.name for side in signal.sides), *names}


@pytest.fixture(scope="module")
def ways(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Ways:
    return Ways(emptied(), tmp_path_factory.mktemp("segments"))


PROFILE = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink takes minutes of inserts
)
DAMAGE = ("rand() % 2 = 0", "true", "false")


def check(ways: Ways, data: st.DataObject) -> None:
    signal = data.draw(st.sampled_from(sorted(REQUESTS)))
    segment = ways.seal(signal, bodies(data, signal))
    landed = ways.store(segment, 0)
    assert ways.store(segment, 1 << 30) == landed
    if data.draw(st.booleans()):
        assert ways.store(segment, 1 << 30, data.draw(st.sampled_from(DAMAGE))) == landed


@settings(PROFILE, max_examples=12)
@given(st.data())
def test_both_ways_store_the_same_rows(ways: Ways, data: st.DataObject) -> None:
    check(ways, data)


@pytest.mark.slow  # an hour; above are a few of its examples
@settings(PROFILE, max_examples=3000)
@given(st.data())
def test_both_ways_store_the_same_rows_of_many_segments(ways: Ways, data: st.DataObject) -> None:
    check(ways, data)


@pytest.mark.parametrize("signal", sorted(REQUESTS))
def test_every_field_is_stored_the_same_in_both_ways(ways: Ways, signal: str) -> None:
    segment = ways.seal(signal, [every_field.REQUESTS[signal]("shop").SerializeToString()] * 2)
    assert ways.store(segment, 1 << 30) == ways.store(segment, 0)
