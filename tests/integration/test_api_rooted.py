"""The list of transactions, asked again and again while rows of traces are not merged: traces without a root count, and
one whose root comes later counts as its root's. Its plan differs with and without such traces, and with the length
of the window and the number of root spans."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clew.api import rooted_traces, transactions
from clew.api.parameters import Window
from clew.api.rooted_traces import MAX_TRACES, RootedTraces
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import rfc3339, traces_of
from support.settled import insert_settled
from support.traffic import MILLISECOND, MINUTE, SECOND, SERVER, Loader, Process, Span

BEGAN = 1_780_308_000 * SECOND
HOUR = 60 * MINUTE
SHOP, STOCK = Process("shop", "shop-1"), Process("stock", "stock-1")


def _root(trace: int, began: int = BEGAN) -> Span:
    return Span(
        f"{trace:032x}", f"{trace:016x}", "", SHOP, "POST /orders", SERVER, began, began + 20 * MILLISECOND,
    )  # fmt: skip


def _child(trace: int, began: int = BEGAN, process: Process = STOCK) -> Span:
    return Span(
        f"{trace:032x}", f"{trace + 100:016x}", f"{trace:016x}", process, "GET /stock", SERVER,
        began + MILLISECOND, began + 11 * MILLISECOND,
    )  # fmt: skip


@pytest.mark.parametrize(("many", "most"), [(0, 10_000), (1000, 10_000), (0, 0)])
def test_traces_without_a_root_are_counted_whenever_the_root_comes(
    store: Store,
    ingest: Ingest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    many: int,
    most: int,
) -> None:
    monkeypatch.setattr(rooted_traces, "MANY", many)
    monkeypatch.setattr(rooted_traces, "MAX_ROOTLESS", most)
    loader, api = Loader(ingest, tmp_path), ApiClient(store)
    with store.client() as client:
        client.command("SYSTEM STOP MERGES otel.clew_traces")
    window = {"start": rfc3339(BEGAN - MINUTE), "end": rfc3339(BEGAN + MINUTE)}

    def counts() -> dict[str, int]:
        listed = api.get("/api/v1/transactions", **window)["transactions"]
        return {transaction["name"]: transaction["count"] for transaction in listed}

    try:
        loader.spans([_root(1), _child(1)])
        assert counts() == {"shop: POST /orders": 1}
        loader.spans([_child(2), _child(3)])
        assert counts() == {"shop: POST /orders": 1, "stock: GET /stock": 2}
        loader.spans([_root(2)])
        assert counts() == {"shop: POST /orders": 2, "stock: GET /stock": 1}
        loader.spans([_root(3)])
        assert counts() == {"shop: POST /orders": 3}
        # What is remembered of the others hides no new one.
        loader.spans([_child(4), replace(_child(3), id="f" * 16)])
        assert counts() == {"shop: POST /orders": 3, "stock: GET /stock": 1}
    finally:
        with store.client() as client:
            client.command("SYSTEM START MERGES otel.clew_traces")


def test_rooted_traces_are_few_and_forgotten() -> None:
    traces = RootedTraces()
    traces.add({"a", "b"})
    assert traces.unknown({"a", "c"}) == {"c"}
    traces.add({str(number) for number in range(MAX_TRACES)})
    assert traces.unknown({"a", "0"}) == {"a"}


def test_many_traces_are_compared_once_and_not_again_where_some_have_no_root(
    store: Store, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooted_traces, "MAX_ROOTLESS", 0)
    loader, api = Loader(ingest, tmp_path), ApiClient(store)
    window = {"start": rfc3339(BEGAN - MINUTE), "end": rfc3339(BEGAN + MINUTE)}

    def compared() -> bool:
        statements = api.get("/api/v1/transactions", **window, explain="true")["sql"]
        return any(
            "HAVING min(EntryKey)" in text and text.rstrip().endswith("LIMIT 1")
            for text in statements
        )

    with store.client() as client:
        client.command("SYSTEM STOP MERGES otel.clew_traces")
    try:
        loader.spans([_child(1)])
        loader.spans([_root(1)])
        assert compared()
        with monkeypatch.context() as patch:
            patch.setattr(rooted_traces, "VISIBLE_WITHIN", -3600)  # what is there is old
            assert not compared()
        loader.spans([_child(2)])
        assert [compared(), compared()] == [True, False]
    finally:
        with store.client() as client:
            client.command("SYSTEM START MERGES otel.clew_traces")


def test_what_is_known_of_a_window_holds_of_what_lies_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traces, day = RootedTraces(), Window(BEGAN, BEGAN + 24 * HOUR)
    assert traces.known(day) is None
    traces.add_window(day, 1000)
    traces.add_window(Window(BEGAN, BEGAN + HOUR), 2000)  # hides nothing of the day
    for window in (day, Window(BEGAN + HOUR, day.end)):
        known = traces.known(window)
        assert known is not None
        assert (known.window, known.at) == (day, 1000)
    assert traces.known(Window(BEGAN - 1, day.end)) is None
    assert traces.known(Window(BEGAN, day.end + 1)) is None
    monkeypatch.setattr(rooted_traces, "MAX_AGE", -1.0)
    assert traces.known(day) is None


def test_rows_from_before_the_last_list_are_not_looked_at(
    store: Store, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are many, as long as a row can be read soon enough after its insert."""
    loader, api = Loader(ingest, tmp_path), ApiClient(store)
    began = int(time.time()) * SECOND - 10 * MINUTE

    def names() -> set[str]:
        answer = api.get("/api/v1/transactions", start="-1h", end="now")
        return {transaction["name"] for transaction in answer["transactions"]}

    monkeypatch.setattr(rooted_traces, "MANY", 0)
    loader.spans([_root(1, began)])
    assert names() == {"shop: POST /orders"}
    loader.spans([_child(2, began)])
    with monkeypatch.context() as patch:
        patch.setattr(rooted_traces, "VISIBLE_WITHIN", -3600)
        assert names() == {"shop: POST /orders"}
    assert names() == {"shop: POST /orders", "stock: GET /stock"}


def test_the_list_is_the_same_whatever_it_is_read_from(
    store: Store, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trace every six minutes of five hours, through a service of each hour."""
    times = {trace: BEGAN + trace * 6 * MINUTE + 7 * SECOND for trace in range(1, 50)}
    spans = [
        span
        for trace, began in times.items()
        for span in (_root(trace, began), _child(trace, began, _of_hour(began)))
    ]
    Loader(ingest, tmp_path).spans(spans)
    insert_settled(store, traces_of(spans))
    api = ApiClient(store)
    for start, end in (
        (BEGAN + 30 * MINUTE + 1, BEGAN + 80 * MINUTE),  # without a whole hour
        (BEGAN + 59 * MINUTE, BEGAN + 121 * MINUTE),
        (BEGAN + 7 * MINUTE, BEGAN + 4 * HOUR + 8 * MINUTE),
        (BEGAN + HOUR, BEGAN + 4 * HOUR),
    ):
        window = {"start": rfc3339(start), "end": rfc3339(end)}
        inside = [began for began in times.values() if start <= began < end]
        listed: list[Any] = []
        for roots, recent in ((10_000, 2 * 3600), (10_000, 0), (1, 0)):
            monkeypatch.setattr(transactions, "MAX_ROOTS", roots)
            monkeypatch.setattr(transactions, "RECENT", recent)
            listed.append(api.get("/api/v1/transactions", **window)["transactions"])
        (transaction,) = listed[0]
        assert transaction["count"] == len(inside)
        assert transaction["services"] == sorted({"shop", *map(_name_of_hour, inside)})
        assert listed[1:] == [listed[0]] * 2


def _name_of_hour(time: int) -> str:
    return f"stock-{(time - BEGAN) // HOUR}"


def _of_hour(time: int) -> Process:
    return Process(_name_of_hour(time), "stock-1")
