"""contrib's WSGI middleware, with a shorter way for the usual request, and functions that
instrumentations of Flask, Django, Pyramid and Falcon use.

The values are contrib's, computed by its own functions and kept where they come again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from timeit import default_timer
from typing import Any

from opentelemetry import context, trace
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind, Status, StatusCode

from clew.agent.entries import request
from clew.agent.entries.active import create_active_requests
from clew.agent.entries.histograms import RequestHistogram
from clew.agent.entries.request import CACHE_SIZE, LazyAttributes, guarded

contrib: Any = import_module("opentelemetry.instrumentation.wsgi")
STABLE = contrib._StabilityMode.HTTP

Items = tuple[tuple[str, Any], ...]

_collect_request_attributes = contrib.collect_request_attributes
_collect_request_headers = contrib.collect_custom_request_headers_attributes
_collect_response_headers = contrib.collect_custom_response_headers_attributes
# Up to 0.63b1 contrib takes path and query from the target, later from PATH_INFO and QUERY_STRING.
_parse_target = getattr(contrib, "_parse_url_query", None)


def replace(module: Any) -> None:
    """Have contrib's module give the class and the functions of this one."""
    OpenTelemetryMiddleware.__module__ = module.__name__
    module.OpenTelemetryMiddleware = OpenTelemetryMiddleware
    module.collect_request_attributes = collect_request_attributes
    module.collect_custom_request_headers_attributes = collect_request_headers
    module.collect_custom_response_headers_attributes = collect_response_headers


class OpenTelemetryMiddleware(contrib.OpenTelemetryMiddleware):  # type: ignore[misc]
    """With the interface of contrib's, whose own `__call__` serves what is unusual: hooks, captured
    headers, conventions that are not the stable ones, and requests within a span."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_stable = self._sem_conv_opt_in_mode is STABLE
        # What a subclass overrides is to be called.
        is_plain = type(self) is OpenTelemetryMiddleware
        has_options = self.request_hook or self.response_hook or request.captures_headers()
        self._is_usual = is_plain and is_stable and not has_options
        if is_stable:
            self.active_requests_counter = create_active_requests(self.meter)
            self._durations = RequestHistogram(self.duration_histogram_new)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if not self._is_usual or not request.is_entry():
            return super().__call__(environ, start_response)
        entry = self._begin(environ)
        if entry is None:
            return self.wsgi(environ, start_response)
        try:
            return entry.iterate(self.wsgi(environ, entry.watching(start_response)))
        except Exception as error:
            entry.fail(error)
            raise
        finally:
            entry.finish()

    @guarded
    def _begin(self, environ: Any) -> Entry:
        return Entry(self, environ)


class Entry:
    """One request, from its arrival to the end of the response."""

    __slots__ = (
        "_connection", "_context", "_error", "_is_measured", "_middleware", "_span", "_start",
        "_start_response", "_status", "_token",
    )  # fmt: skip

    def __init__(self, middleware: OpenTelemetryMiddleware, environ: Any) -> None:
        self._middleware = middleware
        self._connection = connection_of(environ)
        self._status: str | None = None
        self._error: str | None = None
        caller = extract(environ, getter=contrib.wsgi_getter)
        self._span = middleware.tracer.start_span(
            contrib.get_default_span_name(environ),
            context=caller,
            kind=SpanKind.SERVER,
            attributes=LazyAttributes(lambda: collect_request_attributes(environ, STABLE)),
        )
        self._is_measured = middleware._durations.has_readers()
        if self._is_measured:
            middleware.active_requests_counter.add(1, self._connection.active)
        self._context = trace.set_span_in_context(self._span, caller)
        self._start = default_timer()
        self._token = context.attach(self._context)

    def watching(self, start_response: Any) -> Any:
        """A `start_response` that sees the status."""
        self._start_response = start_response
        return self._watch

    def _watch(self, status: str, response_headers: Any, *args: Any, **kwargs: Any) -> Any:
        self._see_status(status)
        return self._start_response(status, response_headers, *args, **kwargs)

    @guarded
    def _see_status(self, status: str) -> None:
        self._status = status
        record_status(self._span, status)

    def iterate(self, iterable: Any) -> Iterator[bytes]:
        """The response, within the span, which ends with it."""
        try:
            token = context.attach(self._context)
            try:
                yield from iterable
            except Exception as error:
                self._record_error(error)
                raise
            finally:
                context.detach(token)
        finally:
            close = getattr(iterable, "close", None)
            if close:
                close()
            self._end_span()

    @guarded
    def _record_error(self, error: Exception) -> None:
        request.record_error(self._span, error)

    def fail(self, error: Exception) -> None:
        """The application raised."""
        self._error = type(error).__qualname__
        self._record_error(error)
        self._describe_error(error)
        self._end_span()

    @guarded
    def _describe_error(self, error: Exception) -> None:
        if self._span.is_recording():
            self._span.set_attribute("error.type", self._error)
            self._span.set_status(Status(StatusCode.ERROR, str(error)))

    @guarded
    def _end_span(self) -> None:
        self._span.end()

    def finish(self) -> None:
        """The application returned, or raised."""
        context.detach(self._token)
        if self._is_measured:
            self._measure(default_timer() - self._start)

    @guarded
    def _measure(self, duration: float) -> None:
        middleware = self._middleware
        middleware.active_requests_counter.add(-1, self._connection.active)
        measured = self._connection.measured
        if self._error is not None:
            measured = (*measured, ("error.type", self._error))
        attributes = point_attributes(measured, None, self._status)
        middleware._durations.record(max(duration, 0), attributes, self._context)


def record_status(span: Any, status: str) -> None:
    """What contrib's `add_response_attributes` does."""
    if not span.is_recording():
        return
    code = status.partition(" ")[0]
    if code.isdecimal() and 100 <= int(code) < 500:
        span.set_attribute("http.response.status_code", int(code))
    else:
        contrib.add_response_attributes(span, status, [], None, STABLE)


def collect_request_attributes(environ: Any, sem_conv_opt_in_mode: Any = None) -> dict[str, Any]:
    """As contrib's function of that name."""
    if sem_conv_opt_in_mode is not STABLE:
        modes = () if sem_conv_opt_in_mode is None else (sem_conv_opt_in_mode,)
        return dict(_collect_request_attributes(environ, *modes))
    attributes = dict(connection_of(environ).attributes)
    target = environ.get("RAW_URI")
    if target is None:
        target = environ.get("REQUEST_URI")
    if target:
        path, query = environ.get("PATH_INFO"), environ.get("QUERY_STRING")
        if _parse_target is not None:
            path, query = _parse_target(target)
        contrib._set_http_target(attributes, target, path, query, STABLE)
    address, host = environ.get("REMOTE_ADDR"), environ.get("REMOTE_HOST")
    if address:
        attributes["client.address"] = address
    if host and host != address:
        attributes["client.address"] = host
    port = environ.get("REMOTE_PORT")
    if port:
        contrib._set_http_peer_port_server(attributes, port, STABLE)
    agent = environ.get("HTTP_USER_AGENT")
    if agent:
        attributes.update(_user_agent_attributes(agent))
    return attributes


def collect_request_headers(environ: Any) -> dict[str, Any]:
    """As contrib's, which reads all headers before it looks whether any is wanted."""
    if not os.environ.get(contrib.OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST):
        return {}
    return dict(_collect_request_headers(environ))


def collect_response_headers(response_headers: Any) -> dict[str, Any]:
    """Likewise."""
    if not os.environ.get(contrib.OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE):
        return {}
    return dict(_collect_response_headers(response_headers))


@dataclass(frozen=True)
class Connection:
    """What requests with one method over one kind of connection have in common. active, measured:
    attributes of metrics."""

    attributes: dict[str, Any]
    active: dict[str, Any]
    measured: Items


def connection_of(environ: Any) -> Connection:
    """That of a request."""
    return _connection(
        environ.get("REQUEST_METHOD", ""),
        environ.get("wsgi.url_scheme"),
        environ.get("SERVER_PROTOCOL", ""),
        environ.get("HTTP_HOST"),
        environ.get("SERVER_PORT"),
    )


@lru_cache(CACHE_SIZE)
def _connection(
    method: str, scheme: str | None, protocol: str, host: str | None, port: str | None
) -> Connection:
    environ = {
        "REQUEST_METHOD": method,
        "wsgi.url_scheme": scheme,
        "SERVER_PROTOCOL": protocol,
        "HTTP_HOST": host,
        "SERVER_PORT": port,
    }
    attributes = _collect_request_attributes(environ, STABLE)
    return Connection(
        attributes=attributes,
        active=contrib._parse_active_request_count_attrs(attributes, STABLE),
        measured=tuple(contrib._parse_duration_attrs(attributes, STABLE).items()),
    )


@lru_cache(CACHE_SIZE)
def _user_agent_attributes(agent: Any) -> dict[str, Any]:
    with_agent = _collect_request_attributes({"HTTP_USER_AGENT": agent}, STABLE)
    without = _collect_request_attributes({}, STABLE)
    return {key: value for key, value in with_agent.items() if key not in without}


@lru_cache(CACHE_SIZE)
def point_attributes(measured: Items, route: str | None, status: str | None) -> dict[str, Any]:
    """Of metrics. Nothing may change the result. status: as `start_response` gets it."""
    attributes = dict(measured)
    if status is not None:
        contrib.add_response_attributes(trace.INVALID_SPAN, status, [], attributes, STABLE)
    if route is not None:
        attributes["http.route"] = route
    return attributes
