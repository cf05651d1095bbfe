"""The REST API: reads over storage, shaped as the answers of /api/v1."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from clew.access import Authenticator
from clew.analysis import Registry
from clew.api import (
    attributes,
    compare,
    definitions,
    funnel,
    jaeger,
    ledger,
    logs,
    series,
    services,
    traces,
    transactions,
)
from clew.api.access import Authentication
from clew.api.clients import PerClient
from clew.api.problems import add_problem_handlers, document
from clew.api.reference import describe
from clew.storage import Reader

NOT_READY: dict[int | str, dict[str, Any]] = {503: {"description": "They do not, or not yet."}}

__all__ = ["create_app"]


def create_app(
    reader: Reader,
    ready: Callable[[], bool],
    pending: ledger.Pending = list,
    authenticator: Authenticator | None = None,
    registry: Registry | None = None,
) -> FastAPI:
    """The application. `ready` says whether ingest and queries work; `pending` what was received
    and is not in the ledger's table yet; `authenticator` finds who a client is, without it anyone;
    `registry` has the definitions."""
    app = FastAPI(
        title="clew",
        version=version("clew"),
        description="One call per business transaction: metrics, traces, logs, exceptions, joined.",
        default_response_class=JSONResponse,
        generate_unique_id_function=lambda route: route.name,
        separate_input_output_schemas=False,
    )
    app.state.reader = reader
    app.state.definitions = registry or Registry(reader.store)
    app.state.pending = pending
    add_problem_handlers(app)
    jaeger.add_malformed_handler(app)
    authenticator = authenticator or Authenticator()
    app.add_middleware(PerClient, by_key=authenticator.has_keys)
    app.add_middleware(Authentication, authenticator=authenticator)
    for module in (
        funnel,
        transactions,
        traces,
        logs,
        series,
        services,
        attributes,
        compare,
        ledger,
        definitions,
        jaeger,
    ):
        app.include_router(module.router)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/healthz", tags=["health"], response_class=PlainTextResponse)
    async def healthz() -> str:
        """The process is up."""
        return "ok\n"

    @app.get("/readyz", tags=["health"], response_class=PlainTextResponse, responses=NOT_READY)
    def readyz() -> Response:
        """Ingest and queries work."""
        if ready():
            return PlainTextResponse("ready\n")
        return document(503, "clew is starting, or its database does not answer")

    describe(app)
    return app
