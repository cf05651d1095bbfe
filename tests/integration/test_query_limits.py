"""The limits of a request, and the errors when it exceeds them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from clew.storage import Cancelled, LimitExceeded, Limits, Query, Reader, StorageError, Store
from clew.storage import reader as reader_module
from clew.storage.sql import STORAGE
from support.api_client import ApiClient

QUERIES = {
    "endless": "SELECT count() AS n FROM numbers(1000000000000) WHERE modulo(number, 7) = 3",
    "hungry": "SELECT groupArray(number) AS n FROM numbers(100000000)",
    "many": "SELECT number FROM numbers(2000)",
    "brief": "SELECT 1 AS n",
    "broken": "SELECT * FROM otel.no_such_table",
    "definitions": "SELECT 1 AS n WHERE 0",
}
BRIEF, ENDLESS = Query[Any](STORAGE, "brief"), Query[Any](STORAGE, "endless")
# Each exceeds one limit only.
SECONDS = Limits(seconds=0.3, rows_read=10**13)
MEMORY = Limits(memory=32 << 20)
READ = Limits(rows_read=1000)
RETURNED = Limits(rows=1000)


@pytest.fixture(autouse=True)
def queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces every query by one of QUERIES."""
    monkeypatch.setattr(
        reader_module,
        "sql_of",
        lambda package, query, **_: QUERIES.get(query, QUERIES["brief"]) + "\n",
    )


@pytest.mark.parametrize(
    ("query", "limits", "message", "retry"),
    [
        ("endless", SECONDS, "0.3 s", True),
        ("hungry", MEMORY, "32 MiB", False),
        ("many", READ, "1,000 rows", False),
        ("many", RETURNED, "returns more than 1,000 rows", False),
    ],
)
def test_a_query_past_a_limit_ends_and_names_the_limit(
    store: Store, query: str, limits: Limits, message: str, retry: bool
) -> None:
    with pytest.raises(LimitExceeded, match=message) as raised:
        Reader(store, limits).begin().rows(Query[Any](STORAGE, query))
    assert raised.value.retry is retry
    assert Reader(store, limits).begin().rows(BRIEF) == [{"n": 1}]


def test_a_failing_query_has_not_exceeded_a_limit(store: Store) -> None:
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


def test_a_cancelled_reading_ends(store: Store) -> None:
    reading = Reader(store, Limits(seconds=60, rows_read=10**13)).begin()
    errors: list[Exception] = []

    def read() -> None:
        try:
            reading.rows(ENDLESS)
        except StorageError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    _wait_until(lambda: _running(store) == 1)
    reading.cancel()
    thread.join(30)
    assert [type(error) for error in errors] == [Cancelled]
    assert _running(store) == 0
    with pytest.raises(Cancelled):
        reading.rows(BRIEF)


@pytest.mark.parametrize(
    ("query", "limits", "status"),
    [("endless", SECONDS, 503), ("hungry", MEMORY, 422), ("many", READ, 422)],
)
def test_the_problem_of_an_exceeded_limit_says_what_to_do(
    store: Store, monkeypatch: pytest.MonkeyPatch, query: str, limits: Limits, status: int
) -> None:
    monkeypatch.setitem(QUERIES, "brief", QUERIES[query])
    api = ApiClient(store, limits)
    document = api.problem("/api/v1/services")
    assert document["status"] == status
    assert "narrow the time window" in document["detail"]
    retry_after = api.response("/api/v1/services").headers.get("retry-after")
    assert (retry_after is not None) == (status == 503)


def _running(store: Store) -> int:
    with store.client() as client:
        result = client.query(
            "SELECT count() FROM system.processes WHERE query LIKE '%modulo(number, 7) = 3%' "
            "AND query NOT LIKE '%system.processes%'"
        )
        return int(result.result_rows[0][0])


def _wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
