"""Traces that are known to have a root span, so that looking for those without one costs little."""

from __future__ import annotations

import threading
import time

MAX_TRACES = 20_000  # ids that are remembered: 2 MB
MAX_AGE = 600.0  # seconds; retention may have removed a root since


class RootedTraces:
    """Remembers traces that have a root span: a trace that has one keeps it, whatever comes late.

    Rows of a trace that are not merged yet look as if it had no root, in every segment but one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._since = time.monotonic()

    def unknown(self, trace_ids: set[str]) -> set[str]:
        """Those of the traces that are not known to have a root."""
        with self._lock:
            if time.monotonic() - self._since > MAX_AGE:
                self._ids, self._since = set(), time.monotonic()
            return trace_ids - self._ids

    def add(self, trace_ids: set[str]) -> None:
        with self._lock:
            if len(self._ids) + len(trace_ids) > MAX_TRACES:
                self._ids = set()
            self._ids |= trace_ids
