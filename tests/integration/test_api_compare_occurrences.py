"""Comparison of a defined transaction whose occurrences have several traces; values that go together;
identifiers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clew.analysis.traces.settling import Settling
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.loading import settle
from support.settled import Occurrence, insert_occurrences
from support.traffic import MILLISECOND, MINUTE, SECOND, SERVER, Loader, Process, Span

BEGAN = 1_780_308_000 * SECOND
WINDOW = {"start": "2026-06-01T10:00:00Z", "end": "2026-06-01T10:30:00Z"}
COUNT = 120
ORDERS = range(COUNT)


def _is_slow(order: int) -> bool:
    return order % 20 == 7


def _spans(order: int, choice: random.Random) -> Iterator[Span]:
    """A checkout, slow for some orders, and half an hour later the shipment in a trace of its own,
    which always takes long. Slow checkouts are of the region eu and a shop of its own; their
    shipments go by drone."""
    slow = _is_slow(order)
    start = BEGAN + order * SECOND
    process = Process("web", f"web-{order % 4}")
    yield Span(
        f"{order + 1:032x}", f"{order + 1:016x}", "", process, "POST /checkout", SERVER,
        start, start + (900 if slow else 10) * MILLISECOND + order,
        attributes={
            "region": "eu" if slow else "us",
            "shop": "berlin" if slow else "boston",
            "process.pid": 1 if slow else 2,
            "client.port": 4000 if slow else 5000,
            "http.request_id": "same" if slow else "other",
            "order.number": order // 2,
            "user.id": "u1" if slow else "u2",
            "weather": choice.choice(("sun", "rain")),
        },
    )  # fmt: skip
    shipped = start + 30 * MINUTE + 90 * MINUTE * (order % 2)
    yield Span(
        f"{order + 1001:032x}", f"{order + 1001:016x}", "", Process("shipping", "s-1"), "ship",
        SERVER, shipped, shipped + 50 * SECOND,
        attributes={"carrier": "drone" if slow else "ship"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> ApiClient:
    store = emptied()
    choice = random.Random(3)
    orders = {order: list(_spans(order, choice)) for order in ORDERS}
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    loader.spans(span for spans in orders.values() for span in spans)
    settle(Settling(store))
    insert_occurrences(
        store,
        [
            Occurrence(
                "order", f"o{order}", entry.start, entry.duration, (shipment.trace, entry.trace),
                end=shipment.end,
            )
            for order, (entry, shipment) in orders.items()
        ],
    )  # fmt: skip
    return ApiClient(store)


def _compare(api: ApiClient, **parameters: Any) -> dict[str, Any]:
    document: dict[str, Any] = api.get(
        "/api/v1/compare", **WINDOW, transaction="order", **parameters
    )
    return document


def test_slow_occurrences_are_compared_with_the_others(api: ApiClient) -> None:
    """Not slow traces: every shipment takes longer than every checkout."""
    answer = _compare(api, slow="true")
    assert answer["a"]["traces"] + answer["b"]["traces"] == COUNT
    assert 0 < answer["a"]["traces"] <= sum(map(_is_slow, ORDERS))
    operations = {row["operation"]: row for row in answer["operations"]}
    for side in "ab":
        assert operations["ship"][side]["calls_per_trace"] == 1
        assert operations["POST /checkout"][side]["calls_per_trace"] == 1
    assert operations["POST /checkout"]["change_ms"] > 800


def test_what_all_traces_of_an_occurrence_carry_is_compared(api: ApiClient) -> None:
    answer = _compare(api, attr="region=eu")
    assert answer["a"]["traces"] == sum(map(_is_slow, ORDERS))
    assert answer["b"]["traces"] == COUNT - answer["a"]["traces"]
    rows = {(row["key"], row["value"]): row for row in answer["attributes"]}
    assert rows["carrier", "drone"]["effect"] == 1
    assert rows["carrier", "ship"]["effect"] == -1


def test_a_condition_may_hold_in_any_trace_of_the_occurrence(api: ApiClient) -> None:
    by_carrier = _compare(api, attr="carrier=drone")
    by_region = _compare(api, attr="region=eu")
    assert by_carrier["a"] == by_region["a"]
    assert by_carrier["b"] == by_region["b"]
    keys = {row["key"] for row in by_carrier["attributes"]}
    assert keys == {"region"}, "with the values that go together"


def test_values_of_the_same_spans_are_one_entry_and_identifiers_are_left_out(
    api: ApiClient,
) -> None:
    rows = _compare(api, attr="carrier=drone")["attributes"]
    # Of equal differences, what is more frequent in A comes first.
    assert [(row["key"], row["value"], row["effect"]) for row in rows] == [
        ("region", "eu", 1), ("region", "us", -1),
    ]  # fmt: skip
    assert rows[0]["together"] == [
        {"key": "shop", "value": "berlin", "source": "span"},
        {"key": "user.id", "value": "u1", "source": "span"},
    ]
    assert [value["value"] for value in rows[1]["together"]] == ["boston", "u2"]
