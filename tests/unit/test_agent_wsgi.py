"""WSGI requests: the agent's functions for Flask, Django and others record what contrib's do, and
never harm a request."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from opentelemetry import context, trace
from opentelemetry.instrumentation import flask as contrib_flask
from opentelemetry.instrumentation import wsgi as contrib_wsgi
from opentelemetry.instrumentation.propagators import (
    TraceResponsePropagator,
    set_global_response_propagator,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.semconv._incubating.metrics.http_metrics import (
    create_http_server_active_requests,
)
from opentelemetry.util.http import ExcludeList, parse_excluded_urls

from clew.agent.entries import flask as entries_flask
from clew.agent.entries import request, wsgi
from clew.agent.entries.active import create_active_requests
from support.recorded import Recorded, stable_conventions

Environ = dict[str, Any]


@pytest.fixture(autouse=True)
def conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    stable_conventions(monkeypatch)


def environ_of(path: str = "/items/7", **more: Any) -> Environ:
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "RAW_URI": path, "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "shop", "SERVER_PORT": "8000",
        "REMOTE_ADDR": "10.0.0.9", "REMOTE_PORT": "41000", "HTTP_HOST": "shop.example:8000",
        "SCRIPT_NAME": "", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(), **more,
    }  # fmt: skip
    return {key: value for key, value in environ.items() if value is not None}


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"
ENVIRONS = {
    "plain": environ_of(),
    "query": environ_of(RAW_URI="/items/7?page=2", QUERY_STRING="page=2"),
    "no target": environ_of(RAW_URI=None),
    "other target": environ_of(RAW_URI=None, REQUEST_URI="/items/7"),
    "odd method": environ_of(REQUEST_METHOD="BREW"),
    "lower-case method": environ_of(REQUEST_METHOD="get"),
    "no host": environ_of(HTTP_HOST=None),
    "no port": environ_of(SERVER_PORT=None, REMOTE_PORT=None),
    "https": environ_of(**{"wsgi.url_scheme": "https"}),
    "no client": environ_of(REMOTE_ADDR=None, REMOTE_PORT=None),
    "odd client": environ_of(REMOTE_ADDR="", REMOTE_PORT="none"),
    "client with name": environ_of(REMOTE_HOST="client.example"),
    "client with address as name": environ_of(REMOTE_HOST="10.0.0.9"),
    "http 1.0": environ_of(SERVER_PROTOCOL="HTTP/1.0"),
    "other protocol": environ_of(SERVER_PROTOCOL="shop/2"),
    "no protocol": environ_of(SERVER_PROTOCOL=None),
    "user agent": environ_of(HTTP_USER_AGENT="curl/8"),
    "bot": environ_of(HTTP_USER_AGENT="Googlebot/2.1"),
    "parent": environ_of(HTTP_TRACEPARENT=f"{TRACEPARENT}01"),
    "unsampled parent": environ_of(HTTP_TRACEPARENT=f"{TRACEPARENT}00"),
    "not found": environ_of("/none"),
    "failed": environ_of("/failed"),
    "wrong method": environ_of("/stock", REQUEST_METHOD="POST"),
    "raised": environ_of("/raised"),
    "stream": environ_of("/stream"),
    "odd status": environ_of("/odd"),
    "within": environ_of("/within"),
}


@pytest.mark.parametrize("name", ENVIRONS)
def test_attributes_are_those_of_contrib(name: str) -> None:
    for mode in contrib_wsgi._StabilityMode.HTTP, contrib_wsgi._StabilityMode.HTTP_DUP:
        expected = wsgi._collect_request_attributes(ENVIRONS[name], mode)
        assert wsgi.collect_request_attributes(ENVIRONS[name], mode) == expected
    old = wsgi._collect_request_attributes(ENVIRONS[name])
    assert wsgi.collect_request_attributes(ENVIRONS[name]) == old


def test_headers_are_captured_as_contrib_does(monkeypatch: pytest.MonkeyPatch) -> None:
    environ, answer = environ_of(HTTP_X_SHOP="1"), [("x-stock", "3")]
    assert wsgi.collect_request_headers(environ) == wsgi.collect_response_headers(answer) == {}
    for kind in "REQUEST", "RESPONSE":
        monkeypatch.setenv(f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_{kind}", "x-.*")
    assert wsgi.collect_request_headers(environ) == {"http.request.header.x_shop": ["1"]}
    assert wsgi.collect_response_headers(answer) == {"http.response.header.x_stock": ["3"]}


def flask_app() -> flask.Flask:
    app = flask.Flask("shop")
    app.testing = True  # what is raised leaves the application

    @app.get("/items/<int:number>")
    def item(number: int) -> dict[str, int]:
        return {"number": number}

    @app.get("/stock")
    def stock() -> str:
        return str(context.get_value("SQLCOMMENTER_ORM_TAGS_AND_VALUES"))

    app.add_url_rule("/failed", view_func=lambda: ("failed", 503), endpoint="failed")
    app.add_url_rule("/odd", view_func=lambda: flask.Response(status="odd one"), endpoint="odd")

    @app.get("/raised")
    def raised() -> None:
        raise ValueError("no stock")

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response(iter(["a", "b"]))

    @app.get("/within")
    def within() -> str:
        with app.test_request_context("/stock"):
            return "within"

    return app


def call(app: Any, environ: Environ) -> list[Any]:
    """Status, headers and body, or the exception."""
    answer: list[Any] = []

    def start_response(status: str, headers: Any, *_: Any) -> Any:
        answer[:] = [status, headers]

    try:
        result = app(dict(environ), start_response)
        answer.append(b"".join(result))
        result.close()
    except Exception as error:
        answer.append(repr(error))
    assert context.get_current() == {}
    return answer


CONTRIBS: dict[str, Any] = {
    "_rewrapped_app": entries_flask._rewrap_app,
    "_wrapped_before_request": entries_flask._wrap_before_request,
    "_wrapped_teardown_request": entries_flask._wrap_teardown_request,
    "create_http_server_active_requests": create_http_server_active_requests,
}
OURS: dict[str, Any] = {
    "_rewrapped_app": entries_flask.rewrapped_app,
    "_wrapped_before_request": entries_flask.wrapped_before_request,
    "_wrapped_teardown_request": entries_flask.wrapped_teardown_request,
    "create_http_server_active_requests": create_active_requests,
}


def instrumented(
    functions: dict[str, Any], recorded: Recorded, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> flask.Flask:
    for name, function in functions.items():
        monkeypatch.setattr(contrib_flask, name, function)
    app = flask_app()
    contrib_flask.FlaskInstrumentor.instrument_app(
        app, tracer_provider=recorded.tracers, meter_provider=recorded.meters, **options
    )
    return app


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """What contrib's functions record for requests to Flask, and ours: answers, spans, points."""

    def record(*environs: Environ, sampler: Sampler = ALWAYS_ON, **options: Any) -> tuple[Any, Any]:
        results = []
        for functions in (CONTRIBS, OURS):
            with Recorded(sampler) as recorded:
                app = instrumented(functions, recorded, monkeypatch, **options)
                answers = [call(app, environ) for environ in environs]
                results.append((answers, recorded.spans(), recorded.points()))
        return results[0], results[1]

    return record


@pytest.mark.parametrize("name", ENVIRONS)
@pytest.mark.parametrize("sampler", [ALWAYS_ON, ParentBased(ALWAYS_OFF)])
def test_requests_to_flask_are_recorded_as_contrib_records_them(
    name: str, sampler: Sampler, both: Callable[..., tuple[Any, Any]]
) -> None:
    expected, actual = both(ENVIRONS[name], sampler=sampler)
    assert actual == expected


def test_a_span_says_where_its_view_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorded() as recorded:
        call(instrumented(OURS, recorded, monkeypatch), ENVIRONS["plain"])
        assert recorded.places() == [(f"{__name__}.item", __file__)]


def _request_hook(span: Any, environ: Environ) -> None:
    span.set_attribute("path", environ["PATH_INFO"])


def _response_hook(span: Any, status: str, headers: Any) -> None:
    span.set_attribute("status", status)


class Bare(Sampler):
    """Passes no attributes on."""

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any
    ) -> Any:
        return ALWAYS_ON.should_sample(parent_context, trace_id, name)

    def get_description(self) -> str:
        return "bare"


def test_a_sampler_need_not_pass_attributes_on(both: Callable[..., tuple[Any, Any]]) -> None:
    expected, actual = both(ENVIRONS["plain"], sampler=Bare())
    assert actual == expected
    assert actual[1][0]["attributes"]["url.path"] == "/items/7"


OPTIONS: dict[str, dict[str, Any]] = {
    "request hook": {"request_hook": _request_hook},
    "response hook": {"response_hook": _response_hook},
    "excluded": {"excluded_urls": "example:8000/items"},
    "other excluded": {"excluded_urls": "health"},
    "no comments": {"enable_commenter": False},
    "fewer comments": {"commenter_options": {"route": False}},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_mean_what_they_mean_to_contrib(
    name: str, both: Callable[..., tuple[Any, Any]]
) -> None:
    expected, actual = both(ENVIRONS["plain"], environ_of("/stock"), **OPTIONS[name])
    assert actual == expected


def test_captured_headers_are_left_to_contrib(
    monkeypatch: pytest.MonkeyPatch, both: Callable[..., tuple[Any, Any]]
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE", "content-.*")
    expected, actual = both(ENVIRONS["plain"])
    assert actual == expected
    assert "http.response.header.content_type" in actual[1][0]["attributes"]


def test_old_conventions_are_left_to_contrib(
    monkeypatch: pytest.MonkeyPatch, both: Callable[..., tuple[Any, Any]]
) -> None:
    stable_conventions(monkeypatch, "http/dup")
    expected, actual = both(ENVIRONS["plain"])
    assert actual == expected
    assert "http.status_code" in actual[1][0]["attributes"]


def test_a_response_propagator_is_left_to_contrib(both: Callable[..., tuple[Any, Any]]) -> None:
    set_global_response_propagator(TraceResponsePropagator())
    try:
        for result in both(ENVIRONS["plain"]):
            assert "traceresponse" in dict(result[0][0][1])
    finally:
        set_global_response_propagator(None)  # type: ignore[no-untyped-call]


def test_a_request_within_a_span_is_an_inner_span(monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorded() as recorded:
        app = instrumented(OURS, recorded, monkeypatch)
        with recorded.tracers.get_tracer("shop").start_as_current_span("outer"):
            app.wsgi_app(environ_of(), lambda *_: None).close()
        inner, outer = recorded.spans()
    assert (inner["kind"], inner["parent"]) == ("INTERNAL", "local")
    assert outer["name"] == "outer"


def test_a_url_is_computed_only_to_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = []

    class Counting(ExcludeList):
        def url_disabled(self, url: str) -> bool:
            urls.append(url)
            return super().url_disabled(url)

    with Recorded() as recorded:
        for patterns in ([], ["none"]):
            monkeypatch.setattr(contrib_flask, "_excluded_urls_from_env", Counting(patterns))
            call(instrumented(OURS, recorded, monkeypatch), environ_of())
    assert set(urls) == {"http://shop.example:8000/items/7"}
    assert len(urls) == 3
    assert not request.excludes(parse_excluded_urls(""))


@pytest.fixture
def complaints(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.LogCaptureFixture]:
    monkeypatch.setattr(request, "_has_complained", False)
    with caplog.at_level(logging.WARNING):
        yield caplog


@pytest.mark.parametrize("function", ["connection_of", "collect_request_attributes", "_begin_span"])
def test_an_error_of_the_agent_does_not_reach_the_service(
    function: str, monkeypatch: pytest.MonkeyPatch, complaints: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a mistake")

    module = wsgi if hasattr(wsgi, function) else entries_flask
    with Recorded() as recorded:
        app = instrumented(OURS, recorded, monkeypatch)
        monkeypatch.setattr(module, function, fail)
        for _ in range(3):
            assert call(app, environ_of())[0] == "200 OK"
    assert len(complaints.messages) == 1


def test_the_parts_of_contribs_modules_are_replaced() -> None:
    module = type(contrib_wsgi)(contrib_wsgi.__name__)
    wsgi.replace(module)
    entries_flask.replace(module)
    assert module.OpenTelemetryMiddleware is wsgi.OpenTelemetryMiddleware
    assert module._rewrapped_app is entries_flask.rewrapped_app
    assert module.collect_request_attributes is wsgi.collect_request_attributes
    assert trace.get_current_span() is trace.INVALID_SPAN


def plain_app(
    status: str = "200 OK", *, error: str = "", late: bool = False, closing: Any = None
) -> Any:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            if error:
                raise ValueError(error)

        def close(self) -> None:
            if closing is not None:
                closing()

    def app(environ: Environ, start_response: Any) -> Any:
        start_response(status, [("x-stock", "3")])
        if error and not late:
            raise ValueError(error)
        return Body()

    return app


APPS = {
    "plain": plain_app(),
    "not found": plain_app("404 Not Found"),
    "failed": plain_app("503 Service Unavailable"),
    "odd status": plain_app("odd one"),
    "no reason": plain_app("200 "),
    "raised": plain_app(error="no stock"),
    "raised late": plain_app(error="no stock", late=True),
}


def call_middleware(app: Any, environ: Environ) -> list[Any]:
    """As a server does: what was sent, and the exception."""
    sent: list[Any] = []
    response: Any = None
    try:
        response = app(dict(environ), lambda *answer: sent.append(answer))
        sent.extend(response)
    except Exception as error:
        sent.append(repr(error))
    finally:
        if response is not None:
            response.close()
    return sent


def middlewares(app: Any, environ: Environ, sampler: Sampler, **options: Any) -> list[Any]:
    results = []
    for kind in (wsgi.OpenTelemetryMiddleware.__mro__[1], wsgi.OpenTelemetryMiddleware):
        with Recorded(sampler) as recorded:
            middleware = kind(
                app, tracer_provider=recorded.tracers, meter_provider=recorded.meters, **options
            )
            answer = call_middleware(middleware, environ)
            results.append((answer, recorded.spans(), recorded.points()))
    return results


@pytest.mark.parametrize("name", ENVIRONS)
@pytest.mark.parametrize("sampler", [ALWAYS_ON, ParentBased(ALWAYS_OFF)])
def test_the_middleware_records_as_that_of_contrib(name: str, sampler: Sampler) -> None:
    expected, actual = middlewares(plain_app(), ENVIRONS[name], sampler)
    assert actual == expected


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF])
def test_the_middleware_records_answers_as_that_of_contrib(name: str, sampler: Sampler) -> None:
    expected, actual = middlewares(APPS[name], environ_of(), sampler)
    assert actual == expected


@pytest.mark.parametrize(
    "options",
    [
        {"request_hook": _request_hook},
        {"response_hook": lambda span, environ, status, headers: span.set_attribute("s", status)},
    ],
)
def test_hooks_are_left_to_the_middleware_of_contrib(options: dict[str, Any]) -> None:
    expected, actual = middlewares(plain_app(), environ_of(), ALWAYS_ON, **options)
    assert actual == expected


def test_a_subclass_is_left_to_contrib() -> None:
    class Kept(wsgi.OpenTelemetryMiddleware):
        @staticmethod
        def _create_start_response(span: Any, *rest: Any) -> Any:
            span.set_attribute("kept", True)
            return wsgi.OpenTelemetryMiddleware._create_start_response(span, *rest)

    with Recorded() as recorded:
        call_middleware(Kept(plain_app(), tracer_provider=recorded.tracers), environ_of())
        [span] = recorded.spans()
    assert span["attributes"]["kept"]


def test_a_response_is_sent_within_its_span_and_closed_before_the_span_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield str(trace.get_current_span().get_span_context().is_valid).encode()

    with Recorded() as recorded:
        providers = {"tracer_provider": recorded.tracers, "meter_provider": recorded.meters}
        middleware = wsgi.OpenTelemetryMiddleware(app, **providers)
        assert call_middleware(middleware, environ_of())[1:] == [b"True"]
        assert context.get_current() == {}
        counts = [len(recorded.spans())]
        closing = plain_app(closing=lambda: counts.append(len(recorded.spans())))
        call_middleware(wsgi.OpenTelemetryMiddleware(closing, **providers), environ_of())
        counts.append(len(recorded.spans()))
    assert counts == [1, 1, 2]
    assert not caplog.messages


@pytest.mark.parametrize(
    "function", ["connection_of", "collect_request_attributes", "point_attributes", "extract"]
)
def test_an_error_of_the_middleware_does_not_reach_the_service(
    function: str, monkeypatch: pytest.MonkeyPatch, complaints: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(wsgi, function, fail)
    with Recorded() as recorded:
        middleware = wsgi.OpenTelemetryMiddleware(
            plain_app(), tracer_provider=recorded.tracers, meter_provider=recorded.meters
        )
        for _ in range(3):
            assert list(middleware(environ_of(), lambda *_: None)) == [b"a"]
    assert len(complaints.messages) == 1
