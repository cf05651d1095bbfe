"""Django's requests over WSGI: contrib's middleware, with a shorter way for the usual request.

contrib computes the URL three times where none is excluded, and finds the route before Django does.
"""

from __future__ import annotations

from importlib import import_module
from timeit import default_timer
from typing import Any

from opentelemetry import context, trace
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind

from clew.agent.entries import request as requests
from clew.agent.entries import wsgi
from clew.agent.entries.active import create_active_requests
from clew.agent.entries.histograms import RequestHistogram
from clew.agent.entries.places import handler_place
from clew.agent.entries.request import LazyAttributes, guarded

contrib: Any = import_module("opentelemetry.instrumentation.django.middleware.otel_middleware")
propagators: Any = import_module("opentelemetry.instrumentation.propagators")

_ENTRY = "clew.entry"
_NAME = "_DjangoMiddleware"


def replace(module: Any) -> None:
    """Have contrib's modules use the class and the counter of this one. Django finds the class by
    module and name."""
    if hasattr(module, "DjangoInstrumentor"):
        module.create_http_server_active_requests = create_active_requests
    else:
        DjangoMiddleware.__module__, DjangoMiddleware.__qualname__ = module.__name__, _NAME
        module._DjangoMiddleware = DjangoMiddleware


class DjangoMiddleware(contrib._DjangoMiddleware):  # type: ignore[misc]
    """With the interface of contrib's, whose own methods serve what is unusual: ASGI, hooks,
    captured headers, response propagators, conventions that are not the stable ones, and requests
    within a span."""

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        self._is_usual = (
            self._sem_conv_opt_in_mode is wsgi.STABLE
            and not self._otel_request_hook
            and not self._otel_response_hook
            and not requests.captures_headers()
        )
        self._has_exclusions = requests.excludes(self._excluded_urls)
        self._samples_by_trace = requests.samples_by_trace(self._tracer)
        self._durations = RequestHistogram(self._duration_histogram_new)

    def __call__(self, request: Any) -> Any:
        if (
            not self._is_usual
            or not requests.is_entry()
            or contrib._is_asgi_request(request)
            or propagators.get_global_response_propagator() is not None
        ):
            return super().__call__(request)
        entry = self._begin(request)
        if entry is None:
            return self.get_response(request)
        response = None
        try:
            response = self.get_response(request)
            return response
        except Exception as error:
            entry.error = error
            raise
        finally:
            entry.finish(response)

    @guarded
    def _begin(self, request: Any) -> Entry | None:
        if self._has_exclusions and self._excluded_urls.url_disabled(
            request.build_absolute_uri("?")
        ):
            return None
        return Entry(self, request)

    def process_view(self, request: Any, view_func: Any, *args: Any, **kwargs: Any) -> None:
        """Django has found the route."""
        entry = request.META.get(_ENTRY)
        if entry is None:
            super().process_view(request, view_func, *args, **kwargs)
        else:
            entry.see_route()

    def process_exception(self, request: Any, exception: Exception) -> None:
        """A view raised."""
        entry = request.META.get(_ENTRY)
        if entry is None:
            super().process_exception(request, exception)
        else:
            entry.error = exception


class Entry:
    """One request, from the middleware before it to the same after it."""

    __slots__ = (
        "_connection", "_context", "_is_measured", "_middleware", "_name", "_request", "_route",
        "_span", "_start", "_token", "error",
    )  # fmt: skip

    def __init__(self, middleware: DjangoMiddleware, request: Any) -> None:
        self._middleware = middleware
        self._request = request
        self._route: str | None = None
        self.error: Exception | None = None
        environ = request.META
        self._connection = wsgi.connection_of(environ)
        self._name = None if middleware._samples_by_trace else middleware._get_span_name(request)
        attributes = LazyAttributes(self._attributes)
        caller = extract(environ, getter=wsgi.contrib.wsgi_getter)
        self._span = middleware._tracer.start_span(
            self._name or request.method,
            context=caller,
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=environ.get("opentelemetry-instrumentor-django.starttime_key"),
        )
        if not middleware._samples_by_trace:
            requests.set_attributes(self._span, attributes)
        self._is_measured = middleware._durations.has_readers()
        if self._is_measured:
            middleware._active_request_counter.add(1, self._connection.active)
        environ[_ENTRY] = self
        self._start = default_timer()
        self._context = trace.set_span_in_context(self._span, caller)
        self._token = context.attach(self._context)

    def _attributes(self) -> dict[str, Any]:
        attributes = wsgi.collect_request_attributes(self._request.META, wsgi.STABLE)
        names = self._middleware._traced_request_attrs
        return dict(contrib.extract_attributes_from_object(self._request, names, attributes))

    @guarded
    def see_route(self) -> None:
        """The request has a `resolver_match`."""
        self._route = getattr(self._request.resolver_match, "route", None) or None
        if self._route is not None and self._span.is_recording():
            self._span.set_attribute("http.route", self._route)
            self._span.set_attributes(handler_place(self._request.resolver_match.func))

    def finish(self, response: Any) -> None:
        """The response is there, or None where an exception is instead."""
        self._request.META.pop(_ENTRY, None)
        status = self._status(response)
        self._record(status)
        if self._is_measured:
            self._measure(default_timer() - self._start, status)
        self._end_span()
        context.detach(self._token)

    @guarded
    def _status(self, response: Any) -> str | None:
        return None if response is None else f"{response.status_code} {response.reason_phrase}"

    @guarded
    def _record(self, status: str | None) -> None:
        span = self._span
        if not span.is_recording():
            return
        if status is not None:
            wsgi.record_status(span, status)
        if self.error is not None:
            requests.record_error(span, self.error)
        if self._name is None and span.name == self._request.method:
            span.update_name(self._middleware._get_span_name(self._request))

    @guarded
    def _end_span(self) -> None:
        self._span.end()

    @guarded
    def _measure(self, duration: float, status: str | None) -> None:
        middleware = self._middleware
        middleware._active_request_counter.add(-1, self._connection.active)
        attributes = wsgi.point_attributes(self._connection.measured, self._route, status)
        middleware._durations.record(max(duration, 0), attributes, self._context)
