"""The agent's own encoder says what OpenTelemetry's says, and redacts as copies do."""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from clew.agent.copies import Redaction
from clew.agent.encoding import Encoder
from clew.agent.points import MetricEncoder
from clew.agent.records import severity_number

OFF, ON = Redaction(is_on=False), Redaction()


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


VALUES: dict[str, Any] = {
    "empty text": "",
    "text": "a",
    "127 bytes": "x" * 127,
    "128 bytes": "x" * 128,
    "16384 bytes": "ü" * 8192,
    "3 MB": "x" * 3_000_000,
    "NUL": "a\x00b",
    "astral": "𝒳",
    "true": True,
    "false": False,
    "one": 1,
    "zero": 0,
    "127": 127,
    "128": 128,
    "negative": -1,
    "lowest": -(2**63),
    "highest": 2**63 - 1,
    "too high": 2**63,
    "too low": -(2**63) - 1,
    "one as a double": 1.0,
    "minus zero": -0.0,
    "infinite": -math.inf,
    "smallest": 5e-324,
    "None": None,
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "list": ["a", "b"],
    "empty list": [],
    "mixed list": ["a", 1, True, 1.5, None, b"x", ["deep", {"k": [1]}]],
    "tuple with a number that is too high": (1, 2**64),
    "mapping": {"a": 1, "b": {"c": [None, {}]}, 3: "number as a key"},
    "empty mapping": {},
    "text of an enum": Colour.RED,
    "number of an enum": Level.HIGH,
    "range": range(3),
    "bytearray": bytearray(b"ab"),
    "object": object(),
    "": "empty key",
    "ключ" * 50: "long key",
}
ODD_TEXTS = ["", "GET /items/{n}", "x" * 300, "ü" * 64, "a\x00b", "𝒳"]
PARENT = SpanContext(2**127 + 5, 2**63 + 7, is_remote=True, trace_flags=TraceFlags(1))
STATES = [TraceState(), TraceState([("a", "1"), ("b@c", "2")])]


def spans_of(make: Callable[[Any], object], **options: Any) -> list[Any]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        resource=options.pop("resource", Resource({"service.name": "shop"}, "https://schema")),
        span_limits=options.pop("limits", SpanLimits()),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    make(provider)
    return list(exporter.get_finished_spans())


def same_spans(spans: list[Any], redaction: Redaction = OFF) -> ExportTraceServiceRequest:
    expected = encode_spans(redaction.spans(spans))
    result: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(
        Encoder(redaction).spans(spans)
    )
    assert result == expected
    return result


def with_values(values: dict[str, Any]) -> list[Any]:
    """A span that has the values in each place; the SDK's limits and cleaning are passed by."""

    def make(provider: Any) -> None:
        tracer = provider.get_tracer("library", "1.0", "https://scope", {"scope": "x"})
        with tracer.start_as_current_span("place", links=[Link(PARENT)]) as span:
            span.add_event("event")

    (span,) = spans_of(make)
    span._attributes = dict(values)
    span._events[0]._attributes = dict(values)
    span._links[0]._attributes = dict(values)
    return [span]


@pytest.mark.parametrize("name", VALUES)
def test_any_value_in_any_place(name: str) -> None:
    same_spans(with_values({name: VALUES[name], "after": 1}))


def test_values_that_are_equal_but_of_other_types_stay_apart() -> None:
    encoder = Encoder(OFF)
    for value in (True, 1, 1.0, Level(3), 3, False, 0, 0.0, -0.0, "1"):
        spans = with_values({"key": value})
        result = ExportTraceServiceRequest.FromString(encoder.spans(spans))
        assert result == encode_spans(spans), value


def test_a_number_that_is_none_is_what_it_is() -> None:
    (span,) = with_values({"nan": math.nan})
    result = ExportTraceServiceRequest.FromString(Encoder(OFF).spans([span]))
    attributes = result.resource_spans[0].scope_spans[0].spans[0].attributes
    assert math.isnan(attributes[0].value.double_value)


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    (span,) = with_values({"key": "a\ud800b"})
    span._name = "\udfff"
    result = ExportTraceServiceRequest.FromString(Encoder(OFF).spans([span]))
    encoded = result.resource_spans[0].scope_spans[0].spans[0]
    assert (encoded.name, encoded.attributes[0].value.string_value) == ("?", "a?b")


@pytest.mark.parametrize("kind", SpanKind)
@pytest.mark.parametrize("state", STATES)
def test_span_fields(kind: SpanKind, state: TraceState) -> None:
    def make(provider: Any) -> None:
        parents = [
            None,
            SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1), trace_state=state),
            SpanContext(2**128 - 1, 2**64 - 1, True, TraceFlags(1), state),
        ]
        for scope in (("library",), ("library", "2"), ("library", "2", "https://scope")):
            tracer = provider.get_tracer(*scope)
            for parent in parents:
                context = set_span_in_context(NonRecordingSpan(parent)) if parent else None
                for name in ODD_TEXTS:
                    with tracer.start_as_current_span(name, context, kind=kind) as span:
                        span.add_event(name, {"a": name}, timestamp=1)
                        span.add_link(SpanContext(9, 8, True, trace_state=state), {"b": name})

    same_spans(spans_of(make))


@pytest.mark.parametrize("description", [None, "", "x", "ü" * 200])
@pytest.mark.parametrize("code", StatusCode)
def test_status(code: StatusCode, description: str | None) -> None:
    def make(provider: Any) -> None:
        with provider.get_tracer("x").start_as_current_span("x") as span:
            span._status = Status(code, description) if code is StatusCode.ERROR else Status(code)

    same_spans(spans_of(make))


def test_what_is_missing() -> None:
    (span,) = with_values({})
    span._start_time = span._end_time = span._attributes = span._status = None
    span._instrumentation_scope = None
    span._events, span._links = [], []
    same_spans([span])
    assert Encoder(OFF).spans([]) == b""


def test_counts_of_what_was_dropped() -> None:
    def make(provider: Any) -> None:
        tracer = provider.get_tracer("x")
        links = [Link(PARENT, {"a": 1, "b": 2}) for _ in range(300)]
        with tracer.start_as_current_span("x", links=links) as span:
            span.set_attributes({f"key {number}": number for number in range(300)})
            for number in range(200):
                span.add_event(f"event {number}", {"a": 1, "b": 2})

    limits = SpanLimits(
        max_span_attributes=2, max_events=3, max_links=1,
        max_event_attributes=1, max_link_attributes=1,
    )  # fmt: skip
    result = same_spans(spans_of(make, limits=limits))
    span = result.resource_spans[0].scope_spans[0].spans[0]
    assert (span.dropped_attributes_count, span.dropped_events_count) == (298, 197)
    assert (span.dropped_links_count, span.events[0].dropped_attributes_count) == (299, 1)


def test_groups_are_by_resource_and_scope() -> None:
    def make(provider: Any) -> None:
        for number in range(6):
            with provider.get_tracer(f"scope {number % 2}").start_as_current_span("x"):
                pass

    spans = [
        span
        for name in ("a", "b", "a")
        for span in spans_of(make, resource=Resource({"service.name": name}))
    ]
    result = same_spans([*spans, *reversed(spans)])
    assert [len(group.scope_spans) for group in result.resource_spans] == [2, 2]


def test_a_resource_that_changes_its_attributes_is_encoded_anew() -> None:
    encoder = Encoder(OFF)
    resource = Resource({"process.pid": 1})
    for pid in (1, 2):
        resource._attributes = Resource({"process.pid": pid})._attributes
        spans = spans_of(
            lambda provider: provider.get_tracer("x").start_span("x").end(), resource=resource
        )
        assert ExportTraceServiceRequest.FromString(encoder.spans(spans)) == encode_spans(spans)


SECRETS = {
    "url.path": "/reset-password/abc123xyz",
    "url.query": "token=abc&page=2",
    "password": "hunter2",
    "pin": 1234,
    "api.secret": 4321,
    "card": 4111111111111111,
    "db.system.name": "postgresql",
    "db.query.text": "SELECT * FROM users WHERE name = 'anna'",
    "process.command_args": ["app", "--password", "hunter2"],
    "raw": b"password=hunter2",
    "nested": {"token": "x", "plain": ["Authorization: Bearer abcdefghijkl"]},
    "http.route": "/token/{code}",
}


@pytest.mark.parametrize("redaction", [ON, OFF, Redaction(further=frozenset({"line", "plain"}))])
def test_redacts_spans_as_copies_do(redaction: Redaction) -> None:
    (span,) = with_values(SECRETS)
    span._name = "GET /reset-password/abc123xyz"
    span._status = Status(StatusCode.ERROR, "no user for token=abc123")
    span._events[0]._name = "password=x"
    span._resource = Resource({"process.command_line": "app --password hunter2"})
    same_spans([span], redaction)
    (routed,) = with_values(SECRETS | {"http.route": "/code/{n}"})
    routed._name = "GET /code/{n}"
    same_spans([routed], redaction)


def test_a_span_that_cannot_be_encoded_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    first, broken = with_values({"a": 1})[0], with_values({"a": 1})[0]
    broken._context = None
    with caplog.at_level(logging.WARNING):
        result = ExportTraceServiceRequest.FromString(Encoder(ON).spans([broken, first]))
    assert result == encode_spans([first])
    assert "left out" in caplog.text


# --- Log records. ---


def records_of(make: Callable[[Any], object], *processors: LogRecordProcessor) -> list[Any]:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(Resource({"service.name": "shop"}), shutdown_on_exit=False)
    for processor in (*processors, SimpleLogRecordProcessor(exporter)):
        provider.add_log_record_processor(processor)
    make(provider)
    return list(exporter.get_finished_logs())


def same_records(records: list[Any], redaction: Redaction = OFF) -> ExportLogsServiceRequest:
    expected = encode_logs(redaction.log_records(records))
    result: ExportLogsServiceRequest = ExportLogsServiceRequest.FromString(
        Encoder(redaction).log_records(records)
    )
    assert result == expected
    return result


@pytest.mark.parametrize(
    "name", [name for name in VALUES if "too" not in name and name != "object"]
)
def test_any_value_as_the_body_of_a_log_record(name: str) -> None:
    (record,) = records_of(lambda provider: provider.get_logger("x").emit(body=VALUES[name]))
    if VALUES[name] is None:  # older releases leave the field out
        assert Encoder(OFF).log_records([record])
        return
    same_records([record])


def test_log_record_fields() -> None:
    def make(provider: Any) -> None:
        from opentelemetry._logs import SeverityNumber

        logger = provider.get_logger("shop.orders", "1", "https://scope")
        context = set_span_in_context(NonRecordingSpan(PARENT))
        logger.emit(body="a", context=context, event_name="order placed")
        for severity in SeverityNumber:
            logger.emit(
                timestamp=1, observed_timestamp=2, severity_number=severity,
                severity_text=severity.name, body="b", attributes={"a": [1], "b": {"c": None}},
            )  # fmt: skip
        logger.emit(timestamp=2**63, observed_timestamp=0, severity_text="", body="")

    records = records_of(make)
    records[1].log_record.attributes = dict(VALUES)
    records[2].log_record.attributes = BoundedAttributes(1, {"a": 1, "b": 2}, immutable=False)
    result = same_records(records)
    assert result.resource_logs[0].scope_logs[0].log_records[2].dropped_attributes_count == 1


def test_redacts_log_records_as_copies_do() -> None:
    def make(provider: Any) -> None:
        logger = provider.get_logger("x")
        logger.emit(body="password=hunter2", attributes=SECRETS, event_name="token=abc12345")
        logger.emit(body={"password": "hunter2", "plain": "x"})
        logger.emit(body="x" * 300 + " token=abc12345")

    same_records(records_of(make), ON)


def test_severity_numbers_are_those_of_the_sdk() -> None:
    from opentelemetry.sdk._logs._internal import std_to_otel

    for level in range(-1, 120):
        assert severity_number(level) == std_to_otel(level).value, level


# --- Metrics. ---


def metrics_of(make: Callable[[Any], object], *views: View) -> Any:
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        [reader], Resource({"service.name": "shop"}, "https://schema"),
        exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False, views=views,
    )  # fmt: skip
    make(provider)
    return reader.get_metrics_data()


def same_metrics(data: Any, redaction: Redaction = OFF) -> ExportMetricsServiceRequest:
    expected = encode_metrics(redaction.metrics(data))
    encoded = MetricEncoder(Encoder(redaction)).metrics(data)
    result: ExportMetricsServiceRequest = ExportMetricsServiceRequest.FromString(encoded)
    assert result == expected
    return result


def measure(provider: Any) -> None:
    from opentelemetry import context
    from opentelemetry.metrics import CallbackOptions, Observation

    meter = provider.get_meter("meter", "1", "https://scope", {"a": "b"})
    token = context.attach(set_span_in_context(NonRecordingSpan(PARENT)))
    try:
        counter = meter.create_counter("counter", "1", "text")
        histogram = meter.create_histogram("histogram", "s")
        balance = meter.create_up_down_counter("balance")
        for number in (0, 1, -1, 7, 2**40, 0.5, 1e300):
            counter.add(abs(number), {"kind": "a", "number": number})
            balance.add(number, {"text": "x" * 300})
            histogram.record(abs(number), {"token": "secret"})
        meter.create_gauge("gauge").set(-2.5, {"list": ("a", "b")})
    finally:
        context.detach(token)
    meter.create_histogram("without_a_span").record(3)

    def observe(_: CallbackOptions) -> list[Observation]:
        return [Observation(1, {"a": 1}), Observation(2.5), Observation(-3, {"b": True})]

    meter.create_observable_counter("observed_counter", [observe])
    meter.create_observable_gauge("observed_gauge", [observe])
    meter.create_observable_up_down_counter("observed_balance", [observe])


@pytest.mark.parametrize("redaction", [ON, OFF])
def test_metrics(redaction: Redaction) -> None:
    result = same_metrics(metrics_of(measure), redaction)
    metrics = result.resource_metrics[0].scope_metrics[0].metrics
    assert len(metrics) == 8
    assert metrics[0].sum.data_points[0].exemplars[0].trace_id == (2**127 + 5).to_bytes(16)


def test_exponential_histograms() -> None:
    def make(provider: Any) -> None:
        histogram = provider.get_meter("meter").create_histogram("histogram")
        for number in (0.0, 1e-9, 0.5, 1, 3, 3000, 1e12):
            histogram.record(number, {"a": "b"})
        provider.get_meter("meter").create_histogram("zeros").record(0)

    view = View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation(max_size=8))
    same_metrics(metrics_of(make, view))


def test_a_metric_that_cannot_be_encoded_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def make(provider: Any) -> None:
        meter = provider.get_meter("meter")
        meter.create_counter("fits").add(1)
        meter.create_counter("too_high").add(2**64)

    with caplog.at_level(logging.WARNING):
        encoded = MetricEncoder(Encoder(OFF)).metrics(metrics_of(make))
    result = ExportMetricsServiceRequest.FromString(encoded)
    assert [metric.name for metric in result.resource_metrics[0].scope_metrics[0].metrics] == [
        "fits"
    ]
    assert "left out" in caplog.text
