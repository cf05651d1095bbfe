"""What a service can say in its own code; `clew.agent` has the names.

It stands on OpenTelemetry's API, whose providers do nothing until the agent, or the service, sets
real ones. Where even the API is missing, it does nothing as well.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, cast

try:
    from opentelemetry import baggage, context, metrics, trace
except ImportError:
    _is_available = False
else:
    _is_available = True

_P = ParamSpec("_P")
_R = TypeVar("_R")
_SCOPE = "clew"

# OpenTelemetry's own bounds fit milliseconds; these fit seconds, from a cache to an analysis, and
# sizes, from a row to a video.
_BOUNDS: dict[str, tuple[float, ...]] = {
    "s": (
        *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
        *(1, 2.5, 5, 10, 30, 60, 300),
    ),
    "By": tuple(4.0**power for power in range(3, 16)),
}

CircuitState = Literal["closed", "open", "half_open"]


class Scope:
    """The span that a block is in."""

    def __init__(self, otel_span: Any = None) -> None:
        self._span = otel_span

    def set(self, **attributes: Any) -> None:
        """Set attributes of the span. None is left out; what is no attribute becomes text."""
        if self._span is not None:
            self._span.set_attributes(_plain(attributes))


class Block:
    """A context manager, also `async with`, and a decorator of functions and coroutines."""

    def __init__(self, enter: Callable[[], contextlib.AbstractContextManager[Scope]]) -> None:
        self._enter = enter
        self._entered: list[contextlib.AbstractContextManager[Scope]] = []

    def __enter__(self) -> Scope:
        block = self._enter()
        scope = block.__enter__()
        self._entered.append(block)
        return scope

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.pop().__exit__(kind, error, traceback)

    async def __aenter__(self) -> Scope:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_coroutine(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                with self._enter():
                    return await function(*args, **kwargs)

            return cast(Callable[_P, _R], run_coroutine)

        @functools.wraps(function)
        def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with self._enter():
                return function(*args, **kwargs)

        return run


def transaction(name: str, *, key: object = None, value: float | Decimal | None = None) -> Block:
    """A business transaction: `with transaction("Checkout", key=order.id, value=order.total):`.

    Within a request it marks the request's current span with business.transaction, business.key
    and business.value; elsewhere it starts a trace with a span of this name. Name and key go along
    in baggage: spans and log records inside, and those of services downstream, carry them.
    """
    attributes = _plain(
        {
            "business.transaction": name,
            "business.key": None if key is None else str(key),
            "business.value": None if value is None else float(value),
        }
    )
    return Block(lambda: _in_transaction(name, attributes))


def span(name: str, **attributes: Any) -> Block:
    """A span of its own: `with span("charge card", provider="stripe"):` or `@span("charge")`. An
    exception that leaves it is recorded, and it is then in error."""
    return Block(lambda: _in_span(name, _plain(attributes)))


def event(name: str, **attributes: Any) -> None:
    """Something that happened at one moment, on the current span; without one, nothing."""
    if _is_available:
        trace.get_current_span().add_event(name, _plain(attributes))


class Counter(Protocol):
    """Counts up."""

    def add(self, amount: float = 1, **attributes: Any) -> None: ...


class Gauge(Protocol):
    """Has a value now."""

    def set(self, amount: float, **attributes: Any) -> None: ...


class Histogram(Protocol):
    """Has a distribution of values."""

    def record(self, amount: float, **attributes: Any) -> None: ...


def counter(name: str, unit: str = "1", description: str = "") -> Counter:
    """The counter of this name: `counter("items.processed").add(3, kind="image")`."""
    return _Instrument("create_counter", name, unit, description)


def gauge(name: str, unit: str = "1", description: str = "") -> Gauge:
    """The gauge of this name: `gauge("queue.length").set(17)`."""
    return _Instrument("create_gauge", name, unit, description)


def histogram(name: str, unit: str = "1", description: str = "") -> Histogram:
    """The histogram of this name: `histogram("items.size", "By").record(512)`. Its buckets fit
    seconds where the unit is `s`, and sizes where it is `By`."""
    return _Instrument("create_histogram", name, unit, description)


def cache_operation(
    cache: str,
    hit: bool,
    duration: float | None = None,
    *,
    entries: int | None = None,
    size: int | None = None,
) -> None:
    """A lookup in a cache. `duration` in seconds; `entries` and `size`, in bytes, are those of the
    cache now."""
    counter("cache.lookups").add(1, **{"cache.name": cache, "cache.hit": hit})
    labels = {"cache.name": cache}
    if duration is not None:
        histogram("cache.lookup.duration", "s").record(duration, **labels)
    if entries is not None:
        gauge("cache.entries").set(entries, **labels)
    if size is not None:
        gauge("cache.size", "By").set(size, **labels)


_circuit_states: dict[str, str] = {}
_circuits = threading.Lock()


def circuit_breaker(name: str, state: CircuitState) -> None:
    """The state of a circuit breaker now. A change is counted, and is an event of the current
    span."""
    with _circuits:
        previous = _circuit_states.get(name, "closed")
        _circuit_states[name] = state
    gauge("circuit_breaker.open").set(int(state == "open"), **{"circuit_breaker.name": name})
    if state != previous:
        labels = {
            "circuit_breaker.name": name,
            "circuit_breaker.from": previous,
            "circuit_breaker.to": state,
        }
        counter("circuit_breaker.state_changes").add(1, **labels)
        event("circuit_breaker.state_change", **labels)


def bulkhead(
    name: str,
    *,
    active: int,
    limit: int | None = None,
    waiting: int | None = None,
    rejected: int = 0,
) -> None:
    """How full a bulkhead is now; `rejected`: calls that it refused since the last time."""
    labels = {"bulkhead.name": name}
    gauge("bulkhead.active").set(active, **labels)
    if limit is not None:
        gauge("bulkhead.limit").set(limit, **labels)
    if waiting is not None:
        gauge("bulkhead.waiting").set(waiting, **labels)
    if rejected:
        counter("bulkhead.rejected").add(rejected, **labels)


class _Instrument:
    """A Counter, Gauge or Histogram."""

    def __init__(self, create: str, *arguments: str) -> None:
        self._instrument = _instrument(create, *arguments) if _is_available else None

    def add(self, amount: float = 1, **attributes: Any) -> None:
        if self._instrument is not None:
            self._instrument.add(amount, _plain(attributes))

    def set(self, amount: float, **attributes: Any) -> None:
        if self._instrument is not None:
            self._instrument.set(amount, _plain(attributes))

    def record(self, amount: float, **attributes: Any) -> None:
        if self._instrument is not None:
            self._instrument.record(amount, _plain(attributes))


@functools.lru_cache(maxsize=1024)
def _instrument(create: str, name: str, unit: str, description: str) -> Any:
    options: dict[str, Any] = {}
    if create == "create_histogram" and unit in _BOUNDS:
        options["explicit_bucket_boundaries_advisory"] = _BOUNDS[unit]
    make = getattr(metrics.get_meter(_SCOPE), create)
    return make(name, unit=unit, description=description, **options)


@functools.cache
def _tracer() -> Any:
    return trace.get_tracer(_SCOPE)


@contextlib.contextmanager
def _in_span(name: str, attributes: dict[str, Any]) -> Iterator[Scope]:
    if not _is_available:
        yield Scope()
        return
    with _tracer().start_as_current_span(name, attributes=attributes) as otel_span:
        yield Scope(otel_span)


@contextlib.contextmanager
def _in_transaction(name: str, attributes: dict[str, Any]) -> Iterator[Scope]:
    if not _is_available:
        yield Scope()
        return
    carried = context.get_current()
    for key in ("business.transaction", "business.key"):
        if key in attributes:
            carried = baggage.set_baggage(key, attributes[key], carried)
        else:  # an outer transaction's key is not this one's
            carried = baggage.remove_baggage(key, carried)
    carried = baggage.remove_baggage("business.value", carried)
    token = context.attach(carried)
    try:
        current = trace.get_current_span()
        if current.get_span_context().is_valid:
            current.set_attributes(attributes)
            yield Scope(current)
        else:
            with _in_span(name, attributes) as scope:
                yield scope
    finally:
        context.detach(token)


_PLAIN = frozenset({str, bool, int, float})


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of types that OpenTelemetry has; the same object if there are no others."""
    for item in attributes.values():
        if type(item) not in _PLAIN:
            break
    else:
        return attributes
    return {
        key: item if isinstance(item, str | bool | int | float | list | tuple) else str(item)
        for key, item in attributes.items()
        if item is not None
    }
