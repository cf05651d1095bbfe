"""Metrics of the process and the host, from a second after the start. Reading them needs psutil,
and sending them the exporter: a start does not wait for the one, and a command of half a second
that recorded nothing needs neither."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

from clew.agent.exporting import importing

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

    def resume(self) -> None:
        """Begin in a second, unless it has begun."""
        if not self._is_on or self._instrumentor is not None:
            return
        self._timer = threading.Timer(_DELAY_S, self.begin)
        self._timer.daemon = True
        self._timer.name = "clew-system-metrics"
        with contextlib.suppress(RuntimeError):  # no thread can be started
            self._timer.start()

    def pause(self) -> None:
        """End the thread that waits for the beginning."""
        if self._timer is not None and self._timer.is_alive():
            self._timer.cancel()
            self._timer.join(_DELAY_S)

    def continue_in_child(self) -> None:
        """A timer of the parent's does not run here; and the instrumentation would go on to report
        the memory and CPU of the process that it was made in."""
        if self._instrumentor is None:
            self.resume()
        else:
            self._instrumentor._proc = type(self._instrumentor._proc)(os.getpid())

    def begin(self) -> None:
        """Begin now. Raises nothing."""
        if not self._is_on:
            return
        with contextlib.suppress(Exception):
            with importing:
                if self._instrumentor is not None:
                    return
                from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor

                self._instrumentor = SystemMetricsInstrumentor()
            self._instrumentor.instrument()
