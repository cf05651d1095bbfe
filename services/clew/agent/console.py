"""Spans, log records and metrics as lines that people read, on stderr: stdout is the service's.

    12:00:01.234 span   shop 4bf92f35 GET /orders/{order_id}  12.3 ms  ok  url.path=/orders/7
    12:00:01.236 span   shop 4bf92f35   SELECT shop  1.2 ms  ok  db.system.name=sqlite
    12:00:01.237 log    shop 4bf92f35 INFO shop.orders: order placed  order_id=7
    12:00:10.000 metric shop -------- orders.placed 3 (+2)  kind=book

Behind the service stand the first digits of the trace id, on a terminal in a colour of the trace's
own. Spans that are exported together stand in the order of their starts, children indented.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_STDERR = 2
_MOST_ATTRIBUTES = 8
_LONGEST_VALUE, _LONGEST_BODY = 80, 500  # characters
_ID_DIGITS = 8
_NO_TRACE = "-" * _ID_DIGITS
_COLOURS = (31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96)
# What says little to people, or stands in the line already.
_LEFT_OUT = (
    *("client.", "network.", "server.", "thread.", "code.", "user_agent.", "otel.", "net."),
    *("url.scheme", "http.request.method", "exception.stacktrace", "process.", "telemetry."),
)


class SpanLines(SpanExporter):
    """Prints spans."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        write(span_lines(spans))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class LogLines(LogRecordExporter):
    """Prints log records."""

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        write(map(log_line, batch))
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class MetricLines(MetricExporter):
    """Prints what changed since the last reading."""

    is_for_hosts = False

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[Any, tuple[float, float]] = {}

    def export(
        self, metrics_data: Any, timeout_millis: float = 10_000, **_: Any
    ) -> MetricExportResult:
        write(metric_lines(metrics_data, self._last))
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True


def write(lines: Iterable[str]) -> None:
    """Write the lines to stderr, past whatever the service put in the place of sys.stderr: what it
    logs there would be exported again. Raises nothing."""
    with contextlib.suppress(OSError):
        for line in lines:
            os.write(_STDERR, f"{line}\n".encode(errors="replace"))


def span_lines(spans: Sequence[Any]) -> Iterator[str]:
    """A line for each span, traces and spans in the order of their starts."""
    by_id = {span.context.span_id: span for span in spans}
    begun: dict[int, int] = {}
    for span in spans:
        start = span.start_time or 0
        begun[span.context.trace_id] = min(start, begun.get(span.context.trace_id, start))
    for span in sorted(
        spans,
        key=lambda span: (
            begun[span.context.trace_id],
            span.context.trace_id,
            span.start_time or 0,
        ),
    ):
        start, end = span.start_time or 0, span.end_time or span.start_time or 0
        status = span.status.status_code.name.lower()
        if span.status.description:
            status += f" ({_short(span.status.description, _LONGEST_VALUE)})"
        parts = [
            f"{'  ' * _depth(span, by_id)}{_one_line(span.name)}",
            f"{(end - start) / 1e6:.1f} ms",
            "ok" if status == "unset" else status,
            _attributes(span.attributes),
        ]
        yield _line("span", start, span.resource, span.context.trace_id, parts)


def log_line(readable: Any) -> str:
    """A line for a log record."""
    record = readable.log_record
    level = record.severity_text or getattr(record.severity_number, "name", "") or "LOG"
    scope = getattr(readable.instrumentation_scope, "name", "")
    body = record.body if isinstance(record.body, str) else json.dumps(record.body, default=str)
    text = f"{level} {scope}: {_short(body, _LONGEST_BODY)}"
    error = (record.attributes or {}).get("exception.type")
    parts = [text, _attributes(record.attributes) if not error else _with_error(record)]
    time = record.timestamp or record.observed_timestamp or 0
    return _line("log", time, readable.resource, record.trace_id or 0, parts)


def metric_lines(metrics_data: Any, last: dict[Any, tuple[float, float]]) -> Iterator[str]:
    """A line for each value that is not the one in `last`, which is updated: by metric and
    attributes, the value, and of histograms the sum."""
    for group in metrics_data.resource_metrics:
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    labels = _attributes(point.attributes)
                    key = (scope.scope.name, metric.name, labels)
                    is_histogram = hasattr(point, "count")
                    value = point.count if is_histogram else point.value
                    total = point.sum if is_histogram else 0.0
                    before, total_before = last.get(key, (0, 0.0))
                    if key in last and value == before:
                        continue
                    last[key] = (value, total)
                    has_unit = metric.unit not in ("", "1") and not metric.unit.startswith("{")
                    unit = f" {metric.unit}" if has_unit else ""
                    text = f"{metric.name} {_number(value)}{'' if is_histogram else unit}"
                    if is_histogram or getattr(metric.data, "is_monotonic", False):
                        text += f" (+{_number(value - before)})"
                    if is_histogram and value > before:
                        mean = (total - total_before) / (value - before)
                        text += f", mean {_number(mean)}{unit}"
                    yield _line(
                        "metric", point.time_unix_nano, group.resource, 0, [_one_line(text), labels]
                    )


def _line(kind: str, time: int, resource: Any, trace_id: int, parts: Sequence[str]) -> str:
    clock = datetime.fromtimestamp(time / 1e9).astimezone().strftime("%H:%M:%S.%f")[:-3]
    service = _one_line(str(resource.attributes.get("service.name", "-")))
    trace = f"{trace_id:032x}"[:_ID_DIGITS] if trace_id else _NO_TRACE
    if trace_id and _is_coloured():
        trace = f"\033[{_COLOURS[trace_id % len(_COLOURS)]}m{trace}\033[0m"
    return f"{clock} {kind:6} {service} {trace} {'  '.join(part for part in parts if part)}"


def _is_coloured() -> bool:
    return "NO_COLOR" not in os.environ and os.isatty(_STDERR)


def _depth(span: Any, by_id: Mapping[int, Any]) -> int:
    depth = 0
    while span.parent is not None and span.parent.span_id in by_id and depth < _MOST_ATTRIBUTES:
        span = by_id[span.parent.span_id]
        depth += 1
    return depth


def _with_error(record: Any) -> str:
    attributes = dict(record.attributes or {})
    error = f"{attributes.pop('exception.type')}: {attributes.pop('exception.message', '')}"
    return f"{_attributes(attributes)}  {_short(error, _LONGEST_VALUE)}".strip()


def _attributes(attributes: Mapping[str, Any] | None) -> str:
    """The first of those that say something."""
    plain = {
        key: value for key, value in (attributes or {}).items() if not key.startswith(_LEFT_OUT)
    }
    pairs = [f"{key}={_short(str(value), _LONGEST_VALUE)}" for key, value in plain.items()]
    rest = ["…"] if len(pairs) > _MOST_ATTRIBUTES else []
    return " ".join(pairs[:_MOST_ATTRIBUTES] + rest)


def _short(text: str, length: int) -> str:
    text = _one_line(text[: length + 1])
    return text if len(text) <= length else f"{text[:length]}…"


def _one_line(text: str) -> str:
    """Text without control characters: a terminal would obey them."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"
