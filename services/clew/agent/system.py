"""Metrics of the process and the host, from a second after the start. Reading them needs psutil,
and sending them the exporter: a start does not wait for the one, and a command of half a second
that recorded nothing needs neither."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

from clew.agent import delivery
from clew.agent.exporting import importing
from clew.agent.host import HostMetrics, is_supported, only

_DELAY_S = 1.0


def measure() -> Measurement:
    """Begin in a second, in this process and in those that are forked from it."""
    disabled = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    is_on = not {"system_metrics", "*"} & {name.strip() for name in disabled.split(",")}
    measurement = Measurement(is_on)
    measurement.resume()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=measurement.continue_in_child)
    return measurement


class Measurement:
    """The metrics of this process and its host."""

    def __init__(self, is_on: bool) -> None:
        self._is_on = is_on
        self._timer: threading.Timer | None = None
        self._instrumentor: Any = None
        self._host = HostMetrics() if is_supported() else None

    def resume(self) -> None:
        """Begin in a second what has not begun, or was paused."""
        if not self._is_on:
            return
        self._timer = threading.Timer(_DELAY_S, self.begin)
        self._timer.daemon = True
        self._timer.name = "clew-system-metrics"
        with contextlib.suppress(RuntimeError):  # no thread can be started
            self._timer.start()

    def pause(self) -> None:
        """End the threads: the one that waits for the beginning, and the host's."""
        if self._timer is not None and self._timer.is_alive():
            self._timer.cancel()
            self._timer.join(_DELAY_S)
        if self._host is not None:
            self._host.pause()

    def continue_in_child(self) -> None:
        """A timer of the parent's does not run here; and the instrumentation would go on to report
        the memory and CPU of the process that it was made in."""
        if self._host is not None:
            self._host.continue_in_child()
        if self._instrumentor is not None:
            self._instrumentor._proc = type(self._instrumentor._proc)(os.getpid())
        self.resume()

    def begin(self) -> None:
        """Begin now. Raises nothing."""
        if not self._is_on:
            return
        with contextlib.suppress(Exception):
            self._begin_with_process()
        with contextlib.suppress(Exception):
            if self._host is not None:
                self._host.begin()
                delivery.shut_down_at_end(self._host)

    def _begin_with_process(self) -> None:
        with importing:
            if self._instrumentor is not None:
                return
            from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor

            self._instrumentor = SystemMetricsInstrumentor()
        if self._host is not None:
            self._instrumentor._config = only(self._instrumentor._config, of_host=False)
        self._instrumentor.instrument()
