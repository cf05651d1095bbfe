"""clew over `clickhouse://`: the server is another clew's ClickHouse address."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew.storage import StorageError, Store, move
from clew.storage.ledger import LedgerRow, enter
from support.asking import Api
from support.loading import rows, sides_equal_their_base
from support.processes import Clew
from support.seeded import Seeded, seed
from support.servers import Collect, Serve, Server, serving
from support.stored import wait_until_loaded
from support.traffic import SECOND, SERVER, Process, Span, spans_request

PROTOBUF = {"content-type": "application/x-protobuf"}
SETTLED = "SELECT count() AS n FROM otel.clew_settled"
HOLDERS = "SELECT DISTINCT Holder FROM otel.clew_settler WHERE Name = 'pass'"


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def dsn(store: Store, tmp_path: Path) -> Iterator[str]:
    with serving(store, tmp_path) as dsn:
        yield dsn


@pytest.fixture
def remote(dsn: str) -> Iterator[Store]:
    with closing(Store(dsn)) as remote:
        yield remote


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
    store: Store, remote: Store, tmp_path: Path
) -> None:
    """Half an hour of a shop, by way of everything that writes: segments, the ledger, definitions,
    the settler's statements and a backfill."""
    seeded = seed(remote, tmp_path)
    over_it = answers(Api(remote).response, seeded)
    assert over_it["/api/v1/transactions"]["transactions"]
    assert over_it["/api/v1/services/map"]["edges"]
    assert over_it == answers(Api(store).response, seeded)
    assert sides_equal_their_base(remote)


def test_a_parameter_may_be_as_long_as_a_server_takes_it(remote: Store) -> None:
    """It comes in a form then."""
    with remote.client() as client:
        asked = client.query("SELECT {text:String}", parameters={"text": "ä {}" * 30_000})
        assert asked.result_rows == [("ä {}" * 30_000,)]
        client.raw_query(
            "INSERT INTO otel.otel_logs (Body) SELECT {text:String}",
            parameters={"text": "it's" * 15_000},
        )
        assert client.command("SELECT length(Body) FROM otel.otel_logs") == 60_000


def test_the_ledger_catches_up_after_an_hour_without_the_server(remote: Store) -> None:
    later = [
        LedgerRow(time.time(), "traces", number, "web" * 20, "stored", 1) for number in range(2000)
    ]
    enter(remote, later)
    enter(remote, later)
    stored = "SELECT count() AS n, sum(Items) AS items FROM otel.clew_ledger FINAL"
    assert rows(remote, stored) == [{"n": 2000, "items": 2000}]


def send(collect: Clew, spans: list[Span]) -> None:
    httpx.post(
        f"{collect.endpoints['otlp_http']}/v1/traces",
        content=spans_request(spans).SerializeToString(),
        headers=PROTOBUF,
    ).raise_for_status()


def fifty(first: int) -> list[Span]:
    at = time.time_ns() - SECOND
    process = Process("web", "web-1")
    return [
        Span(f"{trace:032x}", f"{trace:016x}", "", process, "GET /", SERVER, at, SECOND // 2)
        for trace in range(first, first + 50)
    ]


@pytest.mark.slow
def test_what_is_collected_is_served(store: Store, dsn: str, tmp_path: Path) -> None:
    """And neither process has an engine in its memory."""
    serve = Serve(tmp_path / "serve", dsn)
    collect = Collect(tmp_path / "collect", dsn, serve)
    try:
        send(collect, fifty(1))
        wait_until_loaded(collect.data)
        transactions = serve.get("/api/v1/transactions").json()["transactions"]
        assert [(each["service"], each["count"]) for each in transactions] == [("web", 50)]
        for clew in (serve, collect):
            assert "chdb" not in Path(f"/proc/{clew.process.pid}/maps").read_text()
    finally:
        assert [collect.stop(), serve.stop()] == [0, 0]
    for clew in (serve, collect):
        assert not re.search("Traceback|not settled yet|not loaded yet", clew.log.read_text())


@pytest.mark.slow
def test_of_several_one_settles(store: Store, dsn: str, tmp_path: Path) -> None:
    serve = Serve(tmp_path / "serve", dsn)
    fleet = [Collect(tmp_path / f"collect-{number}", dsn, serve) for number in range(2)]
    try:
        for number, collect in enumerate(fleet):
            send(collect, fifty(50 * number + 1))
        wait_for(lambda: rows(store, SETTLED) == [{"n": 100}])
        assert len(rows(store, HOLDERS)) == 1
    finally:
        assert [each.stop() for each in (*fleet, serve)] == [0] * 3


OF_NO_VALUE = """
INSERT INTO otel.clew_occurrences
SELECT * REPLACE (NULL AS Value, Timestamp - toIntervalDay(2) AS Timestamp) FROM otel.clew_occurrences
"""


@pytest.mark.slow
def test_a_database_is_moved_to_a_server(store: Store, tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        with closing(Store(server.dsn)) as remote:
            seed(store, tmp_path)
            with store.client() as client:  # a day of occurrences without a value
                client.command(OF_NO_VALUE)
            first = move(store, remote)
            assert {table.name: table for table in first if not table.equal} == {}
            sent = {table.name: table.sent for table in first}
            for name in ("otel_traces", "otel_logs", "otel_metrics_sum", "clew_occurrences"):
                assert rows(store, f"SELECT count() AS n FROM otel.{name}") == [{"n": sent[name]}]
                assert sent[name]
            assert sides_equal_their_base(remote)
            again = move(store, remote)
            assert [table.sent for table in again] == [0] * len(again)
            assert [each.target for each in again] == [each.target for each in first]
            with remote.client() as client:
                client.command("INSERT INTO otel.otel_logs (Body) SELECT 'of its own'")
            with pytest.raises(StorageError, match="has rows already"):
                move(store, remote)
            logs = "SELECT count() AS n FROM otel.otel_logs"
            assert rows(remote, logs) == [{"n": sent["otel_logs"] + 1}]
    finally:
        assert server.stop() == 0
