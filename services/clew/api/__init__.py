"""The REST API: reads from storage and shapes the responses of /api/v1.

answer, parameters    what every route uses: reading, and common parameters
problems, clients     errors as problem documents; limits for each client
models, reference     the OpenAPI document
the other modules     routes, or parts of their responses
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from clew.access import Authenticator, Logins
from clew.analysis import Registry
from clew.analysis.alerts.rulebook import Rulebook
from clew.api import (
    alert_replays,
    alert_rules,
    alert_status,
    alerts,
    attributes,
    baselines,
    budgets,
    compare,
    definitions,
    dependencies,
    diagnose,
    doctor,
    events,
    exceptions,
    findings,
    forecasts,
    funnel,
    heatmap,
    impact,
    instances,
    jaeger,
    jaeger_metrics,
    kpis,
    ledger,
    login,
    logs,
    metrics,
    notifications,
    outline,
    receivers,
    resources,
    services,
    setup,
    silences,
    traces,
    transactions,
)
from clew.api.access import Authentication, asks_for_page
from clew.api.clients import PerClient
from clew.api.compression import Compression
from clew.api.docs import add_docs
from clew.api.freshness import PendingHeader
from clew.api.problems import add_problem_handlers, problem_response
from clew.api.receivers import SendTest
from clew.api.reference import describe
from clew.api.rooted_traces import RootedTraces
from clew.storage import Reader
from clew.storage.freshness import Freshness

ROUTES = (  # modules with a router, in the order of the document
    transactions,
    instances,
    funnel,
    kpis,
    heatmap,
    traces,
    outline,
    logs,
    metrics,
    services,
    resources,
    dependencies,
    attributes,
    exceptions,
    events,
    compare,
    alert_replays,
    findings,
    diagnose,
    alert_rules,  # before alerts, whose ids its path would be
    alert_status,
    alerts,
    impact,
    silences,
    notifications,
    receivers,
    baselines,
    budgets,
    forecasts,
    ledger,
    doctor,
    definitions,
    setup,
    login,
    jaeger,
    jaeger_metrics,
)
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"description": "clew is starting, or its database does not answer."}
}

__all__ = ["create_app"]


def create_app(
    reader: Reader,
    ready: Callable[[], bool],
    freshness: Freshness | None = None,
    authenticator: Authenticator | None = None,
    registry: Registry | None = None,
    logins: Logins | None = None,
    pages: ASGIApp | None = None,
    endpoints: Mapping[str, str] | None = None,
    rulebook: Rulebook | None = None,
    send_test: SendTest | None = None,
) -> FastAPI:
    """The application.

    `ready`: whether ingest and queries work. `freshness`: what is received and not stored yet.
    `authenticator`: finds a request's principal; without it every client may do everything.
    `registry`: the definitions of business transactions. `logins`: of browsers, with keys alone.
    `pages`: responds to what lies beside the API, but for health. `endpoints`: URLs that the
    process serves, by name; more may come later. `rulebook`: the rules of alerts; without it they
    are read from the database. `send_test`: sends a test message to a receiver of alerts."""
    app = FastAPI(
        title="clew",
        version=version("clew"),
        description="Business transactions, joined with everything that belongs to them.",
        default_response_class=JSONResponse,
        generate_unique_id_function=lambda route: route.name,
        separate_input_output_schemas=False,
        docs_url=None,  # it would load scripts from another server; see clew.api.docs
        redoc_url=None,
    )
    app.state.reader = reader
    app.state.rooted_traces = RootedTraces()
    app.state.definitions = registry or Registry(reader.store)
    app.state.freshness = freshness or Freshness()
    app.state.logins = logins
    app.state.endpoints = endpoints or {}
    app.state.rulebook = rulebook
    app.state.send_test = send_test
    add_problem_handlers(app)
    jaeger.add_malformed_handler(app)
    authenticator = authenticator or Authenticator()
    if pages is not None:
        app.add_middleware(_Pages, pages=pages)
    app.add_middleware(PendingHeader)
    app.add_middleware(PerClient, by_key=authenticator.has_keys)
    app.add_middleware(Authentication, authenticator=authenticator, logins=logins)
    app.add_middleware(Compression)
    for module in ROUTES:
        app.include_router(module.router)
    _add_health(app, ready)
    add_docs(app)
    describe(app)
    return app


def _add_health(app: FastAPI, ready: Callable[[], bool]) -> None:
    @app.get("/healthz", tags=["health"], response_class=PlainTextResponse)
    async def healthz() -> str:
        """Whether the process is up: 200 as long as it can respond."""
        return "ok\n"

    @app.get("/readyz", tags=["health"], response_class=PlainTextResponse, responses=NOT_READY)
    def readyz() -> Response:
        """Whether clew is ready: 200 once ingest and queries work."""
        if ready():
            return PlainTextResponse("ready\n")
        return problem_response(503, "clew is starting, or its database does not answer")


class _Pages:
    """Middleware: `pages` responds to a GET of what lies beside the API."""

    def __init__(self, app: ASGIApp, pages: ASGIApp) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and asks_for_page(scope)
        await (self._pages if is_page else self._app)(scope, receive, send)
