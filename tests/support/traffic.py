"""Random telemetry from a seed: spans, log records and points as plain Python objects.

They are encoded as OTLP and loaded as the platform loads them, and references compute the expected
answers from the same objects.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from clew.collector.otlp import MESSAGES, Batch
from clew.collector.segment import encode_record, encode_seal
from clew.storage import SIGNALS, Ingest

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
KIND_NAMES = {
    INTERNAL: "Internal",
    SERVER: "Server",
    CLIENT: "Client",
    PRODUCER: "Producer",
    CONSUMER: "Consumer",
}
UNSET, OK, ERROR = 0, 1, 2
STATUS_NAMES = {UNSET: "Unset", OK: "Ok", ERROR: "Error"}
MICROSECOND, MILLISECOND, SECOND = 10**3, 10**6, 10**9
MINUTE = 60 * SECOND
SEVERITIES = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17}

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Process:
    """The process that sends telemetry."""

    service: str
    instance: str
    environment: str = "prod"
    version: str = "1.0"
    host: str = ""

    @property
    def resource(self) -> Attributes:
        return {
            "service.name": self.service,
            "service.instance.id": self.instance,
            "service.version": self.version,
            "deployment.environment.name": self.environment,
            **({"host.name": self.host} if self.host else {}),
        }


@dataclass(frozen=True)
class Event:
    time: int
    name: str
    attributes: Attributes


@dataclass(frozen=True)
class Span:
    """Times are nanoseconds since the epoch, ids are hex; `parent` is '' for a root."""

    trace: str
    id: str
    parent: str
    process: Process
    name: str
    kind: int
    start: int
    end: int
    status: int = UNSET
    status_message: str = ""
    attributes: Attributes = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    links: tuple[tuple[str, str], ...] = ()

    @property
    def service(self) -> str:
        return self.process.service

    @property
    def duration(self) -> int:
        return max(0, self.end - self.start)

    @property
    def ended(self) -> int:
        return self.start + self.duration

    @property
    def is_error(self) -> bool:
        return self.status == ERROR


@dataclass(frozen=True)
class Log:
    time: int
    process: Process
    severity: str
    body: str
    attributes: Attributes = field(default_factory=dict)
    trace: str = ""
    span: str = ""


@dataclass(frozen=True)
class Point:
    """One point of a gauge, a monotonic cumulative sum or a cumulative histogram."""

    metric: str
    unit: str
    kind: str
    process: Process
    time: int
    value: float
    attributes: Attributes = field(default_factory=dict)
    buckets: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()
    exemplar: tuple[str, str] | None = None


class Loader:
    """Writes segments as the spool does and loads them, one insert per call."""

    def __init__(self, ingest: Ingest, directory: Path) -> None:
        self._ingest = ingest
        self._directory = directory
        self._segment = 0

    def spans(self, spans: Iterable[Span]) -> None:
        self.request("traces", spans_request(spans))

    def logs(self, logs: Iterable[Log]) -> None:
        self.request("logs", logs_request(logs))

    def points(self, points: Iterable[Point]) -> None:
        self.request("metrics", metrics_request(points))

    def request(self, signal: str, request: Any) -> None:
        items = MESSAGES[signal].count(request)
        self._segment += 1
        batch = Batch(request.SerializeToString(), items)
        path = self._directory / f"{self._segment}.sealed"
        path.write_bytes(batch.body + encode_record(batch) + encode_seal(self._segment))
        self._ingest.load(SIGNALS[signal], path, self._segment, items, time.time())


def spans_request(spans: Iterable[Span]) -> Any:
    request = ExportTraceServiceRequest()
    for process, group in _by_process(spans):
        resource = request.resource_spans.add()
        _set(resource.resource.attributes, process.resource)
        scope = resource.scope_spans.add()
        scope.scope.name = "traffic"
        for span in group:
            message = scope.spans.add(
                trace_id=bytes.fromhex(span.trace),
                span_id=bytes.fromhex(span.id),
                parent_span_id=bytes.fromhex(span.parent),
                name=span.name,
                kind=span.kind,
                start_time_unix_nano=span.start,
                end_time_unix_nano=span.end,
            )
            message.status.code = span.status
            message.status.message = span.status_message
            _set(message.attributes, span.attributes)
            for event in span.events:
                _set(
                    message.events.add(time_unix_nano=event.time, name=event.name).attributes,
                    event.attributes,
                )
            for trace, id in span.links:
                message.links.add(trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(id))
    return request


def logs_request(logs: Iterable[Log]) -> Any:
    request = ExportLogsServiceRequest()
    for process, group in _by_process(logs):
        resource = request.resource_logs.add()
        _set(resource.resource.attributes, process.resource)
        scope = resource.scope_logs.add()
        for log in group:
            record = scope.log_records.add(
                time_unix_nano=log.time,
                severity_text=log.severity,
                severity_number=SEVERITIES.get(log.severity, 0),
                trace_id=bytes.fromhex(log.trace),
                span_id=bytes.fromhex(log.span),
            )
            record.body.string_value = log.body
            _set(record.attributes, log.attributes)
    return request


def metrics_request(points: Iterable[Point]) -> Any:
    request = ExportMetricsServiceRequest()
    for process, group in _by_process(points):
        resource = request.resource_metrics.add()
        _set(resource.resource.attributes, process.resource)
        scope = resource.scope_metrics.add()
        for point in group:
            metric = scope.metrics.add(name=point.metric, unit=point.unit)
            if point.kind == "gauge":
                data_point = metric.gauge.data_points.add(as_double=point.value)
            elif point.kind == "sum":
                metric.sum.is_monotonic = True
                metric.sum.aggregation_temporality = 2
                data_point = metric.sum.data_points.add(as_double=point.value)
            else:
                metric.histogram.aggregation_temporality = 2
                data_point = metric.histogram.data_points.add(
                    count=sum(point.buckets), sum=point.value,
                    bucket_counts=point.buckets, explicit_bounds=point.bounds,
                )  # fmt: skip
            data_point.time_unix_nano = point.time
            _set(data_point.attributes, point.attributes)
            if point.exemplar:
                trace, span = point.exemplar
                data_point.exemplars.add(
                    time_unix_nano=point.time, as_double=1.0,
                    trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(span),
                )  # fmt: skip
    return request


def _by_process(items: Iterable[Any]) -> Iterator[tuple[Process, list[Any]]]:
    groups: dict[Process, list[Any]] = defaultdict(list)
    for item in items:
        groups[item.process].append(item)
    yield from groups.items()


def _set(target: Any, attributes: Attributes) -> None:
    target.extend(KeyValue(key=key, value=_any(value)) for key, value in attributes.items())


def _any(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)


def as_stored(attributes: Attributes) -> dict[str, str]:
    """Attributes as the exporter's Map(String, String)."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in attributes.items()
    }


# Generators


class Generator:
    """Traces of a few services: calls in sequence and in parallel, nested, some in error."""

    def __init__(self, seed: int, processes: Sequence[Process]) -> None:
        self._choice = random.Random(seed)
        self._processes = {process.service: process for process in processes}

    def id(self, size: int) -> str:
        return self._choice.randbytes(size).hex()

    def trace(
        self, process: Process, operation: str, start: int, *, kind: int = SERVER
    ) -> list[Span]:
        """A trace that starts at `start`, its root first."""
        trace = self.id(16)
        # Durations over three decades, so that wrong quantiles are noticed.
        duration = int(10 ** self._choice.uniform(6, 9.4))
        root = self._span(trace, "", process, operation, kind, start, duration)
        status = {"http.response.status_code": 500 if root.is_error else 200}
        root = replace(root, attributes=root.attributes | status)
        return [root, *self._children(root, depth=0)]

    def _children(self, parent: Span, depth: int) -> Iterator[Span]:
        if depth == 3 or parent.duration < 100 * MICROSECOND:
            return
        others = [name for name in self._processes if name != parent.service]
        if parent.kind == CLIENT:
            # The callee: a server span of another service, within the time of the call.
            server = self._processes[self._choice.choice(others)]
            operation = self._choice.choice(("POST /charges", "GET /stock", "POST /orders"))
            yield from self._with_children(
                self._inside(parent, server, operation, SERVER, 0.05, 0.9), depth
            )
            return
        position = self._choice.uniform(0, 0.2)
        while position < 0.9 and self._choice.random() < 0.7:
            share = self._choice.uniform(0.02, 0.6)
            kind = self._choice.choice((INTERNAL, CLIENT, CLIENT))
            name = {CLIENT: "POST", INTERNAL: "render"}[kind]
            child = self._inside(parent, parent.process, name, kind, position, share)
            yield from self._with_children(child, depth)
            # The next child starts before this one ends (in parallel) or after it (in sequence).
            position += share * self._choice.choice((0.5, 1.05))

    def _with_children(self, span: Span, depth: int) -> Iterator[Span]:
        yield span
        yield from self._children(span, depth + 1)

    def _inside(
        self, parent: Span, process: Process, name: str, kind: int, position: float, share: float
    ) -> Span:
        """A child that starts at `position` of its parent's time and takes `share` of it. It may end
        after its parent."""
        start = parent.start + int(parent.duration * position) + self._choice.randint(1, 99)
        duration = int(parent.duration * share) + self._choice.randint(1, 99)
        return self._span(parent.trace, parent.id, process, name, kind, start, duration)

    def _span(
        self,
        trace: str,
        parent: str,
        process: Process,
        name: str,
        kind: int,
        start: int,
        length: int,
    ) -> Span:
        is_error = self._choice.random() < 0.15
        attributes: Attributes = {
            "user.id": f"user-{self._choice.randint(1, 9)}",
            "amount": self._choice.choice((self._choice.randint(-50, 500), 12.5, 99.75)),
            "retried": self._choice.random() < 0.3,
        }
        if kind == CLIENT:
            attributes["url.path"] = self._choice.choice(("/charges/42", "/stock/it's", "/a%20b"))
        events: tuple[Event, ...] = ()
        if is_error and self._choice.random() < 0.7:
            error = self._choice.choice(("ValueError", "TimeoutError"))
            message = f"order {self.id(4)} failed after {self._choice.randint(1, 9000)} ms"
            events = (
                Event(start + length // 2, "exception", exception(error, message)),
                Event(start + length // 2 + 1, "gave up", {"attempts": 3}),
            )
        return Span(
            trace, self.id(8), parent, process, name, kind, start, start + length,
            status=ERROR if is_error else self._choice.choice((UNSET, OK)),
            status_message="it failed" if is_error else "",
            attributes=attributes, events=events,
        )  # fmt: skip


def tangle(
    choice: random.Random, processes: Sequence[Process], size: int, start: int
) -> list[Span]:
    """A trace with every irregularity, in random order: children that start before or end after their
    parent, equal times, spans that end before they start, missing parents, several spans with one
    id, several roots or none, spans that are their own ancestors."""
    trace = choice.randbytes(16).hex()
    # A coarse tick leaves few different times, so that many are equal.
    tick = choice.choice((1, MICROSECOND, 10 * MILLISECOND))
    ids = [choice.randbytes(8).hex() for _ in range(size)]
    spans: list[Span] = []
    for number, id in enumerate(ids):
        parent = choice.choice(spans[-8:]) if spans else None
        begin, end = (parent.start, parent.ended) if parent else (start, start + 100 * MILLISECOND)
        margin = (end - begin) // 10 if choice.random() < 0.2 else 0
        begin = choice.randint(begin - margin, end)
        end = begin + choice.randint(0, end - begin + margin)
        odd = choice.random()
        spans.append(
            Span(
                trace, ids[choice.randrange(number)] if number and odd < 0.04 else id,
                "" if parent is None or odd > 0.99 else parent.id, choice.choice(processes),
                choice.choice(("GET", "POST", "render", "wait")), choice.choice(list(KIND_NAMES)),
                begin // tick * tick, (begin - 1 if 0.04 < odd < 0.06 else end // tick * tick),
                status=choice.choice((UNSET, OK, ERROR)), attributes=choice.choice(CALL_TARGETS),
            )
        )  # fmt: skip
    if choice.random() < 0.3:  # makes the parents a cycle
        spans[0] = replace(spans[0], parent=choice.choice(spans).id)
    if choice.random() < 0.3:
        spans = [span for span in spans if choice.random() < 0.9] or spans
    choice.shuffle(spans)
    return spans


CALL_TARGETS: tuple[Attributes, ...] = (
    {},
    {"db.system.name": "postgresql", "db.namespace": "orders", "db.query.summary": "SELECT orders"},
    {"db.system": "redis", "db.operation": "GET", "server.address": "cache-1"},
    {"db.system": "mysql", "db.name": "stock", "db.operation": "UPDATE", "db.sql.table": "items"},
    {"messaging.system": "kafka", "messaging.destination.name": "mails"},
    {"messaging.system": "rabbitmq", "messaging.destination": "jobs", "messaging.operation": "receive"},
    {"messaging.destination.name": "nobody's"},
    {"server.address": "api.example.com", "url.full": "https://other.example.com/x"},
    {"http.url": "http://old.example.com:8080/path?q=1", "http.method": "GET"},
    {"http.host": "named.example.com:9000"},
    {"url.full": "https://full.example.com/a/b"},
    {"peer.service": "bank", "net.peer.name": "10.0.0.1"},
    {"rpc.system": "aws-api", "rpc.service": "S3", "rpc.method": "PutObject"},
    {"rpc.system.name": "grpc", "rpc.method": "/shop.v1.Stock/Reserve"},
    {"rpc.system.name": "aws-api", "rpc.method": "Invoke", "faas.invoked_name": "resize"},
    {"rpc.system": "java_rmi"},
    {"db.statement": "SELECT 1", "server.address": "cache-2"},
    {"db.query.text": "SELECT 1"},
    {"db.instance": "ledger", "db.type": "sql"},
    {"message_bus.destination": "topic"},
    {"network.peer.address": "10.1.2.3"},
)  # fmt: skip


def exception(type: str, message: str) -> Attributes:
    return {"exception.type": type, "exception.message": message}
