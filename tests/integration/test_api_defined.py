"""Defined transactions: counts, value, error budgets, instances and funnels, compared with plain
Python over the same occurrences."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import is_quantile, rfc3339, traces_of
from support.settled import (
    Occurrence,
    OccurrenceStep,
    insert_definitions,
    insert_occurrences,
    insert_settled,
)
from support.traffic import (
    CLIENT,
    CONSUMER,
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
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WINDOW = (BEGAN + 12_345_678_901, BEGAN + 2 * HOUR + 1)
WEB = Process("web", "web-1")
PAYMENTS = Process("payments", "payments-1", version="2.0")
WORKER = Process("worker", "worker-1")
HOSTILE = "it's / a \\ key?x=1 {key:String} %2F -- #"
CHECKOUT = {
    "name": "Checkout",
    "match": {"service": "web", "operation": "POST /checkout"},
    "key": "order.id",
    "steps": ["cart", {"name": "pay", "match": {"service": "payments"}}, "ship"],
    "slo": {"latency_ms": 400, "objective": 0.95},
}
BROWSE = {"name": "Browse", "match": {"service": "web"}}
QUIET = {"name": "Quiet", "match": {"service": "nothing"}, "slo": {"objective": 0.9}}


@dataclass(frozen=True)
class Dataset:
    api: ApiClient
    occurrences: list[Occurrence]

    def matching(
        self, transaction: str, start: int = WINDOW[0], environment: str | None = None
    ) -> list[Occurrence]:
        return [
            occurrence
            for occurrence in self.occurrences
            if occurrence.transaction == transaction
            and start <= occurrence.time < WINDOW[1]
            and environment in (None, occurrence.environment)
        ]


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    occurrences = list(_occurrences())
    loader.spans(
        span
        for occurrence in occurrences
        if occurrence.time >= BEGAN
        for span in _spans(occurrence)
    )
    # Only the later version of an occurrence counts.
    insert_occurrences(
        store,
        [replace(occurrence, is_error=True, value=1e9) for occurrence in occurrences],
        version=1,
    )
    insert_occurrences(store, occurrences, version=2)
    insert_definitions(store, CHECKOUT, BROWSE, QUIET)
    return Dataset(ApiClient(store), occurrences)


def _occurrences() -> Any:
    choice = random.Random(11)
    for number in range(400):
        # Some are before the window, for the burn rates.
        days_before = choice.choice((0, 0, 0, 5 * HOUR, 2 * DAY, 4 * DAY))
        time = BEGAN - days_before + choice.randrange(2 * HOUR)
        steps = []
        step_time = time
        for step, service in enumerate(("web", "payments", "worker")):
            if choice.random() < 0.8:
                # Clocks differ: a step may seem to start before the previous one.
                step_time += choice.randrange(-SECOND, 5 * SECOND)
                is_error = choice.random() < 0.1
                steps.append(
                    OccurrenceStep(
                        step, service, step_time, 5 * MILLISECOND, f"{number + 1:032x}", is_error
                    )
                )
        yield Occurrence(
            choice.choice(("checkout", "checkout", "browse")),
            f"order-{number}" if number else HOSTILE,
            time,
            int(10 ** choice.uniform(7, 9.3)),
            (f"{number + 1:032x}",),
            end=time + choice.randrange(SECOND, HOUR),
            environment=choice.choice(("prod", "prod", "staging")),
            entry_span=f"{number + 1:016x}",
            is_error=choice.random() < 0.15,
            user=choice.choice(("", "ann", "o'neil")),
            value=choice.choice((None, round(choice.uniform(1, 500), 2))),
            services=("web", *sorted({step.service for step in steps} - {"web"})),
            steps=tuple(steps),
        )


def _spans(occurrence: Occurrence) -> list[Span]:
    return [
        Span(
            occurrence.traces[0], occurrence.entry_span, "", WEB, "POST /checkout", SERVER, occurrence.time,
            occurrence.time + occurrence.entry_duration, attributes={"region": f"r{int(occurrence.traces[0], 16) % 3}"},
        )
    ]  # fmt: skip


def _parameters(**parameters: Any) -> dict[str, Any]:
    return {"start": rfc3339(WINDOW[0]), "end": rfc3339(WINDOW[1]), **parameters}


@pytest.mark.parametrize("environment", [None, "staging", "nowhere"])
def test_the_list_contains_defined_transactions(dataset: Dataset, environment: str | None) -> None:
    parameters = _parameters(limit=1000) | ({"environment": environment} if environment else {})
    rows = dataset.api.get("/api/v1/transactions", **parameters)["transactions"]
    defined = {row["id"]: row for row in rows if row["source"] == "defined"}
    expected = {id: dataset.matching(id, environment=environment) for id in ("checkout", "browse")}
    assert defined.keys() == {id for id, occurrences in expected.items() if occurrences}
    for id, row in defined.items():
        _check(row, expected[id], dataset, environment)
    assert rows == sorted(rows, key=lambda row: (-row["count"], row["id"]))


def _check(
    row: dict[str, Any], occurrences: list[Occurrence], dataset: Dataset, environment: str | None
) -> None:
    durations = [occurrence.entry_duration for occurrence in occurrences]
    assert row["count"] == len(occurrences)
    assert row["errors"] == sum(occurrence.is_error for occurrence in occurrences)
    assert row["services"] == sorted(
        {name for occurrence in occurrences for name in occurrence.services}
    )
    assert row["duration_ms"]["max"] == max(durations) / 1e6
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        assert is_quantile(row["duration_ms"][name] * 1e6, durations, q)
    target = (400 if row["id"] == "checkout" else 500) * MILLISECOND
    satisfied = sum(duration <= target for duration in durations)
    tolerating = sum(target < duration <= 4 * target for duration in durations)
    assert row["apdex"] == pytest.approx((satisfied + tolerating / 2) / len(durations))
    slow = row["duration_ms"]["p95"] * 1e6
    assert row["value"] == {
        "sum": pytest.approx(sum(occurrence.value or 0 for occurrence in occurrences)),
        "lost": pytest.approx(
            sum(occurrence.value or 0 for occurrence in occurrences if occurrence.is_error)
        ),
        "at_risk": pytest.approx(
            sum(
                occurrence.value or 0
                for occurrence in occurrences
                if not occurrence.is_error and occurrence.entry_duration > slow
            )
        ),
    }
    if row["id"] == "browse":
        assert row["slo"] is None
        return
    good = sum(map(_is_good, occurrences))
    assert row["slo"] == {
        "objective": 0.95,
        "latency_ms": 400,
        "good": good,
        "total": len(occurrences),
        "attained": pytest.approx(good / len(occurrences)),
        "error_budget_left": pytest.approx(
            1 - (len(occurrences) - good) / (len(occurrences) * 0.05)
        ),
        "burn_rates": {
            name: pytest.approx(
                _burn_rate(dataset.matching("checkout", WINDOW[1] - length, environment))
            )
            for name, length in (("1h", HOUR), ("6h", 6 * HOUR), ("3d", 3 * DAY))
        },
    }


def _is_good(occurrence: Occurrence) -> bool:
    return not occurrence.is_error and occurrence.entry_duration <= 400 * MILLISECOND


def _burn_rate(occurrences: list[Occurrence]) -> float:
    bad = sum(not _is_good(occurrence) for occurrence in occurrences)
    return bad / len(occurrences) / 0.05 if occurrences else 0.0


@pytest.mark.parametrize("limit", [1, 2])
def test_pages_contain_automatic_and_defined_transactions_in_order(
    dataset: Dataset, limit: int
) -> None:
    full_list = dataset.api.get("/api/v1/transactions", **_parameters(limit=1000))["transactions"]
    assert {row["source"] for row in full_list} == {"auto", "defined"}
    pages = dataset.api.pages("/api/v1/transactions", "transactions", **_parameters(limit=limit))
    assert list(itertools.chain(*pages)) == full_list


def test_the_joined_view_of_a_defined_transaction(dataset: Dataset) -> None:
    answer = dataset.api.get("/api/v1/transactions/checkout", **_parameters())
    occurrences = dataset.matching("checkout")
    _check(answer["transaction"], occurrences, dataset, None)
    minutes = defaultdict(list)
    for occurrence in occurrences:
        minutes[rfc3339(occurrence.time // MINUTE * MINUTE)].append(occurrence)
    assert [point["time"] for point in answer["series"]] == sorted(minutes)
    for point in answer["series"]:
        entries = minutes[point["time"]]
        assert point["count"] == len(entries)
        assert point["errors"] == sum(occurrence.is_error for occurrence in entries)
        assert is_quantile(
            point["p95"] * 1e6, [occurrence.entry_duration for occurrence in entries], 0.95
        )
    slowest = sorted(
        occurrences, key=lambda occurrence: (-occurrence.entry_duration, occurrence.traces[0])
    )
    assert [trace["trace_id"] for trace in answer["traces"]["slowest"]] == [
        occurrence.traces[0] for occurrence in slowest[:5]
    ]
    assert answer["quantile_error"] == 0.01


def test_a_transaction_that_did_not_occur_is_empty(dataset: Dataset) -> None:
    answer = dataset.api.get("/api/v1/transactions/quiet", **_parameters())
    row = answer["transaction"]
    assert (row["count"], row["apdex"], row["duration_ms"]["p95"]) == (0, None, None)
    assert row["value"] == {"sum": 0, "lost": 0, "at_risk": 0}
    assert (row["slo"]["attained"], row["slo"]["error_budget_left"]) == (None, 1)
    assert set(row["slo"]["burn_rates"].values()) == {0}
    assert answer["series"] == answer["logs"] == answer["breakdown"] == []
    assert (
        dataset.api.get("/api/v1/transactions/quiet/instances", **_parameters())["instances"] == []
    )


FILTERS: dict[str, tuple[dict[str, Any], Callable[[Occurrence], bool]]] = {
    "all": ({}, lambda occurrence: True),
    "in error": ({"status": "error"}, lambda occurrence: occurrence.is_error),
    "ok": ({"status": "ok"}, lambda occurrence: not occurrence.is_error),
    "a user's": ({"user": "o'neil"}, lambda occurrence: occurrence.user == "o'neil"),
    "long": (
        {"min_duration_ms": 100},
        lambda occurrence: occurrence.entry_duration >= 100 * MILLISECOND,
    ),
    "short": (
        {"max_duration_ms": 100},
        lambda occurrence: occurrence.entry_duration <= 100 * MILLISECOND,
    ),
    "long in all": (
        {"min_duration_ms": 1_800_000, "by": "elapsed"},
        lambda occurrence: occurrence.end - occurrence.time >= 30 * MINUTE,
    ),
    "long at work": (
        {"max_duration_ms": 1_800_000, "by": "working"},
        lambda occurrence: occurrence.end - occurrence.time <= 30 * MINUTE,
    ),
    "of an environment": (
        {"environment": "staging"},
        lambda occurrence: occurrence.environment == "staging",
    ),
}


@pytest.mark.parametrize(("parameters", "matches"), FILTERS.values(), ids=FILTERS.keys())
def test_instances_newest_first(
    dataset: Dataset, parameters: dict[str, Any], matches: Callable[[Occurrence], bool]
) -> None:
    pages = dataset.api.pages(
        "/api/v1/transactions/checkout/instances",
        "instances",
        **_parameters(limit=17, **parameters),
    )
    expected = sorted(
        filter(matches, dataset.matching("checkout")),
        key=lambda occurrence: (occurrence.time, occurrence.key),
        reverse=True,
    )
    rows = list(itertools.chain(*pages))
    assert [row["key"] for row in rows] == [occurrence.key for occurrence in expected]
    for row, occurrence in zip(rows, expected, strict=True):
        assert row["trace_ids"] == list(occurrence.traces)
        assert row["start"] == rfc3339(occurrence.first_start)
        assert row["duration_ms"] == (occurrence.end - occurrence.first_start) / 1e6
        assert row["status"] == ("error" if occurrence.is_error else "ok")
        assert row["user"] == (occurrence.user or None)
        assert row["value"] == occurrence.value
        assert row["services"] == sorted(occurrence.services)
        assert row["span_count"] == 3
        assert [(step["name"], step["time"], step["status"]) for step in row["steps"]] == [
            (
                ("cart", "pay", "ship")[step.number],
                rfc3339(step.start),
                "error" if step.is_error else "ok",
            )
            for step in occurrence.steps
        ]


def test_filters_of_automatic_instances(dataset: Dataset) -> None:
    transactions = dataset.api.get("/api/v1/transactions", **_parameters(limit=1000))[
        "transactions"
    ]
    (id,) = (row["id"] for row in transactions if row["source"] == "auto")
    path = f"/api/v1/transactions/{id}/instances"
    instances = dataset.api.get(path, **_parameters(limit=1000))["instances"]
    slow = [row for row in instances if row["duration_ms"] >= 300]
    assert 0 < len(slow) < len(instances)
    assert (
        dataset.api.get(path, **_parameters(limit=1000, min_duration_ms=300))["instances"] == slow
    )
    assert dataset.api.get(path, **_parameters(status="error"))["instances"] == []
    assert dataset.api.get(path, **_parameters(user="ann"))["instances"] == []


def _check_funnel(occurrences: list[Occurrence], steps: list[dict[str, Any]]) -> None:
    previous = 0
    for number, step in enumerate(steps):
        reached = [
            occurrence
            for occurrence in occurrences
            if not number or any(step.number == number - 1 for step in occurrence.steps)
        ]
        ended_here = [occurrence for occurrence in reached if _last_step(occurrence) == number]
        assert step["name"] == ("Checkout", "cart", "pay", "ship")[number]
        assert step["reached"] == len(reached)
        assert step["drop_off"] == pytest.approx(
            max(0, 1 - len(reached) / previous) if previous else 0
        )
        assert step["errors"] == sum(occurrence.is_error for occurrence in ended_here)
        assert step["lost_value"] == pytest.approx(
            sum(occurrence.value or 0 for occurrence in ended_here if occurrence.is_error)
        )
        if number and reached:
            waits = [_wait(occurrence, number - 1) for occurrence in reached]
            assert is_quantile(step["from_previous_ms"]["p50"] * 1e6, waits, 0.5)
            assert is_quantile(step["from_previous_ms"]["p95"] * 1e6, waits, 0.95)
            assert step["failed"] == sum(
                step.is_error
                for occurrence in reached
                for step in occurrence.steps
                if step.number == number - 1
            )
        previous = len(reached) or previous


def _last_step(occurrence: Occurrence) -> int:
    return occurrence.steps[-1].number + 1 if occurrence.steps else 0


def _wait(occurrence: Occurrence, number: int) -> int:
    times = [occurrence.time, *(step.start for step in occurrence.steps)]
    place = [step.number for step in occurrence.steps].index(number) + 1
    return max(0, times[place] - times[place - 1])


@pytest.mark.parametrize("environment", [None, "staging"])
def test_a_funnel(dataset: Dataset, environment: str | None) -> None:
    parameters = _parameters() | ({"environment": environment} if environment else {})
    answer = dataset.api.get("/api/v1/transactions/checkout/funnel", **parameters)
    assert answer["transaction"] == {"id": "checkout", "name": "Checkout"}
    _check_funnel(dataset.matching("checkout", environment=environment), answer["steps"])
    assert answer["groups"] == []
    assert answer["truncated"] is False


GROUPINGS: dict[str, Callable[[Occurrence], str]] = {
    "hour": lambda occurrence: rfc3339(occurrence.time // HOUR * HOUR),
    "day": lambda occurrence: rfc3339(occurrence.time // DAY * DAY),
    "attr:region": lambda occurrence: f"r{int(occurrence.traces[0], 16) % 3}",
    "attr:it's no {attribute:String}": lambda occurrence: "",
}


@pytest.mark.parametrize(("by", "group"), GROUPINGS.items(), ids=GROUPINGS.keys())
def test_a_funnel_by_day_or_attribute(
    dataset: Dataset, by: str, group: Callable[[Occurrence], str]
) -> None:
    answer = dataset.api.get("/api/v1/transactions/checkout/funnel", **_parameters(by=by))
    expected = defaultdict(list)
    for occurrence in dataset.matching("checkout"):
        expected[group(occurrence)].append(occurrence)
    _check_funnel(dataset.matching("checkout"), answer["steps"])
    assert {row["group"] for row in answer["groups"]} == expected.keys()
    for row in answer["groups"]:
        _check_funnel(expected[row["group"]], row["steps"])


def test_a_transaction_without_steps_has_no_funnel(dataset: Dataset) -> None:
    transactions = dataset.api.get("/api/v1/transactions", **_parameters(limit=1000))[
        "transactions"
    ]
    (automatic,) = (row["id"] for row in transactions if row["source"] == "auto")
    for id in ("browse", automatic):
        problem = dataset.api.problem(f"/api/v1/transactions/{id}/funnel")
        assert problem["status"] == 422
        assert "steps" in problem["detail"]
    assert dataset.api.problem("/api/v1/transactions/unknown/funnel")["status"] == 404
    assert dataset.api.problem("/api/v1/transactions/checkout/funnel", by="attr:")["status"] == 422


def test_one_instance_with_its_traces_logs_exceptions_and_metrics(
    store: Store, ingest: Ingest, tmp_path: Any
) -> None:
    loader = Loader(ingest, tmp_path)
    first_trace, later_trace = "a" * 32, "b" * 32
    event = Event(BEGAN + 2, "exception", exception("CardError", "card 17 declined"))
    spans = [
        Span(first_trace, "1" * 16, "", WEB, "POST /checkout", SERVER, BEGAN, BEGAN + SECOND),
        Span(
            first_trace, "2" * 16, "1" * 16, PAYMENTS, "POST /charges", CLIENT,
            BEGAN + 1, BEGAN + SECOND // 2, status=ERROR, events=(event,),
        ),
        Span(later_trace, "3" * 16, "", WORKER, "ship", CONSUMER, BEGAN + HOUR, BEGAN + HOUR + SECOND),
        Span("c" * 32, "4" * 16, "", WEB, "GET /", SERVER, BEGAN, BEGAN + 1),
    ]  # fmt: skip
    loader.spans(spans)
    insert_settled(store, traces_of(spans))
    loader.logs(
        [
            Log(BEGAN + HOUR, WORKER, "INFO", "packed", trace=later_trace),
            Log(BEGAN + SECOND, WEB, "INFO", "without a trace"),
            Log(BEGAN + SECOND, WEB, "INFO", "another's", trace="c" * 32),
        ]
    )
    loader.points(
        Point("picked", "1", "gauge", WORKER, BEGAN + HOUR, 1.0, attributes)
        for attributes in ({"order.id": HOSTILE}, {"order.id": "another"})
    )
    insert_definitions(store, CHECKOUT)
    insert_occurrences(
        store,
        [
            Occurrence(
                "checkout", HOSTILE, BEGAN, SECOND, (first_trace, later_trace),
                end=BEGAN + HOUR + SECOND, services=("web", "payments", "worker"),
            )
        ],
    )  # fmt: skip
    path = f"/api/v1/transactions/checkout/instances/{quote(HOSTILE, safe='')}"
    answer = ApiClient(store).get(path)
    assert answer["instance"]["key"] == HOSTILE
    assert answer["instance"]["trace_ids"] == [first_trace, later_trace]
    assert [trace["trace_id"] for trace in answer["traces"]] == [first_trace, later_trace]
    assert [len(trace["spans"]) for trace in answer["traces"]] == [2, 1]
    assert [(log["body"], log["linked_by"]) for log in answer["logs"]] == [
        ("packed", "trace"),
        ("without a trace", "resource"),
    ]
    assert [(row["type"], row["message"]) for row in answer["exceptions"]] == [
        ("CardError", "card # declined")
    ]
    assert {row["service"] for row in answer["breakdown"]} == {"web", "payments", "worker"}
    assert answer["sample"]["traces"] == 2
    assert {row["attributes"]["order.id"]: row["linked_by"] for row in answer["metrics"]} == {
        HOSTILE: "attribute",
        "another": "resource",
    }
    assert {row["service"] for row in answer["deployments"]} == {"web", "payments", "worker"}
    unknown = ApiClient(store).problem(f"{path}x")
    assert unknown["status"] == 404
    joined = ApiClient(store).get(
        "/api/v1/transactions/checkout", start=rfc3339(BEGAN), end=rfc3339(BEGAN + MINUTE)
    )
    # Data of an occurrence in the window is shown even when it lies outside the window.
    assert {row["service"] for row in joined["breakdown"]} == {"web", "payments", "worker"}
    assert joined["sample"]["traces"] == 2
    assert {log["body"] for log in joined["logs"] if log["linked_by"] == "trace"} == {"packed"}


def test_an_automatic_instance_by_its_trace_id(dataset: Dataset) -> None:
    transactions = dataset.api.get("/api/v1/transactions", **_parameters(limit=1000))[
        "transactions"
    ]
    (id,) = (row["id"] for row in transactions if row["source"] == "auto")
    (first_trace, *_) = dataset.api.get(f"/api/v1/transactions/{id}/instances", **_parameters())[
        "instances"
    ]
    answer = dataset.api.get(f"/api/v1/transactions/{id}/instances/{first_trace['key']}")
    assert answer["instance"] == first_trace
    assert [trace["trace_id"] for trace in answer["traces"]] == [first_trace["key"]]
    missing = dataset.api.problem(f"/api/v1/transactions/{id}/instances/{'f' * 32}")
    assert missing["status"] == 404
