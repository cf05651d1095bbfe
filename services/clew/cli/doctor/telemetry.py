"""What a service sent, in a form that checks read."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS: Mapping[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
MAX_SPANS = 50_000  # of more than that, only the number is held
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
_REQUEST_COUNTS = ("http.server.request.duration", "http.server.duration")


@dataclass(frozen=True)
class Span:
    """Ids are hex, empty for none; times are nanoseconds. process: process.pid, or the instance."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start: int
    end: int
    scope: str
    service: str
    process: str
    attributes: Mapping[str, Any]

    def contains(self, other: Span, slack: int = 0) -> bool:
        """Whether the other span lies in this one's time; it may end later by `slack` ns."""
        return self.start <= other.start <= self.end and other.end <= self.end + slack


@dataclass
class Telemetry:
    """Everything that was received; receivers write to it from several threads."""

    spans: list[Span] = field(default_factory=list)
    items: Counter[str] = field(default_factory=Counter)  # by signal
    services: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)
    unreadable: int = 0
    # The greatest number of requests that each series of a process reported.
    _requests: dict[tuple[str, ...], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def requests(self) -> int:
        """HTTP requests that the service counted in its metrics."""
        return sum(self._requests.values())

    def receive(self, signal: str, body: bytes) -> None:
        """Add a request. One that cannot be parsed counts as unreadable."""
        try:
            request = REQUESTS[signal].FromString(body)
        except Exception:
            self.unreadable += 1
            return
        with self._lock:
            if signal == "traces":
                self._add_spans(request)
            elif signal == "logs":
                for group in request.resource_logs:
                    self._add_process(_attributes(group.resource.attributes))
                    self.items["logs"] += sum(len(scope.log_records) for scope in group.scope_logs)
            else:
                self._add_metrics(request)

    def _add_process(self, resource: Mapping[str, Any]) -> str:
        """The process of a resource; empty for that of a host."""
        if "service.name" not in resource:
            return ""
        process = str(resource.get("process.pid") or resource.get("service.instance.id") or "?")
        self.processes.add(process)
        self.services.add(str(resource["service.name"]))
        return process

    def _add_spans(self, request: Any) -> None:
        for group in request.resource_spans:
            resource = _attributes(group.resource.attributes)
            process = self._add_process(resource)
            for scope in group.scope_spans:
                self.items["traces"] += len(scope.spans)
                room = MAX_SPANS - len(self.spans)
                self.spans += [
                    Span(
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.name,
                        span.kind,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        scope.scope.name,
                        str(resource.get("service.name", "")),
                        process,
                        _attributes(span.attributes),
                    )
                    for span in scope.spans[:room]
                ]

    def _add_metrics(self, request: Any) -> None:
        for group in request.resource_metrics:
            process = self._add_process(_attributes(group.resource.attributes))
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    points = getattr(metric, metric.WhichOneof("data") or "gauge").data_points
                    self.items["metrics"] += len(points)
                    if metric.name in _REQUEST_COUNTS and process:
                        self._count_requests(process, metric.name, points)

    def _count_requests(self, process: str, name: str, points: Iterable[Any]) -> None:
        for point in points:
            attributes = sorted(_attributes(point.attributes).items())
            series = (process, name, *(f"{key}={value}" for key, value in attributes))
            self._requests[series] = max(self._requests.get(series, 0), point.count)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
