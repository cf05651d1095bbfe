"""What is joined to a transaction: logs, exceptions, metrics and deployments, and by what link."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import rfc3339, traces_of
from support.settled import insert_settled
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
MINUTES = 6
WEB = Process("web", "web-1", version="1.0")
NEW_WEB = Process("web", "web-2", version="1.1")
OTHER_WEB = Process("web", "web-3")
PAYMENTS = Process("payments", "payments-1", environment="")
BOUNDS = (0.1, 0.5, 1.0)


@pytest.fixture
def loader(ingest: Ingest, tmp_path: Path) -> Loader:
    return Loader(ingest, tmp_path)


@pytest.fixture
def api(store: Store) -> ApiClient:
    return ApiClient(store)


def _trace(number: int) -> str:
    return f"{number + 1:032x}"


def _checkout(number: int, start: int, process: Process = WEB, **parameters: Any) -> list[Span]:
    """The spans of a checkout and of its charge; a higher number takes longer."""
    root, charge = f"{2 * number + 1:016x}", f"{2 * number + 2:016x}"
    length = (100 + 50 * number) * MILLISECOND
    return [
        Span(_trace(number), root, "", process, "POST /checkout", SERVER, start, start + length),
        Span(
            _trace(number), charge, root, PAYMENTS, "POST /charges", SERVER,
            start + MILLISECOND, start + length // 2, **parameters,
        ),
    ]  # fmt: skip


def _joined(api: ApiClient, **parameters: Any) -> dict[str, Any]:
    window = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + MINUTES * MINUTE), **parameters}
    transactions = api.get("/api/v1/transactions", **window)["transactions"]
    (id,) = (row["id"] for row in transactions if row["name"] == "web: POST /checkout")
    joined: dict[str, Any] = api.get(f"/api/v1/transactions/{id}", **window)
    return joined


def _load_checkouts(loader: Loader) -> list[Span]:
    """One checkout in each minute."""
    checkouts = [
        _checkout(number, BEGAN + number * MINUTE + 3 * SECOND) for number in range(MINUTES)
    ]
    for spans in checkouts:
        loader.spans(spans)
    return [span for spans in checkouts for span in spans]


def test_logs_are_linked_by_trace_or_by_process(loader: Loader, api: ApiClient) -> None:
    _load_checkouts(loader)
    ids = {"trace": _trace(0), "span": f"{2:016x}"}
    other_trace = "f" * 32
    loader.logs(
        [
            Log(BEGAN + 3 * SECOND, PAYMENTS, "INFO", "charging", {"order": "7"}, **ids),
            Log(BEGAN + 4 * SECOND, PAYMENTS, "INFO", "no trace", {}),
            Log(BEGAN + 4 * SECOND, OTHER_WEB, "INFO", "a process without checkouts"),
            Log(BEGAN + 4 * SECOND, WEB, "INFO", "another transaction", trace=other_trace),
            Log(BEGAN - 1, WEB, "INFO", "too early"),
            Log(BEGAN + MINUTES * MINUTE + 1, WEB, "INFO", "too late"),
        ]
    )
    answer = _joined(api)
    assert [(log["body"], log["linked_by"]) for log in answer["logs"]] == [
        ("charging", "trace"),
        ("no trace", "resource"),
    ]
    assert answer["logs"][0]["attributes"] == {"order": "7"}
    assert answer["logs"][0]["trace_id"] == _trace(0)
    assert answer["truncated"] is False


def test_exceptions_are_grouped_without_digits_and_ids(loader: Loader, api: ApiClient) -> None:
    messages = (
        "order 17 of 3fa85f64-5717-4562-b3fc-2c963f66afa6 failed",
        "order 9001 of 00000000-0000-0000-0000-00000000000f failed",
        "order 3 of 1b4e28ba-2fa1-11d2-883f-0016d3cca427 failed",
    )
    for number, message in enumerate(messages):
        start = BEGAN + number * MINUTE
        event = Event(start + 5 * MILLISECOND, "exception", exception("CardError", message))
        loader.spans(_checkout(number, start, status=ERROR, events=(event,)))
    start = BEGAN + 3 * MINUTE
    loader.spans(_checkout(3, start))
    loader.logs(
        [
            # The same exception as a span's event: counted once.
            Log(
                BEGAN + 6 * MILLISECOND, PAYMENTS, "ERROR", "failed",
                exception("CardError", messages[0]), trace=_trace(0), span=f"{2:016x}",
            ),
            # Only in a log record.
            Log(
                start + MILLISECOND, PAYMENTS, "ERROR", "failed",
                exception("CardError", messages[0]), trace=_trace(3), span=f"{8:016x}",
            ),
            Log(start, WEB, "ERROR", "x", exception("KeyError", "'sku'"), trace=_trace(3)),
            Log(start, WEB, "ERROR", "y", exception("Elsewhere", "no"), trace="f" * 32),
        ]
    )  # fmt: skip
    assert _joined(api)["exceptions"] == [
        {
            "type": "CardError",
            "message": "order # of # failed",
            "service": "payments",
            "frame": None,
            "count": 4,
            "instances": 4,
            "first": rfc3339(BEGAN + 5 * MILLISECOND),
            "last": rfc3339(start + MILLISECOND),
            "example_trace_id": _trace(3),
        },
        {
            "type": "KeyError",
            "message": "'sku'",
            "service": "web",
            "frame": None,
            "count": 1,
            "instances": 1,
            "first": rfc3339(start),
            "last": rfc3339(start),
            "example_trace_id": _trace(3),
        },
    ]


def _metric(answer: dict[str, Any], name: str) -> dict[str, Any]:
    (metric,) = (metric for metric in answer["metrics"] if metric["name"] == name)
    return dict(metric)


def _values(metric: dict[str, Any]) -> list[float]:
    return [point["value"] for point in metric["points"]]


def test_metrics_are_those_of_the_traces_processes(loader: Loader, api: ApiClient) -> None:
    _load_checkouts(loader)
    loader.points(
        Point(name, "1", "gauge", process, BEGAN + MINUTE, 1.0)
        for name, process in (
            ("mine", WEB),
            ("theirs", PAYMENTS),
            ("another process", OTHER_WEB),
            ("another service", Process("stock", "stock-1")),
        )
    )
    loader.points([Point("mine, too late", "1", "gauge", WEB, BEGAN + 20 * MINUTE, 1.0)])
    metrics = _joined(api)["metrics"]
    assert {(metric["name"], metric["service"], metric["resource"]) for metric in metrics} == {
        ("mine", "web", "web-1"),
        ("theirs", "payments", "payments-1"),
    }
    assert {metric["linked_by"] for metric in metrics} == {"resource"}


def test_an_exemplar_is_the_strongest_link(loader: Loader, api: ApiClient) -> None:
    _load_checkouts(loader)

    def points(name: str, trace: str) -> list[Point]:
        return [
            Point(
                name, "s", "histogram", WEB, BEGAN + second * SECOND, second / 2.0,
                {"http.route": "/checkout"}, (second, 0, 0, 0), BOUNDS, exemplar=(trace, "1" * 16),
            )
            for second in (10, 70, 130)
        ]  # fmt: skip

    loader.points([*points("of a checkout", _trace(1)), *points("of another", "e" * 32)])
    loader.points([Point("size", "By", "gauge", WEB, BEGAN + MINUTE, 1.0)])
    answer = _joined(api)
    first = answer["metrics"][0]
    assert (first["name"], first["linked_by"]) == ("of a checkout", "exemplar")
    assert _metric(answer, "of another")["linked_by"] == "resource"
    assert len(answer["metrics"]) == 3

    linked = (_trace(1), "1" * 16)
    loader.points([Point("depth", "", "gauge", WEB, BEGAN + MINUTE, 1.0, exemplar=linked)])
    answer = _joined(api)
    links = {metric["name"]: metric["linked_by"] for metric in answer["metrics"]}
    assert links == {
        "of a checkout": "exemplar", "depth": "exemplar", "of another": "resource", "size": "resource"
    }  # fmt: skip


def test_points_are_a_gauges_mean_a_sums_rate_a_histograms_p95(
    loader: Loader, api: ApiClient
) -> None:
    _load_checkouts(loader)
    totals = [100.0, 160.0, 280.0, 30.0, 90.0, 150.0]  # reset between the 3rd and the 4th
    buckets = [(0, 0, 0, 0), (100, 0, 0, 0), (190, 10, 0, 0), (190, 10, 100, 0), (0, 0, 0, 9)]
    loader.points(
        [
            *(
                Point("depth", "1", "gauge", WEB, BEGAN + (minute * 60 + second) * SECOND, value)
                for minute in range(MINUTES)
                for second, value in ((10, minute), (40, minute + 3.0))
            ),
            *(
                Point("sold", "1", "sum", WEB, BEGAN + minute * MINUTE + 30 * SECOND, total)
                for minute, total in enumerate(totals)
            ),
            *(
                Point(
                    "took", "s", "histogram", WEB, BEGAN + minute * MINUTE + 30 * SECOND, 1.0,
                    {}, counts, BOUNDS,
                )
                for minute, counts in enumerate(buckets)
            ),
        ]
    )  # fmt: skip
    answer = _joined(api)
    depth = _metric(answer, "depth")
    assert [point["time"] for point in depth["points"]] == [
        rfc3339(BEGAN + minute * MINUTE) for minute in range(MINUTES)
    ]
    assert _values(depth) == [minute + 1.5 for minute in range(MINUTES)]
    assert depth["unit"] == "1"
    assert _values(_metric(answer, "sold")) == [0, 1, 2, 0.5, 1, 1]
    # Increases: 100 in the first bucket; 90 and 10; 100 in the third; 9 above the last bound.
    assert _values(_metric(answer, "took")) == [0.1, 0.5, 1.0, 1.0]
    latency = [point["p95"] for point in answer["series"]]
    assert depth["correlation"] == pytest.approx(statistics.correlation(_values(depth), latency))
    assert _metric(answer, "took")["correlation"] > 0


def test_a_constant_metric_has_no_correlation(loader: Loader, api: ApiClient) -> None:
    _load_checkouts(loader)
    loader.points(
        Point("flat", "1", "gauge", WEB, BEGAN + minute * MINUTE, 5.0) for minute in range(MINUTES)
    )
    loader.points([Point("rare", "1", "gauge", WEB, BEGAN, 5.0)])
    answer = _joined(api)
    assert _metric(answer, "flat")["correlation"] is None
    assert _metric(answer, "rare")["correlation"] is None


def test_series_with_different_attributes_are_separate(loader: Loader, api: ApiClient) -> None:
    _load_checkouts(loader)
    loader.points(
        Point("state", "1", "gauge", WEB, BEGAN + MINUTE, value, {"pool": pool})
        for pool, value in (("a", 1.0), ("b", 2.0))
    )
    metrics = _joined(api)["metrics"]
    assert sorted((metric["attributes"]["pool"], *_values(metric)) for metric in metrics) == [
        ("a", 1.0),
        ("b", 2.0),
    ]


def test_deployments_are_the_versions_with_the_time_when_they_were_first_seen(
    loader: Loader, api: ApiClient
) -> None:
    loader.spans(_checkout(0, BEGAN + SECOND))
    loader.spans(_checkout(1, BEGAN + 4 * MINUTE, NEW_WEB))
    loader.spans(_checkout(2, BEGAN + 5 * MINUTE, NEW_WEB))
    loader.spans(_checkout(3, BEGAN - 50 * MINUTE))
    answer = _joined(api)
    assert [row for row in answer["deployments"] if row["service"] == "web"] == [
        {"service": "web", "version": "1.1", "first_seen": rfc3339(BEGAN + 4 * MINUTE)},
        {"service": "web", "version": "1.0", "first_seen": rfc3339(BEGAN - 50 * MINUTE)},
    ]


def test_the_environment_is_that_of_the_entry_span(
    loader: Loader, store: Store, api: ApiClient
) -> None:
    """A service without an environment is part of the traces of other services."""
    insert_settled(store, traces_of(_load_checkouts(loader)))
    answer = _joined(api, environment="prod")
    assert answer["transaction"]["count"] == MINUTES
    assert {row["service"] for row in answer["breakdown"]} == {"web", "payments"}


def test_the_breakdown_shows_where_the_time_went(
    loader: Loader, store: Store, api: ApiClient
) -> None:
    insert_settled(store, traces_of(_load_checkouts(loader)))
    answer = _joined(api, explain=True)
    # A dozen; here, without a collector, one more says how far traces are settled.
    assert len([sql for sql in answer["sql"] if "otel.clew_settler" not in sql]) <= 12
    web, payments = answer["breakdown"]
    assert (web["service"], payments["service"]) == ("web", "payments")
    assert web["share"] + payments["share"] == pytest.approx(1)
    assert web["critical_share"] + payments["critical_share"] == pytest.approx(1)
