"""Getting telemetry out of the process without the process noticing.

Three promises to the service: the end of the process waits for us at most CLEW_FLUSH_TIMEOUT
seconds, a SIGTERM loses nothing that was measured before it, and a collector that cannot be
reached costs one log line a minute.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from clew.agent import exporting, settings
from clew.agent.records import CapturedRecord

_COMPLAINT_INTERVAL_S = 60.0

# Everything of the SDK that speaks up, on each attempt, when an export fails.
_EXPORT_LOGGERS = (
    "clew.agent.encoding",
    "clew.agent.points",
    "clew.agent.transport",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal",
    "opentelemetry.sdk.metrics._internal.export",
    "clew.agent.statsd",
)
_ATTRIBUTES_LOGGER = "opentelemetry.attributes"


class FlushBudget:
    """The time that is left for sending, counted from the first question."""

    def __init__(self) -> None:
        self._deadline: float | None = None

    def remaining_ms(self) -> int:
        if self._deadline is None:
            self._deadline = time.monotonic() + _flush_timeout_s()
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def _flush_timeout_s() -> float:
    try:
        return float(settings.value(os.environ, "CLEW_FLUSH_TIMEOUT"))
    except ValueError:
        return 1.5


_budget = FlushBudget()
_flushing = threading.Lock()
_is_flushed = False
_after_flush: list[Callable[[], None]] = []
_deliveries: list[SpanDelivery | LogDelivery] = []
_providers: list[Any] = []  # of the agent: of traces, logs, metrics


class SpanDelivery(BatchSpanProcessor):
    """The SDK's batch processor, whose shutdown would otherwise take up to 30 s of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _deliveries.append(self)

    def shutdown(self) -> None:
        self._batch_processor.shutdown(timeout_millis=_budget.remaining_ms())


class LogDelivery(BatchLogRecordProcessor):
    """As SpanDelivery, for log records. `takes_captured`: whether the exporter can encode what the
    agent captured without the SDK."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.takes_captured = getattr(self._batch_processor._exporter, "takes_captured", False)
        _deliveries.append(self)

    def take(self, record: CapturedRecord) -> None:
        """Queue a record that the SDK did not see."""
        self._batch_processor.emit(record)  # type: ignore[arg-type]

    def shutdown(self) -> None:
        self._batch_processor.shutdown(timeout_millis=_budget.remaining_ms())


def flush(then: Callable[[], None] | None = None) -> None:
    """Send what is in memory and close the providers, within the budget. Raises nothing. `then` is
    called when that is done, also if it was done before or is being done by the code that a signal
    interrupted.

    Spans go first: without them the rest has nothing to hang on.
    """
    global _is_flushed
    if then is not None:
        _after_flush.append(then)
    if not _flushing.acquire(blocking=False):
        if _is_flushed and then is not None:
            then()
        return
    for provider in _with_current(
        _providers[:2], trace.get_tracer_provider, _logs.get_logger_provider
    ):
        with contextlib.suppress(Exception):
            provider.shutdown()
    for provider in _with_current(_providers[2:], metrics.get_meter_provider):
        with contextlib.suppress(Exception):
            provider.shutdown(timeout_millis=_budget.remaining_ms())
    _is_flushed = True
    for finish in _after_flush:
        finish()


def is_ending() -> bool:
    """Whether the process is at its end: its telemetry is being sent, or was."""
    return _flushing.locked()


def is_overdue() -> bool:
    """Whether the flush at the end takes longer than it may: a callback of the service's hangs."""
    return _flushing.locked() and not _is_flushed and _budget.remaining_ms() == 0


def is_anything_pending() -> bool:
    """Whether spans or log records wait to be sent."""
    return any(batch._queue for batch in batches())


def batches() -> list[Any]:
    """The SDK's queues of spans and log records, with their threads."""
    return [delivery._batch_processor for delivery in _deliveries]


def _with_current(providers: list[Any], *current: Callable[[], Any]) -> list[Any]:
    """The agent's providers, and the service's own where it set one."""
    return [*dict.fromkeys([*providers, *(get() for get in current)])]


def add_reader(provider: Any) -> None:
    """Have what is measured with a provider of the service's exported as well."""
    for kind in exporting.metric_classes():
        is_reader = issubclass(kind, MetricReader)
        provider.add_metric_reader(kind() if is_reader else PeriodicExportingMetricReader(kind()))


def shut_down_at_end(provider: Any) -> None:
    """Have something else of metrics shut down with the providers: it has their `shutdown`."""
    if provider not in _providers:
        _providers.append(provider)


def flush_at_end() -> None:
    """Flush when the interpreter exits.

    To be called after the SDK is set up: handlers run in reverse order, and the SDK's own would
    wait for 30 s per signal.
    """
    _providers[:] = [
        trace.get_tracer_provider(),
        _logs.get_logger_provider(),
        metrics.get_meter_provider(),
    ]
    atexit.register(flush)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_begin_anew)


def _begin_anew() -> None:
    """The end of the parent, in which a child may be forked, is not the child's."""
    global _budget, _flushing, _is_flushed
    _budget, _flushing, _is_flushed = FlushBudget(), threading.Lock(), False
    _after_flush.clear()


class ComplaintFilter(logging.Filter):
    """Lets one record a minute through, of all loggers it is attached to, without traceback."""

    def __init__(self, interval_s: float = _COMPLAINT_INTERVAL_S) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._next = 0.0
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return False
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return False
            self._next = now + self._interval_s
        reason = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            reason = f"{reason} {record.exc_info[1]!r}"
        record.msg = "clew: telemetry is not being delivered: %s (said once in %.0f s)"
        record.args = (reason, self._interval_s)
        record.exc_info = record.exc_text = None
        return True


def limit_complaints() -> None:
    """One line a minute from all of the export path, instead of several for every attempt."""
    complaints = ComplaintFilter()
    for name in _EXPORT_LOGGERS:
        logging.getLogger(name).addFilter(complaints)
    # A log record's extra may be anything (Django's is a request): it is exported as text.
    logging.getLogger(_ATTRIBUTES_LOGGER).addFilter(lambda record: record.levelno > logging.WARNING)
