"""Flask's requests: what contrib's instrumentation puts around an application and before a request.

contrib computes a request's attributes twice and sets them twice, and its URL three times where no
URL is excluded. Its own functions serve what is unusual: hooks, captured headers, response
propagators, and conventions that are not the stable ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from time import time_ns
from timeit import default_timer
from typing import Any

from opentelemetry import context, trace
from opentelemetry.util.http import sanitize_method

from clew.agent.entries import request as requests
from clew.agent.entries import wsgi
from clew.agent.entries.active import create_active_requests
from clew.agent.entries.histograms import RequestHistogram
from clew.agent.entries.places import handler_place
from clew.agent.entries.request import CACHE_SIZE, LazyAttributes, guarded

contrib: Any = import_module("opentelemetry.instrumentation.flask")
propagators: Any = import_module("opentelemetry.instrumentation.propagators")
flask: Any = contrib.flask

_rewrap_app = contrib._rewrapped_app
_wrap_before_request = contrib._wrapped_before_request
_wrap_teardown_request = contrib._wrapped_teardown_request


def replace(module: Any) -> None:
    """Have contrib's module use the functions of this one."""
    module._rewrapped_app = rewrapped_app
    module._wrapped_before_request = wrapped_before_request
    module._wrapped_teardown_request = wrapped_teardown_request
    module.create_http_server_active_requests = create_active_requests


def _is_usual(hook: Any, sem_conv_opt_in_mode: Any) -> bool:
    is_stable = sem_conv_opt_in_mode is wsgi.STABLE
    return hook is None and is_stable and not requests.captures_headers()


def rewrapped_app(
    wsgi_app: Any,
    active_requests_counter: Any,
    duration_histogram_old: Any = None,
    response_hook: Any = None,
    excluded_urls: Any = None,
    sem_conv_opt_in_mode: Any = None,
    duration_histogram_new: Any = None,
) -> Any:
    """As contrib's `_rewrapped_app`."""
    contribs = _rewrap_app(
        wsgi_app,
        active_requests_counter,
        duration_histogram_old,
        response_hook,
        excluded_urls=excluded_urls,
        sem_conv_opt_in_mode=sem_conv_opt_in_mode,
        duration_histogram_new=duration_histogram_new,
    )
    if not _is_usual(response_hook, sem_conv_opt_in_mode):
        return contribs
    excluded = excluded_urls if requests.excludes(excluded_urls) else None
    durations = RequestHistogram(duration_histogram_new)

    @guarded
    def begin(environ: Any) -> Entry:
        return Entry(environ, active_requests_counter, durations, excluded)

    def app(environ: Any, start_response: Any) -> Any:
        if propagators.get_global_response_propagator() is not None:
            return contribs(environ, start_response)
        entry = begin(environ)
        if entry is None:
            return wsgi_app(environ, start_response)
        try:
            result = wsgi_app(environ, entry.watching(start_response))
            entry.measure()
            return result
        finally:
            entry.finish()

    return app


class Entry:
    """One request, from its arrival to the return of the application."""

    __slots__ = (
        "_connection", "_counter", "_durations", "_environ", "_excluded", "_is_measured",
        "_is_traced", "_route", "_start", "_start_response", "_status",
    )  # fmt: skip

    def __init__(self, environ: Any, counter: Any, durations: Any, excluded: Any) -> None:
        environ[contrib._ENVIRON_STARTTIME_KEY] = time_ns()
        self._start = default_timer()
        self._environ = environ
        self._counter = counter
        self._durations = durations
        self._excluded = excluded
        self._is_traced = True
        self._route: str | None = None
        self._status: str | None = None
        self._connection = wsgi.connection_of(environ)
        self._is_measured = durations.has_readers()
        if self._is_measured:
            counter.add(1, self._connection.active)

    def watching(self, start_response: Any) -> Any:
        """A `start_response` that sees the status."""
        self._start_response = start_response
        return self._watch

    def _watch(self, status: str, response_headers: Any, *args: Any, **kwargs: Any) -> Any:
        span = self._environ.get(contrib._ENVIRON_SPAN_KEY)
        if self._is_measured or (span is not None and span.is_recording()):
            self._see_status(status, span)
        return self._start_response(status, response_headers, *args, **kwargs)

    @guarded
    def _see_status(self, status: str, span: Any) -> None:
        request = flask.request
        excluded = self._excluded
        self._is_traced = bool(
            request and (excluded is None or not excluded.url_disabled(request.url))
        )
        if not self._is_traced:
            return
        rule = request.url_rule
        self._route = None if rule is None else str(rule)
        if span is None:
            return
        self._status = status
        wsgi.record_status(span, status)

    @guarded
    def measure(self) -> None:
        """The application returned."""
        if not (self._is_measured and self._is_traced):
            return
        duration = default_timer() - self._start
        span = self._environ.get(contrib._ENVIRON_SPAN_KEY)
        self._durations.record(
            max(duration, 0),
            wsgi.point_attributes(self._connection.measured, self._route, self._status),
            context.get_current() if span is None else trace.set_span_in_context(span),
        )

    @guarded
    def finish(self) -> None:
        """The application returned, or raised."""
        if self._is_measured:
            self._counter.add(-1, self._connection.active)


def wrapped_before_request(
    request_hook: Any = None,
    tracer: Any = None,
    excluded_urls: Any = None,
    enable_commenter: bool = True,
    commenter_options: Any = None,
    sem_conv_opt_in_mode: Any = None,
) -> Callable[[], None]:
    """As contrib's `_wrapped_before_request`."""
    if not _is_usual(request_hook, sem_conv_opt_in_mode):
        contribs: Callable[[], None] = _wrap_before_request(
            request_hook,
            tracer,
            excluded_urls=excluded_urls,
            enable_commenter=enable_commenter,
            commenter_options=commenter_options,
            sem_conv_opt_in_mode=sem_conv_opt_in_mode,
        )
        return contribs
    excluded = excluded_urls if requests.excludes(excluded_urls) else None
    is_by_trace = requests.samples_by_trace(tracer)
    comments = lru_cache(CACHE_SIZE)(_comment(commenter_options or {}))

    @guarded
    def before_request() -> None:
        request = flask.request
        if excluded is not None and excluded.url_disabled(request.url):
            return
        span, attributes = _begin_span(tracer)
        if not is_by_trace:
            requests.set_attributes(span, attributes)
        if enable_commenter:
            rule = request.url_rule
            comment = comments(request.endpoint, None if rule is None else rule.rule)
            context.attach(context.set_value("SQLCOMMENTER_ORM_TAGS_AND_VALUES", dict(comment)))

    return before_request


def _begin_span(tracer: Any) -> tuple[Any, LazyAttributes]:
    request = flask.request
    environ, rule = request.environ, request.url_rule
    view = flask.current_app.view_functions.get(request.endpoint or "")

    def compute() -> dict[str, Any]:
        result = wsgi.collect_request_attributes(environ, wsgi.STABLE)
        if rule is not None:
            result["http.route"] = rule.rule
            result |= handler_place(view)
        return result

    attributes = LazyAttributes(compute)
    span, token = contrib._start_internal_or_server_span(
        tracer=tracer,
        span_name=(
            wsgi.contrib.get_default_span_name(environ)
            if rule is None
            else f"{_method(environ.get('REQUEST_METHOD', ''))} {rule.rule}"
        ),
        start_time=environ.get(contrib._ENVIRON_STARTTIME_KEY),
        context_carrier=environ,
        context_getter=wsgi.contrib.wsgi_getter,
        attributes=attributes,
    )
    activation = trace.use_span(span, end_on_exit=True)
    activation.__enter__()
    environ[contrib._ENVIRON_ACTIVATION_KEY] = activation
    environ[contrib._ENVIRON_REQCTX_REF_KEY] = contrib._request_ctx_ref()
    environ[contrib._ENVIRON_SPAN_KEY] = span
    environ[contrib._ENVIRON_TOKEN] = token
    return span, attributes


@lru_cache(CACHE_SIZE)
def _method(method: str) -> str:
    name = sanitize_method(method.strip())
    return "HTTP" if name == "_OTHER" else name


def _comment(options: Any) -> Callable[[str | None, str | None], dict[str, str]]:
    """What sqlcommenter is to add to statements, by endpoint and rule."""

    def comment(endpoint: str | None, rule: str | None) -> dict[str, str]:
        parts = {
            "framework": f"flask:{contrib.flask_version}", "controller": endpoint, "route": rule
        }  # fmt: skip
        return {name: part for name, part in parts.items() if part and options.get(name, True)}

    return comment


def wrapped_teardown_request(excluded_urls: Any = None) -> Any:
    """As contrib's `_wrapped_teardown_request`, which computes the URL also where there is nothing
    to compare it with."""
    return _wrap_teardown_request(excluded_urls if requests.excludes(excluded_urls) else None)
