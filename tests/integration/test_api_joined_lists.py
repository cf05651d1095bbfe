"""Which traces, logs and host metrics a joined view shows when there are many; and its limit."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from clew.api.joined import fair_shares
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import rfc3339
from support.settled import Occurrence, OccurrenceStep, insert_definitions, insert_occurrences
from support.traffic import (
    ERROR,
    MILLISECOND,
    MINUTE,
    SECOND,
    SERVER,
    Event,
    Loader,
    Log,
    Point,
    Process,
    Span,
    exception,
)

BEGAN = 1_780_308_000 * SECOND
LENGTH = 30 * MINUTE
WEB = Process("web", "web-1", host="node-1")
PAYMENTS = Process("payments", "payments-1", host="node-1")
STOCK = Process("stock", "stock-1", host="node-2")
ORDER = {
    "name": "Order",
    "match": {"service": "web", "operation": "POST /checkout"},
    "key": "order.id",
    "steps": [{"name": "pay", "match": {"service": "payments"}}],
}


@pytest.fixture
def loader(store: Store, tmp_path: Any) -> Loader:
    return Loader(Ingest(store), tmp_path)


@pytest.fixture
def api(store: Store) -> ApiClient:
    return ApiClient(store)


def _trace(number: int) -> str:
    return f"{number + 1:032x}"


def _checkouts(
    count: int, processes: tuple[Process, ...] = (WEB, PAYMENTS), length: int = LENGTH
) -> list[Span]:
    """Checkouts spread over the window: a root, and a child in every further process."""
    return [
        Span(
            _trace(number), f"{1000 * number + place + 1:016x}",
            f"{1000 * number + 1:016x}" if place else "", process, "POST /checkout", SERVER,
            start + place * MILLISECOND, start + (20 - place) * MILLISECOND,
            ERROR if number % 3 == 0 else 0,
            events=(Event(start, "exception", exception(f"Error{number}", "no")),),
        )
        for number in range(count)
        for start in [BEGAN + number * length // count]
        for place, process in enumerate(processes)
    ]  # fmt: skip


def _joined(api: ApiClient, id: str = "", **parameters: Any) -> dict[str, Any]:
    window = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + LENGTH), **parameters}
    if not id:
        listed = api.get("/api/v1/transactions", **window | {"limit": 50})["transactions"]
        (id,) = (row["id"] for row in listed if row["name"] == "web: POST /checkout")
    joined: dict[str, Any] = api.get(f"/api/v1/transactions/{id}", **window)
    return joined


@pytest.mark.parametrize("trace", [_trace(1), ""], ids=["of a trace", "of a process"])
def test_errors_are_shown_first_and_other_logs_spread_over_the_window(
    loader: Loader, api: ApiClient, trace: str
) -> None:
    loader.spans(_checkouts(4))
    chatty = [
        Log(BEGAN + LENGTH - number * MILLISECOND, WEB, "INFO", f"late {number}", trace=trace)
        for number in range(1, 200)
    ]
    regular = [
        Log(BEGAN + number * MINUTE, WEB, "INFO", f"minute {number}", trace=trace)
        for number in range(30)
    ]
    errors = [
        Log(BEGAN + (5 * number + 1) * MINUTE, WEB, "ERROR", f"error {number}", trace=trace)
        for number in range(4)
    ]
    warning = Log(BEGAN + 2 * MINUTE, WEB, "WARN", "warning", trace=trace)
    loader.logs([*chatty, *regular, *errors, warning])
    answer = _joined(api)
    bodies = [log["body"] for log in answer["logs"]]
    assert bodies[:5] == ["error 3", "error 2", "error 1", "error 0", "warning"]
    assert len(bodies) == 50
    assert answer["truncated"] is True
    others = bodies[5:]
    assert sum(body.startswith("minute") for body in others) == 30
    times = [log["time"] for log in answer["logs"][5:]]
    assert times == sorted(times, reverse=True)


def test_both_kinds_of_logs_are_shown_when_both_are_many(loader: Loader, api: ApiClient) -> None:
    loader.spans(_checkouts(4))
    loader.logs(
        Log(BEGAN + number * SECOND, WEB, "INFO", f"{number}", trace=trace)
        for number in range(60)
        for trace in (_trace(1), "")
    )
    answer = _joined(api)
    assert [log["linked_by"] for log in answer["logs"]] == ["trace"] * 25 + ["resource"] * 25


@pytest.mark.parametrize("most", [None, 10], ids=["traces that fit", "too many traces"])
@pytest.mark.parametrize(
    ("errors", "warnings", "others"),
    [(0, 0, 0), (0, 0, 5), (3, 0, 400), (30, 30, 30), (3, 200, 20), (900, 5, 5)],
)
def test_the_gravest_records_of_a_long_window_are_shown(
    loader: Loader,
    api: ApiClient,
    monkeypatch: pytest.MonkeyPatch,
    errors: int,
    warnings: int,
    others: int,
    most: int | None,
) -> None:
    """Slots of the window are read; what is graver than they have lies outside."""
    if most is not None:
        monkeypatch.setattr("clew.api.joined.MAX_TRACES", most)
        monkeypatch.setattr("clew.api.joined.MAX_LOGGED", most)
    levels = ["ERROR"] * errors + ["WARN"] * warnings + ["INFO"] * others
    day, count = 48 * LENGTH, 288
    loader.spans(_checkouts(count, (WEB,), day))
    random = Random(len(levels))
    loader.logs(
        Log(
            BEGAN + number * day // count + random.randrange(10 * MILLISECOND), WEB, level,
            f"{place}", trace=_trace(number) if link == "trace" else "",
        )
        for link in ("trace", "resource")
        for place, level in enumerate(levels)
        for number in [random.randrange(count)]
    )  # fmt: skip
    logs = _joined(api, end=rfc3339(BEGAN + day))["logs"]
    for link in ("trace", "resource"):
        shown = [log["severity"] for log in logs if log["linked_by"] == link]
        if most is None or link == "resource":
            assert shown == levels[:25]
        else:
            grave = [level for level in levels if level != "INFO"]
            assert shown[: len(grave)] == grave[:25], "the others are from slots alone"


@pytest.mark.parametrize("most", [10, 60])
def test_each_record_of_a_frequent_transaction_in_a_short_window(
    loader: Loader, api: ApiClient, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Of more traces than `most` parts of its slots are read first; errors lie outside them."""
    monkeypatch.setattr("clew.api.joined.MAX_TRACES", most)
    loader.spans(_checkouts(60))
    loader.logs(
        Log(
            BEGAN + number * LENGTH // 60 + 5 * MILLISECOND, WEB,
            "ERROR" if number % 20 == 7 else "INFO", f"{number}", trace=_trace(number),
        )
        for number in range(60)
    )  # fmt: skip
    logs = _joined(api, limit=100)["logs"]
    assert [log["body"] for log in logs[:3]] == ["47", "27", "7"]
    assert {log["level"] for log in logs[:3]} == {"error"}
    assert len(logs) == 60


@pytest.mark.parametrize("began", [0, 4_294_899_000 * SECOND], ids=["first", "last"])
def test_log_records_at_the_edges_of_time(loader: Loader, api: ApiClient, began: int) -> None:
    loader.spans(
        [
            Span(
                _trace(1),
                f"{1:016x}",
                "",
                WEB,
                "POST /checkout",
                SERVER,
                began,
                began + MILLISECOND,
            )
        ]
    )
    loader.logs([Log(began + MILLISECOND, WEB, "INFO", "text", trace=_trace(1))])
    window = {"start": rfc3339(began), "end": rfc3339(began + 10 * MINUTE)}
    assert [log["body"] for log in _joined(api, **window)["logs"]] == ["text"]


def test_the_limit_holds_for_each_list(loader: Loader, api: ApiClient) -> None:
    loader.spans(_checkouts(9, (WEB, PAYMENTS, STOCK)))
    loader.logs(
        Log(BEGAN + number * SECOND, WEB, "INFO", "text", trace=trace)
        for number in range(9)
        for trace in (_trace(1), "")
    )
    loader.points(
        Point(f"size {number}", "1", "gauge", WEB, BEGAN + MINUTE, 1.0) for number in range(9)
    )
    answer = _joined(api, limit=2)
    assert answer["truncated"] is True
    for name in ("logs", "exceptions", "metrics", "deployments"):
        assert len(answer[name]) == 2, name
    assert {name: len(traces) for name, traces in answer["traces"].items()} == {
        "slowest": 2, "errors": 2, "typical": 2,
    }  # fmt: skip
    assert len(answer["breakdown"]) <= 2
    assert len(answer["series"]) > 2


def _cpu(process: Process, name: str = "system.cpu.utilization", count: int = 3) -> Iterator[Point]:
    for minute in range(count):
        for state in ("user", "idle"):
            yield Point(
                name, "1", "gauge", process, BEGAN + minute * MINUTE, 0.5, {"state": state}
            )  # fmt: skip


def test_metrics_of_a_host_are_shown_once(loader: Loader, api: ApiClient) -> None:
    loader.spans(_checkouts(4, (WEB, PAYMENTS, STOCK)))
    collector = Process("collector", "collector-1", host="node-1")
    loader.points([*_cpu(WEB), *_cpu(PAYMENTS, count=5), *_cpu(collector), *_cpu(STOCK)])
    loader.points(
        point for process in (WEB, PAYMENTS, STOCK) for point in _cpu(process, "process.cpu.time")
    )
    for kind in ("sum", "histogram"):
        loader.points(
            Point(
                f"system.{kind}", "1", kind, process, BEGAN + minute * MINUTE, 1.0,
                buckets=(1 + minute, 1), bounds=(1.0,),
            )
            for process in (WEB, PAYMENTS)
            for minute in range(3)
        )  # fmt: skip
    metrics = _joined(api)["metrics"]
    shown = sorted(
        (metric["name"], metric["resource"], metric["attributes"].get("state", ""))
        for metric in metrics
    )
    assert shown == sorted(
        [("system.cpu.utilization", node, state) for node in ("node-1", "node-2")
         for state in ("user", "idle")]
        + [("process.cpu.time", process.instance, state) for process in (WEB, PAYMENTS, STOCK)
           for state in ("user", "idle")]
        + [("system.sum", "node-1", ""), ("system.histogram", "node-1", "")]
    )  # fmt: skip
    services = {m["service"] for m in metrics if m["resource"] == "node-1" and m["attributes"]}
    assert services == {"payments"}, "the one with the most points"


def test_examples_are_one_trace_of_each_occurrence(store: Store, loader: Loader) -> None:
    """Occurrences of three traces: the entry's is the second, that of a failed payment the third."""
    occurrences = []
    for number in range(8):
        start = BEGAN + number * MINUTE
        traces = tuple(_trace(10 * number + place) for place in range(3))
        is_error = number in (2, 5)
        step = OccurrenceStep(0, "payments", start + SECOND, MILLISECOND, traces[2], number == 2)
        occurrences.append(
            Occurrence(
                "order", f"order-{number}", start, (number + 1) * MILLISECOND,
                (traces[0], traces[2], traces[1]), end=start + 2 * SECOND, entry_span=f"{number:016x}",
                is_error=is_error, steps=(step,),
            )
        )  # fmt: skip
        loader.spans(
            Span(trace, f"{100 * number + place + 1:016x}", "", WEB, "POST /checkout", SERVER,
                 start, start + MILLISECOND)
            for place, trace in enumerate(traces)
        )  # fmt: skip
    insert_occurrences(store, occurrences)
    insert_definitions(store, ORDER)
    traces = _joined(ApiClient(store), "order")["traces"]
    shown = {name: [trace["trace_id"] for trace in rows] for name, rows in traces.items()}
    entries = [_trace(10 * number + 1) for number in range(8)]
    assert shown["slowest"] == entries[:2:-1]
    assert shown["errors"] == [entries[5], _trace(22)]
    assert len(shown["typical"]) == 5
    assert set(shown["typical"]) <= set(entries) - {entries[2], entries[5]}


def test_fair_shares() -> None:
    assert fair_shares([[1, 2, 3], [4, 5, 6]], 4) == [[1, 2], [4, 5]]
    assert fair_shares([[1], [4, 5, 6]], 4) == [[1], [4, 5, 6]]
    assert fair_shares([[1, 2, 3], []], 2) == [[1, 2], []]
    assert fair_shares([[1], [2]], 9) == [[1], [2]]
    assert fair_shares([], 9) == []
