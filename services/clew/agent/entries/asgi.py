"""The ASGI middleware: contrib's, with a shorter way for the usual request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from timeit import default_timer
from typing import Any

from opentelemetry import context, trace
from opentelemetry.propagate import extract
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import SpanKind
from opentelemetry.util.http import sanitize_method

from clew.agent.entries import request
from clew.agent.entries.active import create_active_requests
from clew.agent.entries.histograms import RequestHistogram
from clew.agent.entries.places import handler_place
from clew.agent.entries.request import CACHE_SIZE, LazyAttributes, guarded
from clew.agent.entries.routes import Details, RouteMemory, searches_routes

contrib: Any = import_module("opentelemetry.instrumentation.asgi")
propagators: Any = import_module("opentelemetry.instrumentation.propagators")

Scope = Any
Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_STABLE = contrib._StabilityMode.HTTP


def replace(module: Any) -> None:
    """Have contrib's module give the class of this one. FastAPI, which makes spans of its own where
    contrib does not, knows contrib's class by module and name."""
    OpenTelemetryMiddleware.__module__ = module.__name__
    module.OpenTelemetryMiddleware = OpenTelemetryMiddleware
    module.create_http_server_active_requests = create_active_requests


def placing(app: Any) -> Any:
    """The application, which says on contrib's span where the handler of a request stands."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        span = trace.get_current_span()

        async def respond(message: Message) -> None:
            place()  # contrib ends the span with the last message
            await send(message)

        @guarded
        def place() -> None:
            if span.is_recording():
                span.set_attributes(handler_place(scope.get("endpoint")))

        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        try:
            await app(scope, receive, respond)
        finally:
            place()

    return call


class OpenTelemetryMiddleware(contrib.OpenTelemetryMiddleware):  # type: ignore[misc]
    """With the interface of contrib's, whose own `__call__` serves what is unusual: WebSockets,
    hooks, captured headers, spans for messages, conventions that are not the stable ones, and
    requests within a span."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What a subclass overrides is to be called.
        is_plain = type(self) is OpenTelemetryMiddleware
        self._is_usual = (
            is_plain
            and self._sem_conv_opt_in_mode is _STABLE
            and not any(
                (
                    self.server_request_hook,
                    self.client_request_hook,
                    self.client_response_hook,
                    self.http_capture_headers_server_request,
                    self.http_capture_headers_server_response,
                    not self.exclude_receive_span,
                    not self.exclude_send_span,
                )
            )
        )
        if is_plain and not self._is_usual:
            self.app: Any = placing(self.app)
        self._has_exclusions = request.excludes(self.excluded_urls)
        if self._sem_conv_opt_in_mode is _STABLE:
            self._durations = RequestHistogram(self.duration_histogram_new)
            self._request_sizes = RequestHistogram(self.server_request_body_size_histogram)
            self._response_sizes = RequestHistogram(self.server_response_body_size_histogram)
        self._samples_by_trace = request.samples_by_trace(self.tracer)
        self._routes: RouteMemory | None = None
        if self._samples_by_trace and searches_routes(self.default_span_details):
            self._routes = RouteMemory(self.default_span_details)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            not self._is_usual
            or scope["type"] != "http"
            or not request.is_entry()
            or propagators.get_global_response_propagator() is not None
        ):
            await super().__call__(scope, receive, send)
            return
        entry = self._begin(scope)
        if entry is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, entry.watching(send))
        except Exception as error:
            entry.fail(error)
            raise
        finally:
            entry.finish()

    @guarded
    def _begin(self, scope: Scope) -> Entry | None:
        if self._has_exclusions and self.excluded_urls.url_disabled(
            contrib.get_host_port_url_tuple(scope)[2]
        ):
            return None
        return Entry(self, scope)


class Entry:
    """One request, from its arrival to the return of the application."""

    __slots__ = (
        "_before", "_connection", "_context", "_details", "_is_measured", "_is_watched",
        "_middleware", "_scope", "_send", "_size", "_span", "_start", "_status", "_token",
    )  # fmt: skip

    def __init__(self, middleware: OpenTelemetryMiddleware, scope: Scope) -> None:
        self._start = default_timer()
        self._middleware = middleware
        self._scope = scope
        self._connection = connection = _connection(
            scope.get("method", ""),
            scope.get("scheme"),
            scope.get("http_version"),
            tuple(scope.get("server") or ()),
        )
        self._status: Any = None
        self._size: int | None = None
        self._details: Details | None = None
        if middleware._routes is None:
            self._details = middleware.default_span_details(scope)
        caller = extract(scope, getter=_headers)
        attributes = LazyAttributes(self._attributes)
        self._span = middleware.tracer.start_span(
            connection.name if self._details is None else self._details[0],
            context=caller,
            kind=SpanKind.SERVER,
            attributes=attributes,
        )
        if not middleware._samples_by_trace:
            request.set_attributes(self._span, attributes)
        self._is_measured = middleware._durations.has_readers()
        self._is_watched = self._is_measured or self._span.is_recording()
        if self._is_watched and self._details is None:
            self._before = dict(scope)
        if self._is_measured:
            middleware.active_requests_counter.add(1, connection.active)
        self._context = trace.set_span_in_context(self._span, caller)
        self._token = context.attach(self._context)

    def _attributes(self) -> dict[str, Any]:
        attributes = dict(self._connection.attributes)
        attributes.update(_request_attributes(self._scope))
        if self._details is not None:
            attributes.update(self._details[1])
        return attributes

    def watching(self, send: Send) -> Send:
        """A `send` that sees the response, where it is needed."""
        self._send = send
        return self._watch if self._is_watched else send

    async def _watch(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._see_start(message)
        await self._send(message)
        if kind == "http.response.body" and not message.get("more_body", False):
            self._end_span()

    @guarded
    def _see_start(self, message: Message) -> None:
        self._status = status = message["status"]
        if self._span.is_recording():
            if type(status) is int and 100 <= status < 500:
                self._span.set_attribute("http.response.status_code", status)
            else:
                contrib.set_status_code(self._span, status, None, _STABLE)
        if self._is_measured:
            self._size = _content_length(message)

    def _find_details(self) -> Details:
        if self._details is None:
            self._details = self._search_details() or (self._connection.name, {})
        return self._details

    @guarded
    def _search_details(self) -> Details:
        assert self._middleware._routes is not None
        return self._middleware._routes.details(self._before, self._scope)

    @guarded
    def _name_span(self) -> None:
        """After its route, where it was not known when the span began. What the application wrote
        itself stays."""
        span = self._span
        if self._details is None and span.is_recording():
            name, attributes = self._find_details()
            if span.name == self._connection.name:
                span.update_name(name)
            present = span.attributes
            for key, value in attributes.items():
                if key not in present:
                    span.set_attribute(key, value)

    @guarded
    def _end_span(self) -> None:
        if self._span.is_recording():
            self._name_span()
            self._span.end()

    @guarded
    def fail(self, error: Exception) -> None:
        """The application raised."""
        request.record_error(self._span, error)

    def finish(self) -> None:
        """The application returned, or raised."""
        context.detach(self._token)
        if self._is_watched:
            duration = default_timer() - self._start
            self._end_span()
            if self._is_measured:
                self._measure(duration)

    @guarded
    def _measure(self, duration: float) -> None:
        middleware = self._middleware
        middleware.active_requests_counter.add(-1, self._connection.active)
        route = self._find_details()[1].get("http.route")
        attributes = _point_attributes(self._connection.measured, route, self._status)
        middleware._durations.record(max(duration, 0), attributes, self._context)
        if self._size:
            middleware._response_sizes.record(self._size, attributes, self._context)
        size = _content_length(self._scope)
        if size is not None:
            middleware._request_sizes.record(max(size, 0), attributes, self._context)


@dataclass(frozen=True)
class _Connection:
    """What requests with one method over one kind of connection have in common. name: of their
    spans, as long as nothing better is known. active, measured: attributes of metrics."""

    name: str
    attributes: dict[str, Any]
    active: dict[str, Any]
    measured: tuple[tuple[str, Any], ...]


@lru_cache(CACHE_SIZE)
def _connection(
    method: str, scheme: str | None, http_version: str | None, server: tuple[Any, ...]
) -> _Connection:
    scope = {
        "method": method, "scheme": scheme, "http_version": http_version, "server": server
    }  # fmt: skip
    attributes = contrib.collect_request_attributes(
        {key: value for key, value in scope.items() if value}, _STABLE
    )
    name = sanitize_method(method.strip())
    return _Connection(
        name="HTTP" if name == "_OTHER" else name,
        attributes=attributes,
        active=contrib._parse_active_request_count_attrs(attributes, _STABLE),
        measured=tuple(contrib._parse_duration_attrs(attributes, _STABLE).items()),
    )


def _request_attributes(scope: Scope) -> dict[str, Any]:
    """The rest of contrib's collect_request_attributes."""
    attributes: dict[str, Any] = {}
    path, query, client = scope.get("path"), scope.get("query_string"), scope.get("client")
    if path:
        attributes["url.path"] = path
    if query and path:
        # contrib's own raises for what is not UTF-8.
        attributes["url.query"] = (
            query.decode("utf8", "replace") if isinstance(query, bytes) else query
        )
    agent = _header(scope, b"user-agent")
    if agent is not None:
        attributes.update(_user_agent_attributes(agent))
    if client is not None:
        contrib._set_http_peer_ip_server(attributes, client[0], _STABLE)
        contrib._set_http_peer_port_server(attributes, client[1], _STABLE)
    return attributes


@lru_cache(CACHE_SIZE)
def _user_agent_attributes(agent: bytes) -> dict[str, Any]:
    scope = {"headers": [(b"user-agent", agent)]}
    with_agent = contrib.collect_request_attributes(scope, _STABLE)
    without = contrib.collect_request_attributes({}, _STABLE)
    return {key: value for key, value in with_agent.items() if key not in without}


@lru_cache(CACHE_SIZE)
def _point_attributes(
    measured: tuple[tuple[str, Any], ...], route: str | None, status: Any
) -> dict[str, Any]:
    """Of metrics. Nothing may change the result."""
    attributes = dict(measured)
    if route is not None:
        attributes["http.route"] = route
    if status is not None:
        contrib.set_status_code(trace.INVALID_SPAN, status, attributes, _STABLE)
    return attributes


def _header(scope: Scope | Message, name: bytes) -> bytes | None:
    """The first header with that name."""
    for key, value in scope.get("headers") or ():
        if key == name or key.lower() == name:
            return bytes(value)
    return None


def _content_length(scope: Scope | Message) -> int | None:
    text = _header(scope, b"content-length")
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


class _Headers(Getter[Any]):
    """As contrib's, which decodes every header for each that is wanted."""

    def get(self, carrier: Scope, key: str) -> list[str] | None:
        name = key.lower().encode()
        values = [
            contrib._decode_header_item(value)
            for header, value in carrier.get("headers") or ()
            if header == name or header.lower() == name
        ]
        return values or None

    def keys(self, carrier: Scope) -> list[str]:
        return list(contrib.asgi_getter.keys(carrier))


_headers = _Headers()
