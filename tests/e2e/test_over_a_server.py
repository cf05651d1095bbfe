"""`clew collect` and `clew serve` over `clickhouse://`: the server is another clew's port 8123."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from servers import Collect, Serve, Server
from stored import wait_until_loaded
from traffic import SECOND, SERVER, Process, Span, spans_request

NOW = int(time.time()) * SECOND
PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def collect(
    server: Server, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collect]:
    running = Collect(tmp_path_factory.mktemp("collect") / "data", server, serve)
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def serve(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    running = Serve(tmp_path_factory.mktemp("serve") / "data", server)
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


def test_what_is_collected_is_served(server: Server, collect: Collect, serve: Serve) -> None:
    span = Span("a" * 32, "b" * 16, "", Process("web", "web-1"), "GET /", SERVER, NOW, SECOND)
    httpx.post(
        f"{collect.endpoints['otlp_http']}/v1/traces",
        content=spans_request([span]).SerializeToString(),
        headers=PROTOBUF,
    ).raise_for_status()
    wait_until_loaded(collect.data)
    print(serve.get("/api/v1/traces").json())
    assert serve.get("/api/v1/traces").json() == server.get("/api/v1/traces").json()
