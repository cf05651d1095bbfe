"""clew over `clickhouse://`: the server is another clew's ClickHouse address."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from asking import Api
from clew.storage import StorageError, Store, move
from conftest import TABLES, Clew
from servers import Collect, Serve, Server
from stored import wait_until_loaded
from traffic import SECOND, SERVER, Process, Span, spans_request

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))

from loading import rows, sides_equal_their_base
from seeded import Seeded, seed

PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def remote(server: Server) -> Iterator[Store]:
    with closing(Store(server.dsn)) as store:
        yield store


@pytest.fixture(scope="module")
def seeded(remote: Store, tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    """Half an hour of a shop, by way of everything that writes: segments, the ledger, definitions,
    the settler's statements and a backfill."""
    return seed(remote, tmp_path_factory.mktemp("segments"))


def answers(get: Any, seeded: Seeded) -> dict[str, Any]:
    window = {
        name: datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()
        for name, at in (("start", seeded.start), ("end", seeded.end))
    }
    checkout = "/api/v1/transactions/checkout"
    asked: list[tuple[str, dict[str, str]]] = [
        ("/api/v1/transactions", {}),
        (checkout, {}),
        (f"{checkout}/instances", {}),
        (f"{checkout}/funnel", {}),
        ("/api/v1/traces", {"service": "payments"}),
        (f"/api/v1/traces/{seeded.trace}", {}),
        ("/api/v1/logs", {}),
        ("/api/v1/metrics", {}),
        ("/api/v1/metrics/query", {"name": "http.server.request.duration", "step": "60"}),
        ("/api/v1/services", {}),
        ("/api/v1/services/map", {}),
        ("/api/v1/ledger", {}),
        ("/api/v1/definitions", {}),
    ]
    found = {}
    for path, parameters in asked:
        answer = get(path, **parameters, **window)
        assert answer.status_code == 200, (path, answer.text)
        found[path] = answer.json()
    return found


def test_what_is_written_and_read_over_it_is_what_it_says_itself(
    server: Server, remote: Store, seeded: Seeded
) -> None:
    over_it = answers(Api(remote).response, seeded)
    assert over_it["/api/v1/transactions"]["transactions"]
    assert over_it["/api/v1/services/map"]["edges"]
    assert over_it == answers(server.get, seeded)
    assert sides_equal_their_base(remote)


def test_what_two_collect_is_settled_once_and_served(
    server: Server, seeded: Seeded, remote: Store, tmp_path: Path
) -> None:
    """Neither has an engine of its own in the memory."""
    serve = Serve(tmp_path / "serve", server)
    fleet: list[Clew] = [serve]
    try:
        fleet += [Collect(tmp_path / f"collect-{number}", server, serve) for number in range(2)]
        now = time.time_ns()
        for number, collect in enumerate(fleet[1:]):
            spans = [
                Span(f"{trace:032x}", f"{trace:016x}", "", Process("two", f"two-{number}"), "GET /",
                     SERVER, now - SECOND, SECOND // 2)
                for trace in range(number * 50 + 1, number * 50 + 51)
            ]  # fmt: skip
            httpx.post(
                f"{collect.endpoints['otlp_http']}/v1/traces",
                content=spans_request(spans).SerializeToString(),
                headers=PROTOBUF,
            ).raise_for_status()
        for collect in fleet[1:]:
            wait_until_loaded(collect.data)
        deadline = time.monotonic() + 60
        settled = "SELECT count() FROM otel.clew_settled WHERE ServiceName = 'two'"
        while server.ask(settled) != "100\n":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        holders = "SELECT DISTINCT Holder FROM otel.clew_settler WHERE Name = 'pass'"
        assert len(rows(remote, holders)) == 1
        (two,) = [
            each for each in serve.get("/api/v1/transactions").json()["transactions"]
            if each["service"] == "two"
        ]  # fmt: skip
        assert two["count"] == 100
        for clew in fleet:
            assert "chdb" not in Path(f"/proc/{clew.process.pid}/maps").read_text()
    finally:
        statuses = [clew.stop() for clew in reversed(fleet)]
    assert statuses == [0] * 3
    for clew in fleet:
        assert "Traceback" not in clew.log.read_text()
        assert "not settled yet" not in clew.log.read_text()


def test_a_database_is_moved_to_a_server(store: Store, remote: Store, tmp_path: Path) -> None:
    seed(store, tmp_path)
    with remote.client() as client:
        before = client.command("SELECT count() FROM otel.otel_traces")
        with pytest.raises(StorageError, match="has rows already"):
            move(store, remote)
        assert client.command("SELECT count() FROM otel.otel_traces") == before
        for (table,) in client.query(TABLES).result_rows:
            client.command(f"TRUNCATE TABLE otel.{table}")
    first = move(store, remote)
    assert {table.name: table for table in first if not table.equal} == {}
    moved = {table.name: table.sent for table in first}
    with store.client() as client:
        for name in ("otel_traces", "otel_logs", "otel_metrics_sum", "clew_occurrences"):
            assert moved[name] == client.command(f"SELECT count() FROM otel.{name}") > 0
    assert sides_equal_their_base(remote)
    again = move(store, remote)
    assert [table.sent for table in again] == [0] * len(again)
    assert [(each.source, each.target) for each in again] == [
        (each.source, each.target) for each in first
    ]
