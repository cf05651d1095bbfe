"""What a request may take of the engine, and what it is told past that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from clew.storage import Cancelled, LimitExceeded, Limits, Query, Reader, StorageError, Store
from clew.storage import reader as reader_module
from clew.storage.sql import STORAGE
from support.asking import Api

QUERIES = {
    "endless": "SELECT count() AS n FROM numbers(1000000000000) WHERE modulo(number, 7) = 3",
    "hungry": "SELECT groupArray(number) AS n FROM numbers(100000000)",
    "many": "SELECT number FROM numbers(2000)",
    "brief": "SELECT 1 AS n",
    "broken": "SELECT * FROM otel.no_such_table",
    "definitions": "SELECT 1 AS n WHERE 0",
}
BRIEF, ENDLESS = Query[Any](STORAGE, "brief"), Query[Any](STORAGE, "endless")
# Each is past one of these alone.
SECONDS = Limits(seconds=0.3, rows_read=10**13)
MEMORY = Limits(memory=32 << 20)
READ = Limits(rows_read=1000)
RETURNED = Limits(rows=1000)


@pytest.fixture(autouse=True)
def queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queries above, in the place of every other."""
    monkeypatch.setattr(
        reader_module,
        "sql_of",
        lambda package, query, **_: QUERIES.get(query, QUERIES["brief"]) + "\n",
    )


@pytest.mark.parametrize(
    ("query", "limits", "says", "retry"),
    [
        ("endless", SECONDS, "0.3 s", True),
        ("hungry", MEMORY, "32 MiB", False),
        ("many", READ, "1,000 rows", False),
        ("many", RETURNED, "returns more than 1,000 rows", False),
    ],
)
def test_a_query_past_a_limit_is_ended_and_says_which(
    store: Store, query: str, limits: Limits, says: str, retry: bool
) -> None:
    with pytest.raises(LimitExceeded, match=says) as raised:
        Reader(store, limits).begin().rows(Query[Any](STORAGE, query))
    assert raised.value.retry is retry
    assert Reader(store, limits).begin().rows(BRIEF) == [{"n": 1}]


def test_a_failing_query_is_not_past_a_limit(store: Store) -> None:
    with pytest.raises(StorageError) as raised:
        Reader(store).begin().rows(Query[Any](STORAGE, "broken"))
    assert not isinstance(raised.value, LimitExceeded)


def test_the_statements_of_one_request_share_its_time(store: Store) -> None:
    reading = Reader(store, SECONDS).begin()
    assert reading.rows(BRIEF)
    with pytest.raises(LimitExceeded):
        reading.rows(ENDLESS)
    with pytest.raises(LimitExceeded):
        reading.rows(BRIEF)
    assert Reader(store, SECONDS).begin().rows(BRIEF)


def test_what_nobody_waits_for_is_ended(store: Store) -> None:
    reading = Reader(store, Limits(seconds=60, rows_read=10**13)).begin()
    ended: list[Exception] = []

    def ask() -> None:
        try:
            reading.rows(ENDLESS)
        except StorageError as error:
            ended.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    _wait_until(lambda: _running(store) == 1)
    reading.cancel()
    asking.join(30)
    assert [type(error) for error in ended] == [Cancelled]
    assert _running(store) == 0
    with pytest.raises(Cancelled):
        reading.rows(BRIEF)


@pytest.mark.parametrize(
    ("query", "limits", "status"),
    [("endless", SECONDS, 503), ("hungry", MEMORY, 422), ("many", READ, 422)],
)
def test_past_a_limit_a_problem_document_says_what_to_do(
    store: Store, monkeypatch: pytest.MonkeyPatch, query: str, limits: Limits, status: int
) -> None:
    monkeypatch.setitem(QUERIES, "brief", QUERIES[query])
    api = Api(store, limits)
    document = api.problem("/api/v1/services")
    assert document["status"] == status
    assert "smaller window" in document["detail"]
    again = api.response("/api/v1/services").headers.get("retry-after")
    assert (again is not None) == (status == 503)


def _running(store: Store) -> int:
    with store.client() as client:
        found = client.query(
            "SELECT count() FROM system.processes WHERE query LIKE '%modulo(number, 7) = 3%' "
            "AND query NOT LIKE '%system.processes%'"
        )
        return int(found.result_rows[0][0])


def _wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)
