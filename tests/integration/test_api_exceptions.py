"""Exceptions over all services: groups from span events and log records, with their versions and the
transactions that they touch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import rfc3339
from support.settled import Occurrence, insert_definitions, insert_occurrences
from support.traffic import (
    CLIENT,
    ERROR,
    MILLISECOND,
    MINUTE,
    SECOND,
    SERVER,
    Event,
    Loader,
    Log,
    Process,
    Span,
    exception,
)

BEGAN = 1_780_308_000 * SECOND
WINDOW = {"start": "2026-06-01T10:00:00Z", "end": "2026-06-01T10:30:00Z"}
PATH = "/api/v1/exceptions"
WEB = Process("web", "web-1")
PAYMENTS = Process("payments", "payments-1", version="2.0")
OLD_PAYMENTS = Process("payments", "payments-0", version="1.9")
STAGING = Process("payments", "payments-2", environment="staging", version="2.0")
WORKER = Process("worker", "worker-1")
STACK = """Traceback (most recent call last):
  File "/app/shop/payments.py", line {line}, in charge
    raise CardDeclined(order)
CardDeclined: declined"""
ORDER = {
    "name": "Order",
    "match": {"service": "web", "operation": "POST /checkout"},
    "key": "order.id",
}
HOUR = 60 * MINUTE


def _trace(number: int) -> str:
    return f"{number + 1:032x}"


def _checkout(number: int, process: Process) -> list[Span]:
    """A checkout whose payment, a span of `process`, raises CardDeclined."""
    start = BEGAN + number * MINUTE
    raised = exception("CardDeclined", f"order {number} was declined")
    raised["exception.stacktrace"] = STACK.format(line=number)
    return [
        Span(_trace(number), f"{2 * number + 1:016x}", "", WEB, "POST /checkout", SERVER,
             start, start + 9 * MILLISECOND),
        Span(_trace(number), f"{2 * number + 2:016x}", f"{2 * number + 1:016x}", process, "charge",
             CLIENT, start, start + 5 * MILLISECOND, ERROR,
             events=(Event(start + MILLISECOND, "exception", raised),)),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> ApiClient:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    processes = [PAYMENTS, OLD_PAYMENTS, PAYMENTS, PAYMENTS, STAGING]
    for number, process in enumerate(processes):
        loader.spans(_checkout(number, process))
    # A consumer that has been running for days, with an exception in the window and one before it.
    consumer = Span(
        _trace(50), f"{50:016x}", "", WORKER, "consume", SERVER, BEGAN - 50 * HOUR, BEGAN + HOUR,
        events=(
            Event(BEGAN - HOUR, "exception", exception("Timeout", "too early")),
            Event(BEGAN + 7 * MINUTE, "exception", exception("Timeout", "after 30 s")),
        ),
    )  # fmt: skip
    loader.spans([consumer])
    also = exception("CardDeclined", "order 0 was declined")
    loader.logs(
        [
            # The same exception as that of the span.
            Log(BEGAN + 2 * MILLISECOND, PAYMENTS, "ERROR", "failed", also, _trace(0), f"{2:016x}"),
            *(
                Log(BEGAN + number * SECOND, WORKER, "ERROR", "failed",
                    exception("OutOfMemory", "no trace"))
                for number in (1, 1, 2)
            ),
            Log(BEGAN + 3 * SECOND, WEB, "ERROR", "failed",
                exception("ÄrgerError", "order 7 was declined"), _trace(1)),
        ]
    )  # fmt: skip
    insert_occurrences(
        store,
        [
            Occurrence("order", f"o{n}", BEGAN + n * MINUTE, MILLISECOND, (_trace(n),),
                       end=BEGAN + n * MINUTE + SECOND)
            for n in (0, 1)
        ],
    )  # fmt: skip
    insert_definitions(store, ORDER)
    return ApiClient(store)


def _list(api: ApiClient, **parameters: Any) -> list[dict[str, Any]]:
    exceptions: list[dict[str, Any]] = api.get(PATH, **WINDOW, **parameters)["exceptions"]
    return exceptions


def _types(api: ApiClient, **parameters: Any) -> Counter[str]:
    return Counter({row["type"]: row["count"] for row in _list(api, **parameters)})


def test_groups_over_all_services(api: ApiClient) -> None:
    assert _types(api) == {"CardDeclined": 5, "OutOfMemory": 3, "Timeout": 1, "ÄrgerError": 1}
    declined = _list(api)[0]
    id = declined["transactions"][0]["id"]
    assert declined == {
        "type": "CardDeclined",
        "message": "order # was declined",
        "service": "payments",
        "frame": 'File "/app/shop/payments.py", in charge',
        "count": 5,
        "first": rfc3339(BEGAN + MILLISECOND),
        "last": rfc3339(BEGAN + 4 * MINUTE + MILLISECOND),
        "versions": [{"version": "2.0", "count": 4}, {"version": "1.9", "count": 1}],
        "transactions": [
            {"id": id, "name": "web: POST /checkout"},
            {"id": "order", "name": "Order"},
        ],
        "example_trace_id": _trace(4),
        "example_span_id": f"{10:016x}",
    }


def test_exceptions_without_a_trace_are_counted_each(api: ApiClient) -> None:
    (row,) = _list(api, type="OutOfMemory")
    assert (row["count"], row["transactions"]) == (3, [])
    assert row["example_trace_id"] is None
    assert row["example_span_id"] is None
    assert row["frame"] is None


def test_an_exception_counts_when_it_was_raised_not_when_its_span_began(api: ApiClient) -> None:
    (row,) = _list(api, service="worker", type="Timeout")
    assert (row["count"], row["message"]) == (1, "after # s")
    assert row["first"] == row["last"] == rfc3339(BEGAN + 7 * MINUTE)


FILTERS: dict[str, tuple[dict[str, str], dict[str, int]]] = {
    "service": ({"service": "payments"}, {"CardDeclined": 5}),
    "environment": ({"environment": "staging"}, {"CardDeclined": 1}),
    "type": ({"type": "Timeout"}, {"Timeout": 1}),
    "transaction": ({"transaction": "order"}, {"CardDeclined": 2, "ÄrgerError": 1}),
    "a type's text": ({"q": "ärger"}, {"ÄrgerError": 1}),
    "a message's text": ({"q": "ORDER 3 was"}, {"CardDeclined": 5, "ÄrgerError": 1}),
    "no match": ({"q": "%"}, {}),
    "hostile": ({"q": "'; DROP {text:String} --", "type": "\\'"}, {}),
}


@pytest.mark.parametrize(("parameters", "counts"), FILTERS.values(), ids=FILTERS.keys())
def test_filters(api: ApiClient, parameters: dict[str, str], counts: dict[str, int]) -> None:
    assert _types(api, **parameters) == counts


def test_an_automatic_transaction_is_a_filter(api: ApiClient) -> None:
    listed = api.get("/api/v1/transactions", **WINDOW, q="web: post")["transactions"]
    (id,) = (row["id"] for row in listed if row["source"] == "auto")
    assert _types(api, transaction=id) == {"CardDeclined": 5, "ÄrgerError": 1}
    assert api.problem(PATH, transaction="unknown")["status"] == 404


@pytest.mark.parametrize("reverse", ["", "-"])
@pytest.mark.parametrize("key", ["count", "first", "last", "type", "service", "message"])
def test_groups_are_sorted_and_paged(api: ApiClient, key: str, reverse: str) -> None:
    rows = _list(api, sort=reverse + key)
    figures = [row[key] for row in rows]
    descending = (key in ("count", "first", "last")) != bool(reverse)
    assert figures == sorted(figures, reverse=descending)
    pages = api.pages(PATH, "exceptions", **WINDOW, sort=reverse + key, limit=1)
    assert [row for page in pages for row in page] == rows
