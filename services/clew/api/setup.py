"""How this clew is set up: what a page needs to say how to send to it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import Request

from clew.api.freshness import reads
from clew.api.models import setup as models
from clew.api.reference import routes

router = routes("setup")

NAMES = ("otlp_http", "otlp_grpc", "api", "clickhouse")


@router.get("", response_model=models.Setup)
@reads()
def setup(request: Request) -> dict[str, Any]:
    """The version, the addresses that this process serves, as URLs, empty for what it does not
    serve, and what the sender of the request may do."""
    state = request.app.state
    return {
        "version": version("clew"),
        "endpoints": {name: state.endpoints.get(name, "") for name in NAMES},
        "api_keys": state.logins is not None,
        "scopes": sorted(request.state.principal.scopes),
    }
