"""The order of lists: sort, its reverse, cursors under each order; and the text filter of transactions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.traffic import ERROR, MILLISECOND, MINUTE, SECOND, SERVER, Loader, Point, Process, Span

BEGAN = 1_780_308_000 * SECOND
NOW = {"start": "2026-06-01T10:00:00Z", "end": "2026-06-01T10:10:00Z"}
# By operation: how often it runs, its milliseconds, its errors; in the window and in the one before.
TRAFFIC = {
    "GET /often": ((40, 10, 0), (40, 10, 0)),
    "GET /slow": ((4, 900, 0), (4, 100, 0)),
    "GET /failing": ((20, 10, 10), (20, 10, 0)),
    "GET /faster": ((10, 20, 0), (10, 80, 1)),
    "GET /same": ((10, 30, 1), (10, 30, 1)),
    "GET /Straße": ((1, 5, 0), (0, 0, 0)),
}
COUNT, MILLIS, ERRORS = range(3)


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> ApiClient:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    for place, start in ((0, BEGAN), (1, BEGAN - 10 * MINUTE)):
        loader.spans(
            chain.from_iterable(
                _spans(operation, *times[place], start, 2 * number + place)
                for number, (operation, times) in enumerate(TRAFFIC.items())
            )
        )
    return ApiClient(store)


def _spans(
    operation: str, count: int, millis: int, errors: int, start: int, number: int
) -> list[Span]:
    process = Process("shop" if "s" in operation else "web", "1")
    return [
        Span(
            f"{number + 1:08x}{n:024x}", f"{n + 1:016x}", "", process, operation, SERVER,
            start + n * SECOND, start + n * SECOND + millis * MILLISECOND,
            ERROR if n < errors else 0,
        )
        for n in range(count)
    ]  # fmt: skip


def _operations(api: ApiClient, **parameters: Any) -> list[str]:
    listed = api.get("/api/v1/transactions", **NOW, **parameters)["transactions"]
    return [transaction["operation"] for transaction in listed]


def _by(figure: Callable[[int, int, int], float]) -> list[float]:
    return sorted((figure(*now) for now, _ in TRAFFIC.values()), reverse=True)


@pytest.mark.parametrize(
    ("key", "figure"),
    [
        ("count", lambda count, millis, errors: count),
        ("errors", lambda count, millis, errors: errors),
        ("error_rate", lambda count, millis, errors: errors / count),
        ("impact", lambda count, millis, errors: count * millis),
        ("p95", lambda count, millis, errors: millis),
        ("max", lambda count, millis, errors: millis),
    ],
)
def test_transactions_are_sorted_by_a_figure(
    api: ApiClient, key: str, figure: Callable[[int, int, int], float]
) -> None:
    operations = _operations(api, sort=key)
    assert [figure(*TRAFFIC[operation][0]) for operation in operations] == _by(figure)
    reverse = _operations(api, sort=f"-{key}")
    assert [figure(*TRAFFIC[operation][0]) for operation in reverse] == _by(figure)[::-1]


def test_impact_is_the_time_spent_per_second(api: ApiClient) -> None:
    listed = api.get("/api/v1/transactions", **NOW)["transactions"]
    for transaction in listed:
        count, millis, _ = TRAFFIC[transaction["operation"]][0]
        assert transaction["impact"] == pytest.approx(count * millis / 600)
        view = api.get(f"/api/v1/transactions/{transaction['id']}", **NOW)["transaction"]
        assert view["impact"] == transaction["impact"]


def test_transactions_are_sorted_by_name(api: ApiClient) -> None:
    names = [t["name"] for t in api.get("/api/v1/transactions", **NOW, sort="name")["transactions"]]
    assert names == sorted(names)
    reverse = api.get("/api/v1/transactions", **NOW, sort="-name")["transactions"]
    assert [t["name"] for t in reverse] == names[::-1]


def test_change_is_against_the_window_before(api: ApiClient) -> None:
    document = api.get("/api/v1/transactions", **NOW, sort="change")
    listed = {transaction["operation"]: transaction for transaction in document["transactions"]}
    assert list(listed) == [
        "GET /failing", "GET /slow", *_unchanged(listed), "GET /faster", "GET /Straße",
    ]  # fmt: skip
    slow = listed["GET /slow"]["change"]
    assert slow["baseline"]["start"].startswith("2026-06-01T09:50:00")
    assert slow["baseline"]["end"].startswith("2026-06-01T10:00:00")
    assert slow["p95"] == pytest.approx(8, rel=0.05)
    assert (slow["per_second"], slow["error_rate"], slow["count"]) == (0, 0, 4)
    assert listed["GET /failing"]["change"]["error_rate"] == 0.5
    assert listed["GET /Straße"]["change"]["count"] == 0
    assert listed["GET /Straße"]["change"]["score"] is None
    # What was not there before has no change, and stays last.
    assert _operations(api, sort="-change")[0] == "GET /faster"
    assert _operations(api, sort="-change")[-1] == "GET /Straße"


def _unchanged(listed: dict[str, Any]) -> list[str]:
    return sorted(("GET /often", "GET /same"), key=lambda name: str(listed[name]["id"]))


def test_a_baseline_may_be_named(api: ApiClient) -> None:
    baseline = {"baseline_start": "2026-06-01T09:50:00Z", "baseline_end": "2026-06-01T10:00:00Z"}
    named = api.get("/api/v1/transactions", **NOW, **baseline, sort="change")["transactions"]
    assert named == api.get("/api/v1/transactions", **NOW, sort="change")["transactions"]
    for one in baseline.items():
        assert named == api.get(
            "/api/v1/transactions", **NOW, **dict([one]), sort="change"
        )["transactions"]  # fmt: skip
    by_count = api.get("/api/v1/transactions", **NOW, **baseline)["transactions"]
    assert all(transaction["change"] for transaction in by_count)
    plain = api.get("/api/v1/transactions", **NOW)["transactions"]
    assert all(transaction["change"] is None for transaction in plain)


def test_a_baseline_that_ends_before_it_starts_is_a_problem(api: ApiClient) -> None:
    problem = api.problem("/api/v1/transactions", baseline_start="-1h", baseline_end="-2h")
    assert problem["status"] == 400
    assert "baseline_start" in problem["detail"]


@pytest.mark.parametrize("reverse", ["", "-"])
@pytest.mark.parametrize(
    "key", ["count", "impact", "errors", "error_rate", "p95", "value_lost", "change", "name"]
)
@pytest.mark.parametrize("limit", [1, 2, 4])
def test_pages_are_the_whole_list_in_parts(
    api: ApiClient, key: str, reverse: str, limit: int
) -> None:
    whole = _operations(api, sort=reverse + key)
    assert len(whole) == len(TRAFFIC)
    pages = api.pages(
        "/api/v1/transactions", "transactions", **NOW, sort=reverse + key, limit=limit
    )
    assert [transaction["operation"] for page in pages for transaction in page] == whole
    assert all(len(page) <= limit for page in pages)


def test_a_cursor_contains_its_order(api: ApiClient) -> None:
    first = api.get("/api/v1/transactions", **NOW, sort="errors", limit=2)
    following = api.get("/api/v1/transactions", cursor=first["next_cursor"])["transactions"]
    assert [t["operation"] for t in following] == _operations(api, sort="errors")[2:]
    problem = api.problem("/api/v1/transactions", cursor=first["next_cursor"], sort="p95")
    assert problem["status"] == 400


@pytest.mark.parametrize("sort", ["speed", "--count", "", "count,errors", "-"])
def test_an_unknown_order_is_a_problem_that_lists_the_choices(api: ApiClient, sort: str) -> None:
    problem = api.problem("/api/v1/transactions", sort=sort)
    assert problem["status"] == 400
    for choice in ("count", "impact", "value_lost", "change", "name"):
        assert choice in problem["detail"]


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("slow", {"GET /slow"}),
        ("SLOW", {"GET /slow"}),
        ("strasse", {"GET /Straße"}),
        ("web: get /f", {"GET /failing"}),
        ("shop", {name for name in TRAFFIC if "s" in name}),
        ("nothing like it", set()),
        (" ", TRAFFIC.keys()),
        ("%", set()),
    ],
)
def test_transactions_are_found_by_text(api: ApiClient, text: str, operations: set[str]) -> None:
    assert set(_operations(api, q=text)) == set(operations)


def test_services_are_sorted_by_their_figures(api: ApiClient) -> None:
    def services(**parameters: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = api.get("/api/v1/services", **NOW, **parameters)["services"]
        return listed

    assert [service["service"] for service in services()] == ["shop", "web"]
    assert [service["service"] for service in services(sort="-name")] == ["web", "shop"]
    figures: dict[str, Callable[[dict[str, Any]], float]] = {
        "rate": lambda service: service["per_second"],
        "errors": lambda service: service["errors"],
        "error_rate": lambda service: service["error_rate"],
        "p95": lambda service: service["duration_ms"]["p95"],
    }
    for key, figure in figures.items():
        greatest_first = [figure(service) for service in services(sort=key)]
        assert greatest_first == sorted(greatest_first, reverse=True), key
        assert [figure(service) for service in services(sort=f"-{key}")] == greatest_first[::-1]
    for service in services():
        (most,) = [
            max(times[0][MILLIS] for name, times in TRAFFIC.items() if name in names)
            for names in [{row["operation"] for row in service["operations"]}]
        ]
        assert service["duration_ms"]["max"] == most


@pytest.mark.parametrize(
    "path",
    ["/api/v1/services", "/api/v1/metrics", "/api/v1/attributes", "/api/v1/attributes/x/values"],
)
def test_every_list_says_by_what_it_can_be_sorted(api: ApiClient, path: str) -> None:
    problem = api.problem(path, sort="speed")
    assert problem["status"] == 400
    assert "sort by one of" in problem["detail"]


def test_metrics_are_listed_backwards_too(store: Store, ingest: Ingest, tmp_path: Any) -> None:
    process = Process("web", "web-1")
    Loader(ingest, tmp_path).points(
        Point(name, unit, kind, process, BEGAN, 1.0, buckets=(1, 1), bounds=(1.0,))
        for name, unit, kind in (
            ("b", "s", "gauge"), ("a", "1", "sum"), ("b", "ms", "gauge"), ("c", "s", "histogram"),
            ("b", "s", "histogram"),
        )
    )  # fmt: skip
    api = ApiClient(store)
    listed = api.get("/api/v1/metrics", **NOW)["metrics"]
    backwards = api.get("/api/v1/metrics", **NOW, sort="-name")["metrics"]
    assert len(listed) == 5
    assert backwards == listed[::-1]
    pages = api.pages("/api/v1/metrics", "metrics", **NOW, sort="-name", limit=2)
    assert [metric for page in pages for metric in page] == backwards
