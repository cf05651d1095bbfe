"""The REST API: reads from storage and shapes the responses of /api/v1.

answer, parameters    what every route uses: reading, and common parameters
problems, clients     errors as problem documents; limits for each client
models, reference     the OpenAPI document
the other modules     routes, or parts of their responses
"""

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
    exceptions,
    funnel,
    heatmap,
    instances,
    jaeger,
    jaeger_metrics,
    ledger,
    logs,
    metrics,
    services,
    traces,
    transactions,
)
from clew.api.access import Authentication
from clew.api.clients import PerClient
from clew.api.compression import Compression
from clew.api.problems import add_problem_handlers, problem_response
from clew.api.reference import describe
from clew.storage import Reader

ROUTES = (  # modules with a router, in the order of the document
    transactions,
    instances,
    funnel,
    heatmap,
    traces,
    logs,
    metrics,
    services,
    attributes,
    exceptions,
    compare,
    ledger,
    definitions,
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
    pending: ledger.Pending = list,
    authenticator: Authenticator | None = None,
    registry: Registry | None = None,
) -> FastAPI:
    """The application.

    `ready`: whether ingest and queries work. `pending`: ledger rows that are not in its table yet.
    `authenticator`: finds a request's principal; without it every client may do everything.
    `registry`: the definitions of business transactions."""
    app = FastAPI(
        title="clew",
        version=version("clew"),
        description="Business transactions, joined with everything that belongs to them.",
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
    app.add_middleware(Compression)
    for module in ROUTES:
        app.include_router(module.router)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

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

    describe(app)
    return app
