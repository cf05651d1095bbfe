"""Instances of a transaction: their order, and their search by what their spans and log records
carry; and the funnel by the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.settled import Occurrence, insert_definitions, insert_occurrences
from support.traffic import (
    MILLISECOND,
    MINUTE,
    SECOND,
    SERVER,
    Loader,
    Log,
    Process,
    Span,
)

BEGAN = 1_780_308_000 * SECOND
WINDOW = {"start": "2026-06-01T09:59:00Z", "end": "2026-06-01T11:00:00Z"}
WEB = Process("web", "web-1")
PAYMENTS = Process("payments", "payments-1")
ORDER = {
    "name": "Order",
    "match": {"service": "web", "operation": "POST /checkout"},
    "key": "order.id",
    "steps": [{"name": "pay", "match": {"service": "payments"}}],
}
PATH = "/api/v1/transactions/order/instances"
COUNT = 12


@dataclass(frozen=True)
class Order:
    """An order of two traces: the second, of payments, comes half an hour later."""

    number: int

    @property
    def key(self) -> str:
        return f"order-{self.number:02}"

    @property
    def traces(self) -> tuple[str, str]:
        return f"{self.number + 1:032x}", f"{self.number + 1001:032x}"

    @property
    def time(self) -> int:
        return BEGAN + self.number * SECOND

    @property
    def entry_duration(self) -> int:
        return (self.number * 7 % COUNT // 2 + 1) * MILLISECOND

    @property
    def end(self) -> int:
        return self.time + 30 * MINUTE + self.number * 5 % COUNT * SECOND

    @property
    def value(self) -> float | None:
        return None if self.number % 4 == 0 else self.number * 5 % 7 + 0.1

    @property
    def occurrence(self) -> Occurrence:
        return Occurrence(
            "order", self.key, self.time, self.entry_duration, (self.traces[1], self.traces[0]),
            end=self.end, entry_span=f"{self.number + 1:016x}", value=self.value,
        )  # fmt: skip

    @property
    def spans(self) -> list[Span]:
        """The tenant stands on the second trace's span, the region on every entry."""
        later = self.time + 29 * MINUTE
        return [
            Span(
                self.traces[0], f"{self.number + 1:016x}", "", WEB, "POST /checkout", SERVER,
                self.time, self.time + self.entry_duration,
                attributes={"region": f"r{self.number % 2}"},
            ),
            Span(
                self.traces[1], f"{self.number + 501:016x}", "", PAYMENTS, "pay", SERVER, later,
                later + MILLISECOND,
                attributes={"tenant": f"t{self.number % 3}", "region": "elsewhere"},
            ),
        ]  # fmt: skip

    @property
    def logs(self) -> list[Log]:
        """Every second order's log record names the user."""
        if self.number % 2:
            return []
        attributes = {"user.name": f"user {self.number % 6}", "event.user": self.number % 6}
        log = Log(self.time + 29 * MINUTE, PAYMENTS, "INFO", "paid", attributes, self.traces[1])
        return [log]


ORDERS = [Order(number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> ApiClient:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    loader.spans(span for order in ORDERS for span in order.spans)
    loader.logs(log for order in ORDERS for log in order.logs)
    insert_occurrences(store, [order.occurrence for order in ORDERS])
    insert_definitions(store, ORDER)
    return ApiClient(store)


def _keys(api: ApiClient, **parameters: Any) -> list[str]:
    instances = api.get(PATH, **WINDOW, **parameters)["instances"]
    return [instance["key"] for instance in instances]


SORTS: dict[str, tuple[dict[str, str], Callable[[Order], float | None]]] = {
    "by start": ({"sort": "start"}, lambda order: order.time),
    "by duration": ({"sort": "duration"}, lambda order: order.entry_duration),
    "by the time worked": (
        {"sort": "duration", "by": "working"},
        lambda order: order.end - order.time,
    ),
    "by elapsed time": (
        {"sort": "duration", "by": "elapsed"},
        lambda order: order.end - order.time,
    ),
    "by value": ({"sort": "value"}, lambda order: order.value),
}


@pytest.mark.parametrize(("parameters", "figure"), SORTS.values(), ids=SORTS.keys())
@pytest.mark.parametrize("is_reversed", [False, True])
def test_instances_are_sorted(
    api: ApiClient,
    parameters: dict[str, str],
    figure: Callable[[Order], float | None],
    is_reversed: bool,
) -> None:
    sort = "-" * is_reversed + parameters["sort"]
    keys = _keys(api, **parameters | {"sort": sort})
    figures = {order.key: figure(order) for order in ORDERS}
    known = sorted(
        (value for value in figures.values() if value is not None), reverse=not is_reversed
    )
    absent = [None] * (COUNT - len(known))
    assert [figures[key] for key in keys] == known + absent
    assert len(set(keys)) == COUNT
    for limit in (1, 5):
        pages = api.pages(PATH, "instances", **WINDOW, **parameters | {"sort": sort}, limit=limit)
        assert [instance["key"] for page in pages for instance in page] == keys


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("key", ["start", "duration", "value"])
def test_automatic_instances_are_sorted(api: ApiClient, key: str, is_reversed: bool) -> None:
    listed = api.get("/api/v1/transactions", **WINDOW, q="web")["transactions"]
    (id,) = (row["id"] for row in listed if row["source"] == "auto")
    path = f"/api/v1/transactions/{id}/instances"
    sort = "-" * is_reversed + key
    instances = api.get(path, **WINDOW, sort=sort)["instances"]
    assert len(instances) == COUNT
    figures = [
        instance["duration_ms"] if key == "duration" else instance["start"]
        for instance in instances
    ]
    newest_first = key == "value" or not is_reversed
    assert figures == sorted(figures, reverse=newest_first)
    pages = api.pages(path, "instances", **WINDOW, sort=sort, limit=5)
    assert [instance for page in pages for instance in page] == instances


def test_an_unknown_order_lists_the_choices(api: ApiClient) -> None:
    problem = api.problem(PATH, sort="user")
    assert problem["status"] == 400
    assert "start, duration, value" in problem["detail"]


SEARCHES: dict[str, tuple[list[str], Callable[[int], bool]]] = {
    "an entry's attribute": (["region=r1"], lambda number: number % 2 == 1),
    "one of another trace": (["tenant=t1"], lambda number: number % 3 == 1),
    "a log record's attribute": (["user.name=user 2"], lambda number: number % 6 == 2),
    "part of one": (["user.name~user"], lambda number: number % 2 == 0),
    "of spans and log records": (
        ["tenant=t0", "user.name=user 0", "region=elsewhere"],
        lambda number: number % 6 == 0,
    ),
    "none has the value": (["region!=r1"], lambda number: number % 2 == 0),
    "no record has the value": (["user.name!=user 2"], lambda number: number % 6 != 2),
    "of a resource": (["service.name=payments"], lambda number: True),
    "in a list": (["tenant in t0,t2"], lambda number: number % 3 != 1),
    "exists": (["user.name exists", "tenant exists"], lambda number: number % 2 == 0),
    "of a record, where spans have a field": (
        ["event.user>=2", "event.user in 0,2"],
        lambda number: number % 6 == 2,
    ),
    "of a scope": (["scope.name=no library"], lambda number: False),
    "unknown": (["tenant=t9"], lambda number: False),
    "hostile": (["it's {x:String}='; --"], lambda number: False),
}


@pytest.mark.parametrize(("attr", "matches"), SEARCHES.values(), ids=SEARCHES.keys())
def test_instances_are_found_by_what_their_spans_and_records_carry(
    api: ApiClient, attr: list[str], matches: Callable[[int], bool]
) -> None:
    expected = [order.key for order in reversed(ORDERS) if matches(order.number)]
    assert _keys(api, attr=attr) == expected


def test_automatic_instances_are_found_by_what_their_spans_and_records_carry(
    api: ApiClient,
) -> None:
    listed = api.get("/api/v1/transactions", **WINDOW, q="payments")["transactions"]
    path = f"/api/v1/transactions/{listed[0]['id']}/instances"
    found = api.get(path, **WINDOW, attr=["tenant=t1", "user.name~user"])["instances"]
    expected = [order.traces[1] for order in ORDERS if order.number % 6 == 4]
    assert sorted(instance["key"] for instance in found) == expected
    assert api.get(path, **WINDOW, attr="region=r1")["instances"] == []


def _groups(api: ApiClient, by: str) -> dict[str, int]:
    groups = api.get("/api/v1/transactions/order/funnel", **WINDOW, by=by)["groups"]
    return {group["group"]: group["steps"][0]["reached"] for group in groups}


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("region", {"r0": 6, "r1": 6}),
        ("attr:region", {"r0": 6, "r1": 6}),
        ("tenant", {"t0": 4, "t1": 4, "t2": 4}),
        ("user.name", {"user 0": 2, "user 2": 2, "user 4": 2, "": 6}),
        ("deployment.environment.name", {"prod": COUNT}),
        ("nothing", {"": COUNT}),
    ],
)
def test_a_funnel_by_what_spans_and_records_carry(
    api: ApiClient, by: str, groups: dict[str, int]
) -> None:
    assert _groups(api, by) == groups
