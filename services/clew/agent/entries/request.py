"""What requests over ASGI and WSGI have in common."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from opentelemetry import context, trace
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.sdk.trace import sampling
from opentelemetry.trace import Status, StatusCode

CACHE_SIZE = 1024  # entries by what clients send; the rest is computed again
_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def guarded(function: Callable[_P, _T]) -> Callable[_P, _T | None]:
    """Have `function` return None where it raises: the first time this is logged."""

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            complain(error)
            return None

    return call


_has_complained = False


def complain(error: Exception) -> None:
    """Log an error of ours, the first of them as a warning."""
    global _has_complained
    level = logging.DEBUG if _has_complained else logging.WARNING
    _has_complained = True
    _log.log(level, "clew: a request is not recorded as it should be: %r", error)


class LazyAttributes(Mapping[str, Any]):
    """Attributes that are computed when something reads them. The usual samplers do not, so that a
    request that is not sampled needs none."""

    __slots__ = ("_attributes", "_compute")

    def __init__(self, compute: Callable[[], dict[str, Any]]) -> None:
        self._compute = compute
        self._attributes: dict[str, Any] | None = None

    def _read(self) -> dict[str, Any]:
        if self._attributes is None:
            self._attributes = self._compute() or {}
        return self._attributes

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def items(self) -> Any:
        return self._read().items()

    def copy(self) -> dict[str, Any]:
        """What the SDK asks of a sampler's attributes, up to 1.42."""
        return self._read().copy()


def is_entry() -> bool:
    """Whether a request that arrives now is the first that this process knows of its trace, and is
    to be traced."""
    current = context.get_current()
    return not current or (
        trace.get_current_span(current) is trace.INVALID_SPAN and is_http_instrumentation_enabled()
    )


def set_attributes(span: Any, attributes: LazyAttributes) -> None:
    """As contrib does after a span has begun with `attributes`: a sampler need not pass them on."""
    if span.is_recording():
        span.set_attributes(attributes)


# Samplers of these modules decide about requests by trace id and parent alone.
_SAMPLERS = (sampling.__name__, "clew.agent.polling")


def samples_by_trace(tracer: Any) -> bool:
    """Whether the tracer's sampler needs neither name nor attributes of a request's span, and
    passes the attributes on."""
    return _is_usual(getattr(tracer, "sampler", None))


def _is_usual(sampler: Any) -> bool:
    if type(sampler).__module__ not in _SAMPLERS:
        return False
    parts = [part for part in vars(sampler).values() if isinstance(part, sampling.Sampler)]
    return all(map(_is_usual, parts))


CAPTURED_HEADERS = (
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE",
)


def captures_headers() -> bool:
    """Whether the environment asks for headers as attributes."""
    return any(os.environ.get(name) for name in CAPTURED_HEADERS)


def excludes(excluded_urls: Any) -> bool:
    """Whether contrib's ExcludeList, or None, has any pattern."""
    return bool(excluded_urls and getattr(excluded_urls, "_excluded_urls", True))


def record_error(span: Any, error: BaseException) -> None:
    """As `use_span` does."""
    if span.is_recording():
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
