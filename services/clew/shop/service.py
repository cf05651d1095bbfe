"""What the shop's web services have in common: settings, admin routes, and how they are served."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException

from clew.shop import faults as shop_faults
from clew.shop.faults import Faults

# uvicorn closes a connection after an unhandled exception, and after some idle seconds. A client
# that keeps connections can hit that moment, and its request is lost without an answer.
FRESH_CONNECTIONS = httpx.Limits(max_keepalive_connections=0)


TENANT_HEADER = "x-tenant"
SHELVES = 3


class Instances(httpx.BaseTransport):
    """Asks the instances of a service in turn, by their base URLs."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._transport = httpx.HTTPTransport(limits=FRESH_CONNECTIONS)
        self._turns = itertools.cycle([httpx.URL(url) for url in urls])

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        instance = next(self._turns)
        request.url = request.url.copy_with(host=instance.host, port=instance.port)
        return self._transport.handle_request(request)


def client_of(service: str) -> httpx.Client:
    """A client of another service, which is at SHOP_ORDERS_URL and so on: one address, or those of
    its instances with commas between them. Raises KeyError if it is not set."""
    urls = os.environ[f"SHOP_{service.upper()}_URL"].split(",")
    transport = Instances(urls) if len(urls) > 1 else None
    return httpx.Client(base_url=urls[0], timeout=20, limits=FRESH_CONNECTIONS, transport=transport)


def bank_client() -> httpx.Client:
    """A client of the bank, a third party that is reached through a proxy, at SHOP_BANK_URL."""
    proxy = os.environ["SHOP_BANK_URL"]
    return httpx.Client(
        base_url=f"http://{shop_faults.BANK}", proxy=proxy, timeout=20, limits=FRESH_CONNECTIONS
    )


def is_large() -> bool:
    """Whether the shop has what takes more processes and calls: a bank, shelves, a cache, two
    instances of inventory."""
    return "SHOP_BANK_URL" in os.environ


def data_directory() -> Path:
    """Where databases and the queue live (SHOP_DATA, by default the working directory)."""
    directory = Path(os.environ.get("SHOP_DATA", "."))
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def faults_from_environment() -> Faults:
    """The faults that SHOP_FAULTS switches on. Raises ValueError if it cannot be read."""
    return Faults(shop_faults.parse(os.environ.get("SHOP_FAULTS", "")))


def create_app(title: str, faults: Faults) -> FastAPI:
    """A web service with the routes that every one has: /health and /admin/faults."""
    app = FastAPI(title=title)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/admin/faults")
    def read_faults() -> dict[str, Any]:
        return faults.plan.as_json()

    @app.put("/admin/faults")
    def switch_faults(plan: dict[str, Any]) -> dict[str, Any]:
        try:
            faults.switch(shop_faults.from_json(plan))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return faults.plan.as_json()

    return app


def configure_logging() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Its line for each request says nothing that ours do not.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def serve(app: FastAPI, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False)
