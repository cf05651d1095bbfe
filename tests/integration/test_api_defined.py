"""Defined transactions: their counts, value and error budgets, occurrences and funnels, worked out
once more in plain Python from the occurrences as they were settled."""

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
from support.asking import Api
from support.reference import is_quantile, rfc3339, traces_of
from support.settled import Occurrence, Reached, define, occur, settle
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
class Shown:
    api: Api
    occurrences: list[Occurrence]

    def of(
        self, transaction: str, start: int = WINDOW[0], environment: str | None = None
    ) -> list[Occurrence]:
        return [
            each
            for each in self.occurrences
            if each.transaction == transaction
            and start <= each.time < WINDOW[1]
            and environment in (None, each.environment)
        ]


@pytest.fixture(scope="module")
def shown(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Shown:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    occurrences = list(_occurrences())
    loader.spans(span for each in occurrences if each.time >= BEGAN for span in _spans(each))
    # The earlier version of each does not count, nor does one that was cancelled.
    occur(store, [replace(each, is_error=True, value=1e9) for each in occurrences], version=1)
    occur(store, occurrences, version=2)
    define(store, CHECKOUT, BROWSE, QUIET)
    return Shown(Api(store), occurrences)


def _occurrences() -> Any:
    choice = random.Random(11)
    for number in range(400):
        # Three days back for the burn rates, most of them in the window.
        back = choice.choice((0, 0, 0, 5 * HOUR, 2 * DAY, 4 * DAY))
        time = BEGAN - back + choice.randrange(2 * HOUR)
        steps = []
        at = time
        for step, service in enumerate(("web", "payments", "worker")):
            if choice.random() < 0.8:
                # The clocks differ: a step may seem to come before the one before it.
                at += choice.randrange(-SECOND, 5 * SECOND)
                failed = choice.random() < 0.1
                steps.append(
                    Reached(step, service, at, 5 * MILLISECOND, f"{number + 1:032x}", failed)
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


def _spans(each: Occurrence) -> list[Span]:
    return [
        Span(
            each.traces[0], each.entry_span, "", WEB, "POST /checkout", SERVER, each.time,
            each.time + each.entry_duration, attributes={"region": f"r{int(each.traces[0], 16) % 3}"},
        )
    ]  # fmt: skip


def _asked(**more: Any) -> dict[str, Any]:
    return {"start": rfc3339(WINDOW[0]), "end": rfc3339(WINDOW[1]), **more}


@pytest.mark.parametrize("environment", [None, "staging", "nowhere"])
def test_the_list_has_defined_transactions_too(shown: Shown, environment: str | None) -> None:
    asked = _asked(limit=1000) | ({"environment": environment} if environment else {})
    rows = shown.api.get("/api/v1/transactions", **asked)["transactions"]
    found = {row["id"]: row for row in rows if row["source"] == "defined"}
    expected = {id: shown.of(id, environment=environment) for id in ("checkout", "browse")}
    assert found.keys() == {id for id, occurrences in expected.items() if occurrences}
    for id, row in found.items():
        _check(row, expected[id], shown, environment)
    assert rows == sorted(rows, key=lambda row: (-row["count"], row["id"]))


def _check(
    row: dict[str, Any], occurrences: list[Occurrence], shown: Shown, environment: str | None
) -> None:
    durations = [each.entry_duration for each in occurrences]
    assert row["count"] == len(occurrences)
    assert row["errors"] == sum(each.is_error for each in occurrences)
    assert row["services"] == sorted({name for each in occurrences for name in each.services})
    assert row["duration_ms"]["max"] == max(durations) / 1e6
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        assert is_quantile(row["duration_ms"][name] * 1e6, durations, q)
    target = (400 if row["id"] == "checkout" else 500) * MILLISECOND
    satisfied = sum(duration <= target for duration in durations)
    tolerating = sum(target < duration <= 4 * target for duration in durations)
    assert row["apdex"] == pytest.approx((satisfied + tolerating / 2) / len(durations))
    slow = row["duration_ms"]["p95"] * 1e6
    assert row["value"] == {
        "sum": pytest.approx(sum(each.value or 0 for each in occurrences)),
        "lost": pytest.approx(sum(each.value or 0 for each in occurrences if each.is_error)),
        "at_risk": pytest.approx(
            sum(
                each.value or 0
                for each in occurrences
                if not each.is_error and each.entry_duration > slow
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
            name: pytest.approx(_burnt(shown.of("checkout", WINDOW[1] - long, environment)))
            for name, long in (("1h", HOUR), ("6h", 6 * HOUR), ("3d", 3 * DAY))
        },
    }


def _is_good(each: Occurrence) -> bool:
    return not each.is_error and each.entry_duration <= 400 * MILLISECOND


def _burnt(occurrences: list[Occurrence]) -> float:
    bad = sum(not _is_good(each) for each in occurrences)
    return bad / len(occurrences) / 0.05 if occurrences else 0.0


@pytest.mark.parametrize("limit", [1, 2])
def test_pages_of_the_list_have_both_sorts_in_order(shown: Shown, limit: int) -> None:
    whole = shown.api.get("/api/v1/transactions", **_asked(limit=1000))["transactions"]
    assert {row["source"] for row in whole} == {"auto", "defined"}
    pages = shown.api.pages("/api/v1/transactions", "transactions", **_asked(limit=limit))
    assert list(itertools.chain(*pages)) == whole


def test_the_joined_view_of_a_defined_transaction(shown: Shown) -> None:
    answer = shown.api.get("/api/v1/transactions/checkout", **_asked())
    occurrences = shown.of("checkout")
    _check(answer["transaction"], occurrences, shown, None)
    minutes = defaultdict(list)
    for each in occurrences:
        minutes[rfc3339(each.time // MINUTE * MINUTE)].append(each)
    assert [point["time"] for point in answer["series"]] == sorted(minutes)
    for point in answer["series"]:
        entries = minutes[point["time"]]
        assert point["count"] == len(entries)
        assert point["errors"] == sum(each.is_error for each in entries)
        assert is_quantile(point["p95"] * 1e6, [each.entry_duration for each in entries], 0.95)
    slowest = sorted(occurrences, key=lambda each: (-each.entry_duration, each.traces[0]))
    assert [trace["trace_id"] for trace in answer["traces"]["slowest"]] == [
        each.traces[0] for each in slowest[:5]
    ]
    assert answer["quantile_error"] == 0.01


def test_one_that_did_not_occur_is_empty_and_not_unknown(shown: Shown) -> None:
    answer = shown.api.get("/api/v1/transactions/quiet", **_asked())
    row = answer["transaction"]
    assert (row["count"], row["apdex"], row["duration_ms"]["p95"]) == (0, None, None)
    assert row["value"] == {"sum": 0, "lost": 0, "at_risk": 0}
    assert (row["slo"]["attained"], row["slo"]["error_budget_left"]) == (None, 1)
    assert set(row["slo"]["burn_rates"].values()) == {0}
    assert answer["series"] == answer["logs"] == answer["breakdown"] == []
    assert shown.api.get("/api/v1/transactions/quiet/instances", **_asked())["instances"] == []


ASKED: dict[str, tuple[dict[str, Any], Callable[[Occurrence], bool]]] = {
    "all": ({}, lambda each: True),
    "in error": ({"status": "error"}, lambda each: each.is_error),
    "ok": ({"status": "ok"}, lambda each: not each.is_error),
    "a user's": ({"user": "o'neil"}, lambda each: each.user == "o'neil"),
    "long": ({"min_duration_ms": 1_800_000}, lambda each: each.end - each.time >= 30 * MINUTE),
    "of an environment": ({"environment": "staging"}, lambda each: each.environment == "staging"),
}


@pytest.mark.parametrize(("asked", "holds"), ASKED.values(), ids=ASKED.keys())
def test_instances_newest_first(
    shown: Shown, asked: dict[str, Any], holds: Callable[[Occurrence], bool]
) -> None:
    pages = shown.api.pages(
        "/api/v1/transactions/checkout/instances", "instances", **_asked(limit=17, **asked)
    )
    expected = sorted(
        filter(holds, shown.of("checkout")), key=lambda each: (each.time, each.key), reverse=True
    )
    found = list(itertools.chain(*pages))
    assert [row["key"] for row in found] == [each.key for each in expected]
    for row, each in zip(found, expected, strict=True):
        assert row["trace_ids"] == list(each.traces)
        assert row["start"] == rfc3339(each.began)
        assert row["duration_ms"] == (each.end - each.began) / 1e6
        assert row["status"] == ("error" if each.is_error else "ok")
        assert row["user"] == (each.user or None)
        assert row["value"] == each.value
        assert row["services"] == sorted(each.services)
        assert row["span_count"] == 3
        assert [(step["name"], step["time"], step["status"]) for step in row["steps"]] == [
            (
                ("cart", "pay", "ship")[step.number],
                rfc3339(step.start),
                "error" if step.is_error else "ok",
            )
            for step in each.steps
        ]


def test_filters_of_automatic_instances(shown: Shown) -> None:
    listed = shown.api.get("/api/v1/transactions", **_asked(limit=1000))["transactions"]
    (id,) = (row["id"] for row in listed if row["source"] == "auto")
    path = f"/api/v1/transactions/{id}/instances"
    all_of_them = shown.api.get(path, **_asked(limit=1000))["instances"]
    slow = [row for row in all_of_them if row["duration_ms"] >= 300]
    assert 0 < len(slow) < len(all_of_them)
    assert shown.api.get(path, **_asked(limit=1000, min_duration_ms=300))["instances"] == slow
    assert shown.api.get(path, **_asked(status="error"))["instances"] == []
    assert shown.api.get(path, **_asked(user="ann"))["instances"] == []


def _funnel(occurrences: list[Occurrence], steps: list[dict[str, Any]]) -> None:
    before = 0
    for number, step in enumerate(steps):
        reached = [
            each
            for each in occurrences
            if not number or any(one.number == number - 1 for one in each.steps)
        ]
        last = [each for each in reached if _last(each) == number]
        assert step["name"] == ("Checkout", "cart", "pay", "ship")[number]
        assert step["reached"] == len(reached)
        assert step["drop_off"] == pytest.approx(max(0, 1 - len(reached) / before) if before else 0)
        assert step["errors"] == sum(each.is_error for each in last)
        assert step["lost_value"] == pytest.approx(
            sum(each.value or 0 for each in last if each.is_error)
        )
        if number and reached:
            waited = [_waited(each, number - 1) for each in reached]
            assert is_quantile(step["from_previous_ms"]["p50"] * 1e6, waited, 0.5)
            assert is_quantile(step["from_previous_ms"]["p95"] * 1e6, waited, 0.95)
            assert step["failed"] == sum(
                one.is_error for each in reached for one in each.steps if one.number == number - 1
            )
        before = len(reached) or before


def _last(each: Occurrence) -> int:
    return each.steps[-1].number + 1 if each.steps else 0


def _waited(each: Occurrence, number: int) -> int:
    times = [each.time, *(step.start for step in each.steps)]
    place = [step.number for step in each.steps].index(number) + 1
    return max(0, times[place] - times[place - 1])


@pytest.mark.parametrize("environment", [None, "staging"])
def test_a_funnel(shown: Shown, environment: str | None) -> None:
    asked = _asked() | ({"environment": environment} if environment else {})
    answer = shown.api.get("/api/v1/transactions/checkout/funnel", **asked)
    assert answer["transaction"] == {"id": "checkout", "name": "Checkout"}
    _funnel(shown.of("checkout", environment=environment), answer["steps"])
    assert answer["groups"] == []
    assert answer["truncated"] is False


GROUPED: dict[str, Callable[[Occurrence], str]] = {
    "hour": lambda each: rfc3339(each.time // HOUR * HOUR),
    "day": lambda each: rfc3339(each.time // DAY * DAY),
    "attr:region": lambda each: f"r{int(each.traces[0], 16) % 3}",
    "attr:it's no {attribute:String}": lambda each: "",
}


@pytest.mark.parametrize(("by", "group"), GROUPED.items(), ids=GROUPED.keys())
def test_a_funnel_by_day_or_attribute(
    shown: Shown, by: str, group: Callable[[Occurrence], str]
) -> None:
    answer = shown.api.get("/api/v1/transactions/checkout/funnel", **_asked(by=by))
    expected = defaultdict(list)
    for each in shown.of("checkout"):
        expected[group(each)].append(each)
    _funnel(shown.of("checkout"), answer["steps"])
    assert {row["group"] for row in answer["groups"]} == expected.keys()
    for row in answer["groups"]:
        _funnel(expected[row["group"]], row["steps"])


def test_what_has_no_steps_has_no_funnel(shown: Shown) -> None:
    listed = shown.api.get("/api/v1/transactions", **_asked(limit=1000))["transactions"]
    (automatic,) = (row["id"] for row in listed if row["source"] == "auto")
    for id in ("browse", automatic):
        problem = shown.api.problem(f"/api/v1/transactions/{id}/funnel")
        assert problem["status"] == 422
        assert "steps" in problem["detail"]
    assert shown.api.problem("/api/v1/transactions/unknown/funnel")["status"] == 404
    assert shown.api.problem("/api/v1/transactions/checkout/funnel", by="week")["status"] == 422


def test_one_occurrence_has_its_traces_and_all_that_belongs_to_them(
    store: Store, ingest: Ingest, tmp_path: Any
) -> None:
    loader = Loader(ingest, tmp_path)
    first, later = "a" * 32, "b" * 32
    raised = Event(BEGAN + 2, "exception", exception("CardError", "card 17 declined"))
    spans = [
        Span(first, "1" * 16, "", WEB, "POST /checkout", SERVER, BEGAN, BEGAN + SECOND),
        Span(
            first, "2" * 16, "1" * 16, PAYMENTS, "POST /charges", CLIENT,
            BEGAN + 1, BEGAN + SECOND // 2, status=ERROR, events=(raised,),
        ),
        Span(later, "3" * 16, "", WORKER, "ship", CONSUMER, BEGAN + HOUR, BEGAN + HOUR + SECOND),
        Span("c" * 32, "4" * 16, "", WEB, "GET /", SERVER, BEGAN, BEGAN + 1),
    ]  # fmt: skip
    loader.spans(spans)
    settle(store, traces_of(spans))
    loader.logs(
        [
            Log(BEGAN + HOUR, WORKER, "INFO", "packed", trace=later),
            Log(BEGAN + SECOND, WEB, "INFO", "without a trace"),
            Log(BEGAN + SECOND, WEB, "INFO", "another's", trace="c" * 32),
        ]
    )
    loader.points(
        Point("picked", "1", "gauge", WORKER, BEGAN + HOUR, 1.0, attributes)
        for attributes in ({"order.id": HOSTILE}, {"order.id": "another"})
    )
    define(store, CHECKOUT)
    occur(
        store,
        [
            Occurrence(
                "checkout", HOSTILE, BEGAN, SECOND, (first, later),
                end=BEGAN + HOUR + SECOND, services=("web", "payments", "worker"),
            )
        ],
    )  # fmt: skip
    path = f"/api/v1/transactions/checkout/instances/{quote(HOSTILE, safe='')}"
    answer = Api(store).get(path)
    assert answer["instance"]["key"] == HOSTILE
    assert answer["instance"]["trace_ids"] == [first, later]
    assert [trace["trace_id"] for trace in answer["traces"]] == [first, later]
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
    unknown = Api(store).problem(f"{path}x")
    assert unknown["status"] == 404
    joined = Api(store).get(
        "/api/v1/transactions/checkout", start=rfc3339(BEGAN), end=rfc3339(BEGAN + MINUTE)
    )
    # What belongs to an occurrence of the window is shown, wherever it lies in time itself.
    assert {row["service"] for row in joined["breakdown"]} == {"web", "payments", "worker"}
    assert joined["sample"]["traces"] == 2
    assert {log["body"] for log in joined["logs"] if log["linked_by"] == "trace"} == {"packed"}


def test_an_automatic_occurrence_by_its_trace(shown: Shown) -> None:
    listed = shown.api.get("/api/v1/transactions", **_asked(limit=1000))["transactions"]
    (id,) = (row["id"] for row in listed if row["source"] == "auto")
    (first, *_) = shown.api.get(f"/api/v1/transactions/{id}/instances", **_asked())["instances"]
    answer = shown.api.get(f"/api/v1/transactions/{id}/instances/{first['key']}")
    assert answer["instance"] == first
    assert [trace["trace_id"] for trace in answer["traces"]] == [first["key"]]
    missing = shown.api.problem(f"/api/v1/transactions/{id}/instances/{'f' * 32}")
    assert missing["status"] == 404
