"""ASGI requests: the agent's middleware records what contrib's does, and never harms a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import opentelemetry.instrumentation.asgi as contrib_module
import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.responses import PlainTextResponse
from opentelemetry import context, trace
from opentelemetry.instrumentation import fastapi as contrib_fastapi
from opentelemetry.instrumentation import starlette as contrib_starlette
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.util.http import parse_excluded_urls
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from clew.agent.entries import asgi, request
from clew.agent.entries.asgi import OpenTelemetryMiddleware
from clew.agent.polling import WithoutPolling
from support.recorded import Recorded, stable_conventions

CONTRIB = OpenTelemetryMiddleware.__mro__[1]
Scope = dict[str, Any]
App = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    stable_conventions(monkeypatch)


def scope_of(path: str = "/items/7", **more: Any) -> Scope:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", b"shop.example:8000")], "client": ("10.0.0.9", 41000),
        "server": ("10.0.0.1", 8000), **more,
    }  # fmt: skip


async def call(app: App, scope: Scope) -> list[Any]:
    """What the application sends; a last item is the exception that it raises."""
    sent: list[Any] = []
    bodies = iter([b""])

    async def receive() -> Any:
        if next(bodies, None) is None:
            await asyncio.Event().wait()  # the client stays
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception as error:
        sent.append(repr(error))
    assert context.get_current() == {}
    return sent


def plain_app(status: Any = 200, headers: Any = (), *, error: str = "", late: bool = False) -> App:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        if error and not late:
            raise ValueError(error)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})
        if error:
            raise ValueError(error)

    return app


def wrapped(kind: Any, app: App, recorded: Recorded, **options: Any) -> App:
    options = {"exclude_spans": ["send", "receive"], **options}
    return kind(
        app,
        tracer_provider=recorded.tracers,
        meter_provider=recorded.meters,
        **options,
    )


def both(
    make: Callable[[Any, Recorded], App],
    *scopes: Scope,
    sampler: Sampler = ALWAYS_ON,
) -> tuple[Any, Any]:
    """What contrib's middleware records for the scopes, and ours: answers, spans and points."""
    results = []
    for kind in (CONTRIB, OpenTelemetryMiddleware):
        with Recorded(sampler) as recorded:
            app = make(kind, recorded)
            answers = [asyncio.run(call(app, dict(scope))) for scope in scopes]
            results.append((answers, recorded.spans(), recorded.points()))
    return results[0], results[1]


PARENT = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
UNSAMPLED_PARENT = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
SCOPES = {
    "plain": scope_of(),
    "query": scope_of(query_string=b"page=2&name=%C3%A9"),
    "odd method": scope_of(method="BREW"),
    "lower-case method": scope_of(method="get"),
    "no path": scope_of(path=""),
    "no server, no client": scope_of(server=None, client=None),
    "port 80": scope_of(server=["10.0.0.1", 80]),
    "unix socket": scope_of(server=("/run/shop.sock", None), client=("", 0)),
    "https": scope_of(scheme="https", http_version="2"),
    "user agent": scope_of(headers=[(b"user-agent", b"curl/8"), (b"user-agent", b"other")]),
    "bot": scope_of(headers=[(b"User-Agent", b"Googlebot/2.1")]),
    "latin user agent": scope_of(headers=[(b"user-agent", "é".encode("latin-1"))]),
    "parent": scope_of(headers=[PARENT]),
    "unsampled parent": scope_of(headers=[UNSAMPLED_PARENT]),
    "body": scope_of(method="POST", headers=[(b"content-length", b"17")]),
    "odd length": scope_of(headers=[(b"content-length", b"many")]),
    "no headers": scope_of(headers=[]),
    "websocket": scope_of(type="websocket", scheme="ws"),
    "lifespan": {"type": "lifespan"},
}


@pytest.mark.parametrize("name", SCOPES)
def test_requests_are_recorded_as_contrib_records_them(name: str) -> None:
    expected, actual = both(
        lambda kind, recorded: wrapped(kind, plain_app(), recorded), SCOPES[name]
    )
    assert actual == expected


@pytest.mark.parametrize("name", SCOPES)
def test_requests_that_are_not_sampled_are_measured_as_contrib_does(name: str) -> None:
    expected, actual = both(
        lambda kind, recorded: wrapped(kind, plain_app(), recorded),
        SCOPES[name],
        sampler=ParentBased(ALWAYS_OFF),
    )
    assert actual == expected


ANSWERS = {
    "not found": plain_app(404),
    "failed": plain_app(503),
    "odd status": plain_app("200"),
    "no status": plain_app("none"),
    "early hint": plain_app(103),
    "length": plain_app(200, [(b"Content-Length", b"2")]),
    "length of zero": plain_app(200, [(b"content-length", b"0")]),
    "raised": plain_app(error="no stock"),
    "raised late": plain_app(error="no stock", late=True),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF])
def test_answers_are_recorded_as_contrib_records_them(name: str, sampler: Sampler) -> None:
    expected, actual = both(
        lambda kind, recorded: wrapped(kind, ANSWERS[name], recorded), scope_of(), sampler=sampler
    )
    assert actual == expected


def _hook(span: Any, scope: Scope) -> None:
    span.set_attribute("path", scope["path"])


OPTIONS: dict[str, dict[str, Any]] = {
    "send and receive spans": {"exclude_spans": None},
    "a hook": {"server_request_hook": _hook},
    "captured headers": {
        "http_capture_headers_server_request": ["host"],
        "http_capture_headers_server_response": ["x-.*"],
    },
    "names": {"default_span_details": lambda scope: (f"to {scope['path']}", {"shop.kind": 1})},
    "excluded": {"excluded_urls": parse_excluded_urls("example:8000/items")},
    "other excluded": {"excluded_urls": "health"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_mean_what_they_mean_to_contrib(name: str) -> None:
    app = plain_app(200, [(b"x-stock", b"3")])
    expected, actual = both(
        lambda kind, recorded: wrapped(kind, app, recorded, **OPTIONS[name]), scope_of()
    )
    assert actual == expected


def test_old_conventions_are_left_to_contrib(monkeypatch: pytest.MonkeyPatch) -> None:
    stable_conventions(monkeypatch, "http/dup")
    expected, actual = both(lambda kind, recorded: wrapped(kind, plain_app(), recorded), scope_of())
    assert actual == expected
    assert "http.status_code" in actual[1][0]["attributes"]


def test_a_middleware_within_another_makes_an_inner_span() -> None:
    expected, actual = both(
        lambda kind, recorded: wrapped(kind, wrapped(kind, plain_app(), recorded), recorded),
        scope_of(),
    )
    assert actual == expected
    assert len(actual[1]) == 2


async def item(request: Any) -> PlainTextResponse:
    return PlainTextResponse("an item")


async def raising(request: Any) -> PlainTextResponse:
    raise ValueError("no stock")


def starlette_app() -> Starlette:
    return Starlette(
        routes=[
            Route("/raised/{number}", raising),
            Route("/items/{number}", item),
            Route("/things/{number}", item),
            Route("/items", item, methods=["POST"]),
            Mount("/shop", routes=[Route("/items/{number}", item)]),
        ]
    )


def fastapi_app() -> FastAPI:
    app = FastAPI()
    router = APIRouter()

    @router.get("/items/{number}")
    async def one(number: int) -> int:
        if number == 0:
            raise HTTPException(410)
        if number == 13:
            raise ValueError("no stock")
        return number

    app.include_router(router)
    app.include_router(router, prefix="/v2")
    app.add_api_route("/things/{number}", one)
    app.mount("/shop", starlette_app())
    inner = FastAPI()
    inner.include_router(router)
    app.mount("/inner", inner)
    return app


def instrumented(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]
) -> Callable[[Any, Recorded], App]:
    def instrument(kind: Any, recorded: Recorded) -> App:
        app = make()
        providers = {"tracer_provider": recorded.tracers, "meter_provider": recorded.meters}
        if isinstance(app, FastAPI):
            monkeypatch.setattr(contrib_fastapi, "OpenTelemetryMiddleware", kind)
            contrib_fastapi.FastAPIInstrumentor.instrument_app(
                app, exclude_spans=["send", "receive"], **providers
            )
        else:
            monkeypatch.setattr(contrib_starlette, "OpenTelemetryMiddleware", kind)
            contrib_starlette.StarletteInstrumentor.instrument_app(app, **providers)
            app.user_middleware[0].kwargs["exclude_spans"] = ["send", "receive"]
        return app  # type: ignore[no-any-return]

    return instrument


PATHS = (
    "/items/1", "/items/2", "/items/x", "/items/0", "/items/13", "/things/3", "/items", "/items/",
    "/shop/items/1", "/shop/none", "/raised/1", "/shop/raised/1", "/none", "/v2/items/1", "/v2/items/2", "/docs",
    "/inner/items/1", "/inner/none",
)  # fmt: skip


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF])
def test_routes_are_those_that_contrib_finds(
    make: Callable[[], Any], sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "false")
    scopes = [
        scope_of(path, method=method)
        for _ in range(2)
        for path in PATHS
        for method in ("GET", "POST", "HEAD")
    ]
    expected, actual = both(instrumented(monkeypatch, make), *scopes, sampler=sampler)
    for _, _, points in (expected, actual):  # contrib gives what has no size that of another
        assert points.pop("http.server.response.body.size")
    for one, other in zip(actual, expected, strict=True):
        assert one == other


def test_a_span_says_where_its_handler_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorded() as recorded:
        app = instrumented(monkeypatch, fastapi_app)(OpenTelemetryMiddleware, recorded)
        for path in ("/items/1", "/v2/items/1", "/none"):
            asyncio.run(call(app, scope_of(path)))
        place = f"{__name__}.one", __file__
        assert recorded.places() == [place, place, (None, None)]


def test_a_span_with_captured_headers_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", "x-tenant")
    with Recorded() as recorded:
        app = instrumented(monkeypatch, fastapi_app)(OpenTelemetryMiddleware, recorded)
        for path in ("/items/1", "/none"):
            asyncio.run(call(app, scope_of(path)))
        assert recorded.places() == [(f"{__name__}.one", __file__), (None, None)]


def test_a_name_that_the_service_gives_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> FastAPI:
        app = FastAPI()

        @app.get("/items/{number}")
        async def one(number: int) -> None:
            span = trace.get_current_span()
            span.update_name("an item")
            span.set_attribute("http.route", "elsewhere")

        return app

    expected, actual = both(instrumented(monkeypatch, make), scope_of())
    assert actual == expected
    assert actual[1][0]["name"] == "an item"


def test_the_usual_samplers_need_no_name() -> None:
    ratio = TraceIdRatioBased(0.5)
    usual: list[Any] = [ALWAYS_ON, ratio, ParentBased(ratio), WithoutPolling(ParentBased(ratio))]
    others = [ByName(), ParentBased(ByName()), WithoutPolling(ByName()), None]
    for sampler in (*usual, *others):
        tracer = SimpleNamespace(sampler=sampler)
        assert request.samples_by_trace(tracer) == (sampler in usual)


class ByName(Sampler):
    """Drops by the span's name, and remembers what it was asked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any
    ) -> Any:
        self.names.append(name)
        return ALWAYS_OFF.should_sample(parent_context, trace_id, name)

    def get_description(self) -> str:
        return "by name"


def test_a_sampler_need_not_pass_attributes_on() -> None:
    class Bare(ByName):
        def should_sample(
            self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any
        ) -> Any:
            return ALWAYS_ON.should_sample(parent_context, trace_id, name)

    expected, actual = both(
        lambda kind, recorded: wrapped(kind, plain_app(), recorded), scope_of(), sampler=Bare()
    )
    assert actual == expected
    assert actual[1][0]["attributes"]["url.path"] == "/items/7"


def test_a_sampler_that_reads_names_gets_the_route(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = ByName()
    with Recorded(ParentBased(sampler)) as recorded:
        app = instrumented(monkeypatch, fastapi_app)(OpenTelemetryMiddleware, recorded)
        asyncio.run(call(app, scope_of("/items/1")))
    assert sampler.names == ["GET /items/{number}"]


def test_a_request_that_is_not_sampled_needs_no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: Any) -> Any:
        raise AssertionError("attributes were read")

    monkeypatch.setattr(asgi, "_request_attributes", forbid)
    with Recorded(ALWAYS_OFF) as recorded:
        answer = asyncio.run(
            call(wrapped(OpenTelemetryMiddleware, plain_app(), recorded), scope_of())
        )
        assert answer[0]["type"] == "http.response.start"
        assert recorded.points()["http.server.request.duration"]


def test_requests_in_flight_are_counted() -> None:
    counts = []
    with Recorded() as recorded:

        async def app(scope: Scope, receive: Any, send: Any) -> None:
            [point] = recorded.points()["http.server.active_requests"]
            counts.append((point["attributes"], point["value"]))
            await plain_app()(scope, receive, send)

        asyncio.run(call(wrapped(OpenTelemetryMiddleware, app, recorded), scope_of()))
        [point] = recorded.points()["http.server.active_requests"]
    assert counts == [({"http.request.method": "GET", "url.scheme": "http"}, 1)]
    assert point["value"] == 0


def test_a_response_without_a_length_has_no_size() -> None:
    """contrib's takes that of another response."""
    answers = iter([plain_app(200, [(b"content-length", b"2")]), plain_app()])

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await next(answers)(scope, receive, send)

    with Recorded() as recorded:
        middleware = wrapped(OpenTelemetryMiddleware, app, recorded)
        for _ in range(2):
            asyncio.run(call(middleware, scope_of()))
        [point] = recorded.points()["http.server.response.body.size"]
    assert point["count"] == 1


@pytest.fixture
def complaints(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.LogCaptureFixture]:
    monkeypatch.setattr(request, "_has_complained", False)
    with caplog.at_level(logging.WARNING):
        yield caplog


@pytest.mark.parametrize(
    "function",
    ["_connection", "_request_attributes", "_point_attributes", "_content_length", "extract"],
)
def test_an_error_of_the_agent_does_not_reach_the_service(
    function: str, monkeypatch: pytest.MonkeyPatch, complaints: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(asgi, function, fail)
    with Recorded() as recorded:
        middleware = wrapped(OpenTelemetryMiddleware, plain_app(), recorded)
        for _ in range(3):
            answer = asyncio.run(call(middleware, scope_of()))
            assert [message["type"] for message in answer] == [
                "http.response.start", "http.response.body", "http.response.body"
            ]  # fmt: skip
    assert len(complaints.messages) == 1


def test_a_query_that_is_not_text_does_not_harm_the_request() -> None:
    """contrib's raises."""
    with Recorded() as recorded:
        middleware = wrapped(OpenTelemetryMiddleware, plain_app(), recorded)
        answer = asyncio.run(call(middleware, scope_of(query_string=b"name=\xff")))
        assert answer[0]["status"] == 200
        [span] = recorded.spans()
    assert span["attributes"]["url.query"] == "name=�"


def test_an_error_whose_text_fails_is_still_the_services_own() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        def __repr__(self) -> str:
            return "Odd()"

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        raise Odd

    with Recorded() as recorded:
        answer = asyncio.run(call(wrapped(OpenTelemetryMiddleware, app, recorded), scope_of()))
    assert answer == ["Odd()"]


def test_a_middleware_that_answers_first_leaves_the_route_to_contribs_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["path"] = "/changed"
            await PlainTextResponse("closed", 401)(scope, receive, send)

    def make() -> Starlette:
        return Starlette(routes=[Route("/items/{number}", item)], middleware=[Middleware(Closed)])

    expected, actual = both(instrumented(monkeypatch, make), scope_of(), scope_of("/none"))
    assert actual == expected
    assert actual[1][0]["name"] == "GET /items/{number}"


def test_a_subclass_is_left_to_contrib() -> None:
    class Kept(OpenTelemetryMiddleware):
        def _set_server_span(self, span: Any, *rest: Any) -> None:
            span.set_attribute("kept", True)
            super()._set_server_span(span, *rest)

    with Recorded() as recorded:
        asyncio.run(call(wrapped(Kept, plain_app(), recorded), scope_of()))
        [span] = recorded.spans()
    assert span["attributes"]["kept"]


def test_it_stands_where_contribs_stood() -> None:
    module = type(contrib_module)(contrib_module.__name__)
    asgi.replace(module)
    assert module.OpenTelemetryMiddleware is OpenTelemetryMiddleware
    # FastAPI looks for this module and name.
    assert OpenTelemetryMiddleware.__module__ == contrib_module.__name__
    assert OpenTelemetryMiddleware.__name__ == "OpenTelemetryMiddleware"
