"""clew with a `clickhouse://` DSN: the server is the ClickHouse port of another clew."""

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
from clew.storage.ledger import LedgerRow, write_rows
from support.api_client import ApiClient
from support.loading import rows, sides_equal_their_base
from support.processes import Clew
from support.seeded import Seeded, seed
from support.servers import Collect, Serve, Server, serving
from support.stored import wait_until_loaded
from support.traffic import SECOND, SERVER, Process, Span, spans_request

PROTOBUF = {"content-type": "application/x-protobuf"}
SETTLED = "SELECT count() AS n FROM otel.clew_settled"
HOLDERS = "SELECT DISTINCT Holder FROM otel.clew_settler WHERE Name = 'pass'"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
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
    requests: list[tuple[str, dict[str, str]]] = [
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
    documents = {}
    for path, parameters in requests:
        answer = get(path, **parameters, **window)
        assert answer.status_code == 200, (path, answer.text)
        documents[path] = answer.json()
    return documents


def test_a_client_and_its_server_give_the_same_answers(
    store: Store, remote: Store, tmp_path: Path
) -> None:
    """Half an hour of the shop's data, written in every way: segments, the ledger, definitions, the
    settler's statements and a backfill."""
    seeded = seed(remote, tmp_path)
    remote_answers = answers(ApiClient(remote).response, seeded)
    assert remote_answers["/api/v1/transactions"]["transactions"]
    assert remote_answers["/api/v1/services/map"]["edges"]
    assert remote_answers == answers(ApiClient(store).response, seeded)
    assert sides_equal_their_base(remote)


def test_a_parameter_may_be_long(remote: Store) -> None:
    """It is sent in a form then."""
    with remote.client() as client:
        result = client.query("SELECT {text:String}", parameters={"text": "ä {}" * 30_000})
        assert result.result_rows == [("ä {}" * 30_000,)]
        client.raw_query(
            "INSERT INTO otel.otel_logs (Body) SELECT {text:String}",
            parameters={"text": "it's" * 15_000},
        )
        assert client.command("SELECT length(Body) FROM otel.otel_logs") == 60_000


def test_many_ledger_rows_are_entered_once(remote: Store) -> None:
    entries = [
        LedgerRow(time.time(), "traces", number, "web" * 20, "stored", 1) for number in range(2000)
    ]
    write_rows(remote, entries)
    write_rows(remote, entries)
    stored = "SELECT count() AS n, sum(Items) AS items FROM otel.clew_ledger FINAL"
    assert rows(remote, stored) == [{"n": 2000, "items": 2000}]


def send(collect: Clew, spans: list[Span]) -> None:
    httpx.post(
        f"{collect.endpoints['otlp_http']}/v1/traces",
        content=spans_request(spans).SerializeToString(),
        headers=PROTOBUF,
    ).raise_for_status()


def fifty_spans(first: int) -> list[Span]:
    at = time.time_ns() - SECOND
    process = Process("web", "web-1")
    return [
        Span(f"{trace:032x}", f"{trace:016x}", "", process, "GET /", SERVER, at, SECOND // 2)
        for trace in range(first, first + 50)
    ]


@pytest.mark.slow
def test_what_is_collected_is_served(store: Store, dsn: str, tmp_path: Path) -> None:
    """Neither process loads the embedded engine."""
    serve = Serve(tmp_path / "serve", dsn)
    collect = Collect(tmp_path / "collect", dsn, serve)
    try:
        send(collect, fifty_spans(1))
        wait_until_loaded(collect.data)
        transactions = serve.get("/api/v1/transactions").json()["transactions"]
        assert [(row["service"], row["count"]) for row in transactions] == [("web", 50)]
        for clew in (serve, collect):
            assert "chdb" not in Path(f"/proc/{clew.process.pid}/maps").read_text()
    finally:
        assert [collect.stop(), serve.stop()] == [0, 0]
    for clew in (serve, collect):
        assert not re.search("Traceback|not settled yet|not loaded yet", clew.log.read_text())


@pytest.mark.slow
def test_only_one_of_several_collectors_settles(store: Store, dsn: str, tmp_path: Path) -> None:
    serve = Serve(tmp_path / "serve", dsn)
    fleet = [Collect(tmp_path / f"collect-{number}", dsn, serve) for number in range(2)]
    try:
        for number, collect in enumerate(fleet):
            send(collect, fifty_spans(50 * number + 1))
        wait_for(lambda: rows(store, SETTLED) == [{"n": 100}])
        assert len(rows(store, HOLDERS)) == 1
    finally:
        assert [process.stop() for process in (*fleet, serve)] == [0] * 3


WITHOUT_VALUE = """
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
                client.command(WITHOUT_VALUE)
            first = move(store, remote)
            assert {table.name: table for table in first if not table.equal} == {}
            sent = {table.name: table.sent_rows for table in first}
            for name in ("otel_traces", "otel_logs", "otel_metrics_sum", "clew_occurrences"):
                assert rows(store, f"SELECT count() AS n FROM otel.{name}") == [{"n": sent[name]}]
                assert sent[name]
            assert sides_equal_their_base(remote)
            second = move(store, remote)
            assert [table.sent_rows for table in second] == [0] * len(second)
            assert [table.target for table in second] == [table.target for table in first]
            with remote.client() as client:
                client.command("INSERT INTO otel.otel_logs (Body) SELECT 'not moved'")
            with pytest.raises(StorageError, match="has rows already"):
                move(store, remote)
            logs = "SELECT count() AS n FROM otel.otel_logs"
            assert rows(remote, logs) == [{"n": sent["otel_logs"] + 1}]
    finally:
        assert server.stop() == 0
