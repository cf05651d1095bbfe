"""Metrics of the process and the host, from a moment after the start: reading them needs psutil,
which a start does not wait for."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

from clew.agent.exporting import importing

_DELAY_S = 1.0


def measure() -> Callable[[], None]:
    """Begin in a second, in this process and in those that are forked from it. Returns what begins
    at once: a process that ends earlier is measured at its end."""
    disabled = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    if {"system_metrics", "*"} & {name.strip() for name in disabled.split(",")}:
        return lambda: None
    measurement = _Measurement()
    measurement.begin_soon()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=measurement.continue_in_child)
    return measurement.begin


class _Measurement:
    def __init__(self) -> None:
        self._instrumentor: Any = None

    def begin_soon(self) -> None:
        timer = threading.Timer(_DELAY_S, self.begin)
        timer.daemon = True
        timer.name = "clew-system-metrics"
        with contextlib.suppress(RuntimeError):  # no thread can be started
            timer.start()

    def continue_in_child(self) -> None:
        """A timer of the parent's does not run here; and the instrumentation would go on to report
        the memory and CPU of the process that it was made in."""
        if self._instrumentor is None:
            self.begin_soon()
        else:
            self._instrumentor._proc = type(self._instrumentor._proc)(os.getpid())

    def begin(self) -> None:
        with contextlib.suppress(Exception):
            with importing:
                if self._instrumentor is not None:
                    return
                from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor

                self._instrumentor = SystemMetricsInstrumentor()
            self._instrumentor.instrument()
