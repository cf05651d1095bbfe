"""Metrics of the host, once for each host and not once for each process.

They are read by whoever holds an abstract Unix socket, whose name the kernel frees when its holder
ends, in whatever way; the others try at each interval. The resource is the host alone, so a change
of holder begins no new series. Processes that send elsewhere have a socket of another name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace

from clew.agent import exporting, settings

PREFIX = "system."
_PATIENCE_S = 1.0  # for a thread that ends
# What tells receivers, and their tenants, apart.
_RECEIVER = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
)


def is_supported() -> bool:
    """Whether this system has abstract sockets: Linux alone."""
    return sys.platform == "linux"


def socket_name(environ: Mapping[str, str]) -> str:
    """The abstract address that the one process holds which reads the host for a receiver."""
    receiver = "\n".join(environ.get(name, "") for name in _RECEIVER)
    return f"\0clew-host-{hashlib.sha256(receiver.encode()).hexdigest()[:16]}"


class HostMetrics:
    """Reads and exports metrics of the host from `begin` to `shutdown`, while it holds the
    socket."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._reader: Any = None
        self._exporters: list[Any] = []
        self._end = threading.Event()
        self._is_paused = False

    def begin(self) -> None:
        """Start the thread that reads, if there is an exporter for what it reads. Raises
        RuntimeError if no thread can be started."""
        if self._thread is None and _exporter_classes():
            self._end = threading.Event()
            self._is_paused = False
            self._holds_socket()
            thread = threading.Thread(target=self._run, daemon=True, name="clew-host-metrics")
            thread.start()
            self._thread = thread

    def continue_in_child(self) -> None:
        """Nothing of the parent's is kept: its thread does not run here, its locks may be held, and
        the socket would outlive it."""
        if self._socket is not None:
            self._socket.close()
        HostMetrics.__init__(self)

    def pause(self) -> None:
        """End the thread without a reading, until the next `begin`."""
        self._is_paused = True
        self._end.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)
        self._thread = self._reader = None

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Export a last time and free the socket, within the timeout."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout_millis / 1000)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._end.wait(_interval_s())
            if self._is_paused:
                return
            # An exporter that fails says so itself; the next reading may go well.
            with contextlib.suppress(Exception):
                if self._holds_socket():
                    self._export()

    def _holds_socket(self) -> bool:
        if self._socket is None:
            candidate = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                candidate.bind(socket_name(os.environ))
            except OSError:
                candidate.close()
                return False
            self._socket = candidate
        return True

    def _export(self) -> None:
        if self._reader is None:
            with exporting.importing:
                self._exporters = [exporter_class() for exporter_class in _exporter_classes()]
                self._reader = _reader(self._exporters)
        data = self._reader.get_metrics_data()
        if data is not None:
            for exporter in self._exporters:
                exporter.export(data)


def _exporter_classes() -> list[Any]:
    """Those that metrics of the host are for: StatsD and Prometheus have others that read them."""
    return [
        kind
        for kind in exporting.metric_classes()
        if hasattr(kind, "export") and getattr(kind, "is_for_hosts", True)
    ]


def _interval_s() -> float:
    try:
        return float(settings.value(os.environ, "OTEL_METRIC_EXPORT_INTERVAL")) / 1000
    except ValueError:
        return 10.0


def _reader(exporters: list[Any]) -> Any:
    """A reader of the host's metrics alone, with the temporality that the exporter prefers."""
    from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    class Instrumentor(SystemMetricsInstrumentor):
        _instance = None  # there is one of each class

    reader = InMemoryMetricReader(
        preferred_temporality=exporters[0]._preferred_temporality if exporters else None,
        preferred_aggregation=exporters[0]._preferred_aggregation if exporters else None,
    )
    provider = MeterProvider([reader], resource=_resource(), shutdown_on_exit=False)
    instrumentor = Instrumentor()
    instrumentor._config = only(instrumentor._config, of_host=True)
    instrumentor.instrument(meter_provider=provider)
    return reader


def only(config: Mapping[str, Any], *, of_host: bool) -> dict[str, Any]:
    """The part of contrib's configuration that is of the host, or of the process."""
    return {name: labels for name, labels in config.items() if name.startswith(PREFIX) is of_host}


def _resource() -> Any:
    from opentelemetry.sdk.resources import Resource

    process = getattr(trace.get_tracer_provider(), "resource", None)
    attributes = dict(process.attributes) if process is not None else {}
    return Resource(
        {key: value for key, value in attributes.items() if key.startswith(("host.", "os."))}
        or {"host.name": socket.gethostname()}
    )
