"""http.server.active_requests, counted where a request begins and ends, and read when the metrics
are. A counter of the SDK takes 5 µs each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Meter, Observation


class ActiveRequests:
    """In place of the up-down counter, with its name, unit and description."""

    def __init__(self, meter: Meter) -> None:
        # Lists, because what is appended and popped needs no lock: a process could be forked while
        # another thread holds it.
        self._active: dict[frozenset[tuple[str, Any]], list[None]] = {}
        meter.create_observable_up_down_counter(
            "http.server.active_requests",
            callbacks=[self._observe],
            unit="{request}",
            description="Number of active HTTP server requests.",
        )

    def add(
        self, amount: int, attributes: Mapping[str, Any] | None = None, context: Any = None
    ) -> None:
        """Count a request that begins (1) or ends (-1)."""
        key = frozenset((attributes or {}).items())
        active = self._active.get(key)
        if active is None:
            active = self._active.setdefault(key, [])
        if amount > 0:
            active.append(None)
        elif active:
            active.pop()

    def _observe(self, _options: CallbackOptions) -> Iterator[Observation]:
        for key, active in list(self._active.items()):
            yield Observation(len(active), dict(key))


_of_meters: WeakKeyDictionary[Meter, ActiveRequests] = WeakKeyDictionary()


def create_active_requests(meter: Meter) -> ActiveRequests:
    """In place of contrib's `create_http_server_active_requests`. A meter has one."""
    if meter not in _of_meters:
        _of_meters[meter] = ActiveRequests(meter)
    return _of_meters[meter]
