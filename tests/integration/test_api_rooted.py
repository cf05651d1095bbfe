"""The list of transactions, asked again and again while rows of traces are not merged: traces without a root count, and
one whose root comes later counts as its root's. Its plan differs with and without such traces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clew.api.rooted_traces import MAX_TRACES, RootedTraces
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import rfc3339
from support.traffic import MILLISECOND, MINUTE, SECOND, SERVER, Loader, Process, Span

BEGAN = 1_780_308_000 * SECOND
SHOP, STOCK = Process("shop", "shop-1"), Process("stock", "stock-1")


def _root(trace: int) -> Span:
    return Span(
        f"{trace:032x}", f"{trace:016x}", "", SHOP, "POST /orders", SERVER, BEGAN, BEGAN + 20 * MILLISECOND,
    )  # fmt: skip


def _child(trace: int) -> Span:
    began = BEGAN + MILLISECOND
    return Span(
        f"{trace:032x}", f"{trace + 100:016x}", f"{trace:016x}", STOCK, "GET /stock", SERVER,
        began, began + 10 * MILLISECOND,
    )  # fmt: skip


def test_traces_without_a_root_are_counted_whenever_the_root_comes(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
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
