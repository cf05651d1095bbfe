"""Exporters that are imported when they first export, on the thread that exports: a start does not
wait for them. All of them redact what they export, on that thread. OTLP over HTTP is encoded and
posted by the agent (clew.agent.otlp); what that cannot do, OpenTelemetry's exporters do.

Which exporters there are, OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER say.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from opentelemetry.sdk import _configuration
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from clew.agent import exporters

import_exporters = _configuration._import_exporters

_SIGNALS = ("traces", "metrics", "logs")
_OTLP_HTTP = "otlp_proto_http"
# With these the exporter itself says how a metric is to be aggregated, or it is a reader.
_METRIC_PREFERENCES = (
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
)
# These ask for what the agent's own exporter does not do.
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
_SPECIAL = ("CLIENT_CERTIFICATE", "CLIENT_KEY", "CREDENTIAL_PROVIDER")
_EXPORTER_METRICS = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"


class _Importing:
    """Held while a module is imported on a thread of the agent's. A process that is forked in the
    middle of an import could never import that module: a fork waits."""

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.__enter__, after_in_parent=self.__exit__, after_in_child=self.__exit__
            )

    def renew(self) -> None:
        """Have a lock of the kind that `threading` makes now: gevent changes it."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


importing = _Importing()


@cache
def redaction() -> Any:
    """What is done to everything before it is exported. Its patterns take some time to compile."""
    with importing:
        from clew.agent import copies

        return copies.configured()


_exporting_pid = 0


def _take_note() -> None:
    global _exporting_pid
    _exporting_pid = os.getpid()


def has_exported() -> bool:
    """Whether this process has exported something, and not only the one that it was forked from."""
    return _exporting_pid == os.getpid()


class _Deferred:
    """Makes the exporter once, when it is first needed; called for each export."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._exporter: Any = None
        self._is_shut_down = False

    def __call__(self) -> Any:
        _take_note()
        if self._exporter is None:
            with importing:
                if self._exporter is None:
                    self._exporter = self._make()
        return self._exporter

    def shut_down(self) -> None:
        exporter = self._exporter
        if exporter is not None and not self._is_shut_down:
            self._is_shut_down = True
            exporter.shutdown()


class DeferredSpanExporter(SpanExporter):
    """Passes spans to an exporter that it makes with the first of them."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._exporter = _Deferred(make)

    def export(self, spans: Any) -> SpanExportResult:
        result: SpanExportResult = self._exporter().export(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shut_down()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True  # the exporters keep nothing back


class DeferredLogExporter(LogRecordExporter):
    """As DeferredSpanExporter, for log records."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._exporter = _Deferred(make)

    def export(self, batch: Any) -> LogRecordExportResult:
        result: LogRecordExportResult = self._exporter().export(batch)
        return result

    def shutdown(self) -> None:
        self._exporter.shut_down()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class DeferredMetricExporter(MetricExporter):
    """As DeferredSpanExporter, for metrics: cumulative, with explicit buckets."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._exporter = _Deferred(make)

    def export(
        self, metrics_data: Any, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        result: MetricExportResult = self._exporter().export(metrics_data, timeout_millis, **kwargs)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._exporter.shut_down()


def deferred_exporters(
    trace_names: list[str], metric_names: list[str], log_names: list[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """In place of the SDK's own function: classes of exporters by name, for each signal. Those of
    OTLP are deferred, but a metric exporter that has preferences. All of them redact. Raises
    RuntimeError for a name that no exporter has."""
    named = (trace_names, metric_names, log_names)
    bases = (DeferredSpanExporter, DeferredMetricExporter, DeferredLogExporter)
    local = [
        exporters.classes(names, signal)
        for names, signal in zip(named, exporters.SIGNALS, strict=True)
    ]
    deferred: list[dict[str, Any]] = [
        {name: _deferred_class(bases[signal], signal, name) for name in names if _is_otlp(name)}
        for signal, names in enumerate(named)
    ]
    if any(os.environ.get(key) for key in _METRIC_PREFERENCES):
        deferred[1] = {}
    rest = [
        [name for name in names if name not in deferred[signal] and name not in local[signal]]
        for signal, names in enumerate(named)
    ]
    imported: tuple[Mapping[str, Any], ...] = import_exporters(*rest)
    traces, metrics, logs = (
        {
            name: _redacting(signal, kind)
            for name, kind in (*imported[signal].items(), *local[signal].items())
        }
        | classes
        for signal, classes in enumerate(deferred)
    )
    return traces, metrics, logs


def _redacting(signal: int, kind: type[Any]) -> type[Any]:
    """A subclass that redacts what it exports; a reader of metrics, which has no `export`, as it
    is."""
    if not hasattr(kind, "export"):
        return kind
    redact = ("spans", "metrics", "log_records")[signal]

    class Redacting(kind):  # type: ignore[misc]
        def export(self, items: Any, *args: Any, **kwargs: Any) -> Any:
            _take_note()
            return super().export(getattr(redaction(), redact)(items), *args, **kwargs)

    return Redacting


def _is_otlp(name: str) -> bool:
    return name.startswith("otlp")


def _is_plain(environ: Mapping[str, str]) -> bool:
    """Whether the agent's own exporter can do what is asked for: no proxy, no client certificate,
    no credentials by plug-in, no metrics of the exporter itself."""
    names = [name for name, text in environ.items() if text]
    if any(name.lower() in _PROXIES for name in names):
        return False
    if environ.get(_EXPORTER_METRICS, "").strip().lower() == "true":
        return False
    return not any("OTLP" in name and name.endswith(_SPECIAL) for name in names)


def metric_classes() -> list[type[Any]]:
    """The classes of what OTEL_METRICS_EXPORTER names: exporters, and readers."""
    _, classes, _ = deferred_exporters([], _configuration._get_exporter_names("metrics"), [])
    return list(classes.values())


def _deferred_class(base: type[Any], signal: int, name: str) -> type[Any]:
    is_ours = name == _OTLP_HTTP and _is_plain(os.environ)

    def make() -> Any:
        if is_ours:
            from clew.agent import otlp

            return otlp.exporter(_SIGNALS[signal])
        names: list[list[str]] = [[], [], []]
        names[signal] = [name]
        return _redacting(signal, import_exporters(*names)[signal][name])()

    class Deferred(base):  # type: ignore[misc]
        takes_captured = is_ours  # log records that the SDK did not see

        def __init__(self) -> None:
            super().__init__(make)

    return Deferred
