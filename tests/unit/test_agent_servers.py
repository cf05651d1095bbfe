"""Which applications have entry spans of the server's call, and under which names."""

from __future__ import annotations

import asyncio
import functools
import re
from types import ModuleType, SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults

import flask
import pytest
from django.core.handlers.wsgi import WSGIHandler
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette

from clew.agent import servers


async def plain(scope: Any, receive: Any, send: Any) -> None:
    scope["path_template"] = "/items/{number}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


def within_a_closure(app: Any) -> Any:
    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return middleware


class Middleware:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Unreadable:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize(
    ("app", "is_instrumented"),
    [
        (FastAPI(), True),
        (Starlette(), True),
        (flask.Flask("shop"), True),
        (flask.Flask("shop").wsgi_app, True),
        (WSGIHandler.__new__(WSGIHandler), True),
        (Middleware(within_a_closure(functools.partial(Middleware(Starlette())))), True),
        (Middleware({"/api": FastAPI()}), True),
        (SimpleNamespace(apps={"/api": FastAPI()}), True),
        (Unreadable(), True),
        (plain, False),
        (Middleware(within_a_closure(plain)), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_framework_traces_is_left_to_it(app: Any, is_instrumented: bool) -> None:
    assert servers.is_instrumented(app) is is_instrumented
    assert (servers.asgi_entry(app) is app) is is_instrumented


@pytest.mark.parametrize(
    ("pattern", "path", "route"),
    [
        (r"^/(?P<shop>[^/]+)/(?P<item>\d+)$", "/a/1", "/{shop}/{item}"),
        (r"^/(?P<shop>[^/.]+)(\.(?P<format>\w+))?$", "/a", "/{shop}"),
        (r"^/(?P<shop>[^/.]+)(\.(?P<format>\w+))?$", "/a.json", "/{shop}.{format}"),
        (r"^/(?P<all>a(?P<part>b))$", "/ab", "/a{part}"),
        (r"^/-/static$", "/-/static", "/-/static"),
    ],
)
def test_a_route_is_made_of_what_its_expression_matched(
    pattern: str, path: str, route: str
) -> None:
    match = re.match(pattern, path)
    assert match
    assert servers.template(match) == route


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def test_a_plain_asgi_application_has_entry_spans(spans: InMemorySpanExporter) -> None:
    scope = {"type": "http", "method": "GET", "path": "/items/7", "headers": [], "scheme": "http"}
    sent = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": "http.request"}

    config = SimpleNamespace(loaded_app=plain, interface="asgi3")
    module = ModuleType("uvicorn.config")
    module.Config = type("Config", (), {"load": lambda self: None})  # type: ignore[attr-defined]
    servers.trace_uvicorn(module)
    module.Config.load.__get__(config)()
    asyncio.run(config.loaded_app(scope, receive, send))
    assert sent == ["http.response.start", "http.response.body"]
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("GET /items/{number}", trace.SpanKind.SERVER)


def test_an_application_of_bottle_has_entry_spans_and_one_that_it_mounts_has_none(
    spans: InMemorySpanExporter,
) -> None:
    class Bottle:
        inner: Any = None

        def __call__(self, environ: Any, start_response: Any) -> Any:
            if self.inner:
                return self.inner(environ, start_response)
            environ["bottle.route"] = SimpleNamespace(rule="/items/<number>")
            start_response("200 OK", [])
            return [b"x"]

    module = ModuleType("bottle")
    module.Bottle = Bottle  # type: ignore[attr-defined]
    servers.trace_bottle(module)
    app = Bottle()
    app.inner = Bottle()
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    assert list(app(environ, lambda status, headers, error=None: None)) == [b"x"]
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("GET /items/<number>", trace.SpanKind.SERVER)


def test_workers_of_gunicorn_that_speak_wsgi_make_entry_spans(spans: InMemorySpanExporter) -> None:
    class Worker:
        def load_wsgi(self) -> None:
            self.wsgi = self.app

        def app(self, environ: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return [b"x"]

    module = ModuleType("gunicorn.workers.base")
    module.Worker = Worker  # type: ignore[attr-defined]
    servers.trace_gunicorn(module)
    others = type("UvicornWorker", (Worker,), {"__module__": "uvicorn_worker"})()
    others.load_wsgi()
    assert others.wsgi == others.app
    sync = type("SyncWorker", (Worker,), {"__module__": "gunicorn.workers.sync"})()
    sync.load_wsgi()
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    assert list(sync.wsgi(environ, lambda status, headers, error=None: None)) == [b"x"]
    assert len(spans.get_finished_spans()) == 1
