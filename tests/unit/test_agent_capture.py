"""The short way of a log record ends in the same bytes as the SDK's, or is not taken."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import (
    InMemoryLogRecordExporter,
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from clew.agent import delivery, logs
from clew.agent.business.carried import BusinessRecords
from clew.agent.capture import Capture
from clew.agent.copies import Redaction
from clew.agent.encoding import Encoder

RESOURCE = Resource({"service.name": "shop"})
TRACE = SpanContext(5, 7, False, TraceFlags(1))
UNSAMPLED = SpanContext(2**128 - 1, 2**64 - 1, True, TraceFlags(0), TraceState([("a", "1")]))


class Exporter(LogRecordExporter):
    takes_captured = True

    def __init__(self) -> None:
        self.records: list[Any] = []

    def export(self, batch: Any) -> LogRecordExportResult:
        self.records += batch
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class Ways:
    """A provider of the agent's, and one of the SDK alone with what it is given."""

    def __init__(self, **options: Any) -> None:
        self.exporter = Exporter()
        self.provider = LoggerProvider(RESOURCE, shutdown_on_exit=False, **options)
        self.provider.add_log_record_processor(BusinessRecords())
        self.provider.add_log_record_processor(delivery.LogDelivery(self.exporter))
        self.capture = Capture(self.provider, has_place=True)
        self.expected = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        provider = LoggerProvider(RESOURCE, shutdown_on_exit=False, **options)
        provider.add_log_record_processor(BusinessRecords())
        provider.add_log_record_processor(SimpleLogRecordProcessor(self.expected))
        self.long = Capture(provider, has_place=True)
        self.handler = LoggingHandler(logger_provider=provider, log_code_attributes=True)

    def take(self, record: logging.LogRecord) -> bool:
        return self.capture.take(record, context.get_current())

    def taken(self) -> ExportLogsServiceRequest:
        self.provider.force_flush()
        return request(self.exporter.records)

    def emitted(self) -> ExportLogsServiceRequest:
        result = request(list(self.expected.get_finished_logs()))
        self.expected.clear()
        return result


def request(records: list[Any]) -> ExportLogsServiceRequest:
    """What is sent, without the time at which it was seen and the order of attributes."""
    result: ExportLogsServiceRequest = ExportLogsServiceRequest.FromString(
        Encoder(Redaction()).log_records(records)
    )
    for resource in result.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                assert record.observed_time_unix_nano
                record.observed_time_unix_nano = 0
                record.attributes.sort(key=lambda attribute: attribute.key)
    return result


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ways]:
    monkeypatch.setattr(delivery, "_deliveries", [])
    ways = Ways()
    yield ways
    ways.provider.shutdown()


class Silent:
    def __str__(self) -> str:
        return "silent"


class Refused(Exception):
    pass


def failure(depth: int = 3) -> Any:
    """The exc_info of an exception with a cause and another module than builtins."""
    try:
        if depth:
            failure_of_cause(depth)
    except Exception:
        return sys.exc_info()
    return None, None, None


def failure_of_cause(depth: int) -> None:
    try:
        int("x" * depth)
    except ValueError as error:
        raise Refused("token=abc12345", depth) from error


def record(text: Any, *args: Any, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.getLogger("shop.orders").makeRecord(
        "shop.orders", level, "/app/shop/orders.py", 17, text, args, None, "place",
        extra.pop("extra", None),
    )  # fmt: skip
    vars(made).update(extra)
    return made


CONTEXTS = {
    "no span": context.Context(),
    "span": set_span_in_context(NonRecordingSpan(TRACE)),
    "unsampled": set_span_in_context(NonRecordingSpan(UNSAMPLED)),
    "business": baggage.set_baggage(
        "business.key", "17", baggage.set_baggage("other", "x", set_span_in_context(NonRecordingSpan(TRACE)))
    ),
}  # fmt: skip
SAME = {
    "text": record("done"),
    "empty": record(""),
    "arguments": record("item %s of %d", "a", 2),
    "mapping": record("item %(name)s", {"name": "a"}),
    "per cent without arguments": record("100 %"),
    "an object with arguments": record(ValueError("%s"), 3),
    "an object": record(Silent()),
    "a mapping": record({"token": "abc"}),
    "secret": record("password=hunter2 and more"),
    "long": record("x" * 1000),
    "attributes": record("a", extra={"order": 17, "vip": True, "rate": 0.5, "nothing": None}),
    "secret attribute": record("a", extra={"token": "abc", "url": "/?token=abc&page=2"}),
    "business attribute": record("a", extra={"business.key": "of the record"}),
    "formatted before": record("a", message="a", asctime="now", taskName="Task-1"),
    "stack": record("a", stack_info="Stack (most recent call last):"),
    "exception": record("a", exc_info=failure()),
    "builtin exception": record("a", exc_info=(KeyError, KeyError("x"), None)),
    "no exception": record("a", exc_info=failure(0)),
    "exception and attributes": record("a", exc_info=failure(), extra={"order": 17}),
    **{f"level {level}": record("a", level=level) for level in (0, 5, 10, 25, 30, 40, 50, 99)},
}


UNUSUAL = [
    record("a", extra={"list": [1]}),
    record("a", extra={"object": Silent()}),
    record("a", extra={"": "x"}),
    record("a", extra={1: "x"}),
    record("a", extra={"event.name": "order placed"}),
    record("a", extra={f"key {number}": number for number in range(200)}),
    logging.makeLogRecord({"msg": "a", "levelno": 20, "levelname": "INFO"}),
    record("a", pathname=None),
]


@pytest.mark.parametrize("place", CONTEXTS)
def test_means_what_the_sdk_sends(ways: Ways, place: str) -> None:
    token = context.attach(CONTEXTS[place])
    try:
        for name, made in SAME.items():
            assert ways.take(made), name
            ways.long.export(made, context.get_current())
    finally:
        context.detach(token)
    assert ways.taken() == ways.emitted()


@pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
@pytest.mark.parametrize("place", CONTEXTS)
def test_the_long_way_is_that_of_opentelemetrys_handler(ways: Ways, place: str) -> None:
    token = context.attach(CONTEXTS[place])
    try:
        for made in (*SAME.values(), *UNUSUAL):
            if made.exc_info:
                continue  # exceptions have the names that they have on spans
            ways.long.emit(made, context.get_current())
            emitted = ways.emitted()
            ways.handler.handle(made)
            assert ways.emitted() == emitted
    finally:
        context.detach(token)


def test_exceptions_are_named_as_on_spans(ways: Ways) -> None:
    assert ways.take(SAME["exception"])
    (encoded,) = ways.taken().resource_logs[0].scope_logs[0].log_records
    attributes = {item.key: item.value.string_value for item in encoded.attributes}
    assert attributes["exception.type"] == f"{__name__}.Refused"
    assert attributes["exception.message"] == "('token=REDACTED', 3)"
    assert attributes["exception.stacktrace"].startswith("Traceback (most recent call last):")
    assert "The above exception was the direct cause" in attributes["exception.stacktrace"]


@pytest.mark.parametrize("made", UNUSUAL)
def test_what_is_unusual_goes_the_way_of_the_sdk(ways: Ways, made: logging.LogRecord) -> None:
    assert not ways.take(made)


def test_a_text_is_made_when_it_is_logged(ways: Ways) -> None:
    items = ["a"]
    assert ways.take(record("items %s", items))
    items.append("b")
    encoded = ways.taken().resource_logs[0].scope_logs[0].log_records[0]
    assert encoded.body.string_value == "items ['a']"


def test_a_text_that_cannot_be_made_is_not_queued(ways: Ways) -> None:
    with pytest.raises(TypeError):
        ways.take(record("item %s", 1, 2))
    assert not ways.taken().resource_logs


def test_limits_of_the_sdk(monkeypatch: pytest.MonkeyPatch, ways: Ways) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "20")
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "4")
    limited = Ways()
    assert limited.take(record("x" * 100, extra={"key": "x" * 20}))
    assert not limited.take(record("a", extra={"key": "x" * 21}))
    assert not limited.take(record("a", extra={"a": 1, "b": 2}))
    assert not limited.take(record("a", pathname="/a/long/path/of/a/file.py"))
    limited.provider.shutdown()


def test_a_processor_of_the_service_gets_every_record(ways: Ways) -> None:
    class Processor(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None: ...
        def shutdown(self) -> None: ...
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    assert ways.take(record("a"))
    ways.provider.add_log_record_processor(Processor())
    assert not ways.take(record("a"))


def test_another_exporter_gets_what_the_sdk_makes(ways: Ways) -> None:
    other: Any = InMemoryLogRecordExporter
    for exporters in ([other], [Exporter, other]):
        provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
        for kind in exporters:
            provider.add_log_record_processor(delivery.LogDelivery(kind()))
        assert not Capture(provider, has_place=True).take(record("a"), context.Context())
        provider.shutdown()
    assert not Capture(object(), has_place=True).take(record("a"), context.Context())


def test_a_logger_that_is_off_queues_nothing(ways: Ways) -> None:
    logger: Any = ways.provider.get_logger("shop.orders")
    logger._is_enabled = lambda: False
    assert not ways.take(record("a"))


def test_a_full_queue_keeps_its_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ways: Ways
) -> None:
    monkeypatch.setenv("OTEL_BLRP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "4")
    free, waits = threading.Event(), threading.Event()

    def export(_: Any) -> LogRecordExportResult:
        waits.set()
        free.wait(30)
        return LogRecordExportResult.SUCCESS

    full = Ways()
    monkeypatch.setattr(full.exporter, "export", export)
    for _ in range(4):
        full.take(record("a"))
    assert waits.wait(30)
    for _ in range(10):
        assert full.take(record("a"))
    (batch,) = [item for item in delivery.batches() if item._max_queue_size == 4]
    assert len(batch._queue) == 4
    assert "Queue full" in caplog.text
    free.set()
    full.provider.shutdown()


def test_the_standard_fields_of_a_record_are_those_of_this_python() -> None:
    made = record("a")
    assert len(vars(made)) == len(vars(logging.makeLogRecord({}))), sys.version


def test_what_is_logged_while_a_text_is_made_is_not_exported(
    monkeypatch: pytest.MonkeyPatch, ways: Ways
) -> None:
    monkeypatch.setattr(logs, "get_logger_provider", lambda: ways.provider)
    export = logs._exporter()

    class Talkative:
        texts = 0

        def __str__(self) -> str:
            self.texts += 1
            export(record("%s", self))
            return "talkative"

    talkative = Talkative()
    export(record("%s", talkative))
    assert talkative.texts == 1
    (encoded,) = ways.taken().resource_logs[0].scope_logs[0].log_records
    assert encoded.body.string_value == "talkative"
