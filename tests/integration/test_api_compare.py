"""Comparisons of two sets of traces, checked with plain Python over the same spans."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from clew.analysis.traces.settling import Settling
from clew.api.compare import two_proportions_test
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.loading import settle
from support.reference import Trace, rfc3339, self_times, traces_of
from support.settled import Occurrence, insert_occurrences
from support.traffic import (
    CLIENT,
    INTERNAL,
    KIND_NAMES,
    MILLISECOND,
    MINUTE,
    SECOND,
    SERVER,
    Loader,
    Process,
    Span,
    as_stored,
)

BEGAN = 1_780_308_000 * SECOND
LATER = BEGAN + 60 * MINUTE
WEB = Process("web", "web-1")
OLD = Process("orders", "orders-1", version="1.0")
NEW = Process("orders", "orders-2", version="2.0")


@dataclass(frozen=True)
class Dataset:
    api: ApiClient
    traces: list[Trace]


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = emptied()
    spans = list(_traffic())
    Loader(Ingest(store), tmp_path_factory.mktemp("segments")).spans(spans)
    settle(Settling(store))
    traces = traces_of(spans)
    insert_occurrences(
        store,
        [
            Occurrence(
                "checkout", trace.id, trace.entry.start, trace.entry.duration, (trace.id,),
                end=trace.entry.ended,
            )
            for trace in traces
            if trace.entry.name == "POST /checkout"
        ],
    )  # fmt: skip
    return Dataset(ApiClient(store), traces)


def _traffic() -> Iterator[Span]:
    """Checkouts of the tenant `acme` are slow. Version 2.0 calls the database three times instead of
    once. The second hour has more of both. All other values are random."""
    choice = random.Random(31)
    for number in range(320):
        is_later = number % 2 == 1
        start = (LATER if is_later else BEGAN) + choice.randrange(30 * MINUTE)
        acme = choice.random() < (0.25 if is_later else 0.15)
        process = NEW if choice.random() < (0.4 if is_later else 0.1) else OLD
        yield from _trace(choice, start, acme=acme, process=process)


def _trace(choice: random.Random, start: int, *, acme: bool, process: Process) -> Iterator[Span]:
    trace = choice.randbytes(16).hex()
    operation = choice.choice(("POST /checkout", "POST /checkout", "GET /"))
    queries = 3 if process is NEW else 1
    duration = choice.randint(20, 40) * (10 if acme else 1) * MILLISECOND
    root = Span(
        trace, choice.randbytes(8).hex(), "", WEB, operation, SERVER, start, start + 3 * duration,
        status=choice.choice((0, 0, 0, 2)),
        attributes={
            "tenant": "acme" if acme else choice.choice(("umbrella", "initech")),
            "region": choice.choice(("eu", "us")),
            "request.id": trace[:8],
        },
    )  # fmt: skip
    yield root
    call = Span(
        trace, choice.randbytes(8).hex(), root.id, process, "POST /orders", SERVER,
        start + MILLISECOND, start + 2 * duration, attributes={"thread": choice.randrange(4)},
    )  # fmt: skip
    yield call
    for number in range(queries):
        begin = call.start + number * duration // 4
        query = Span(
            trace, choice.randbytes(8).hex(), call.id, process, "SELECT", CLIENT, begin,
            begin + duration // 5, attributes={"db.system.name": "postgresql"},
        )  # fmt: skip
        yield query
        yield replace(
            query, id=choice.randbytes(8).hex(), parent=query.id, kind=INTERNAL, name="fetch"
        )


HOUR = {"start": rfc3339(BEGAN), "end": rfc3339(LATER)}
BOTH_HOURS = {"start": rfc3339(BEGAN), "end": rfc3339(LATER + 60 * MINUTE)}
SECOND_HOUR_AND_FIRST = {
    "start": rfc3339(LATER), "end": rfc3339(LATER + 60 * MINUTE),
    "baseline_start": rfc3339(BEGAN), "baseline_end": rfc3339(LATER),
}  # fmt: skip


def _is_in_first_hour(trace: Trace) -> bool:
    return trace.entry.start < LATER


def _has_value(trace: Trace, key: str, value: str) -> bool:
    return any(as_stored(span.attributes).get(key) == value for span in trace.spans)


def _has_version(trace: Trace, version: str) -> bool:
    return any(span.process.version == version for span in trace.spans)


def _p95(traces: list[Trace]) -> int:
    durations = sorted(trace.entry.duration for trace in traces)
    return durations[int(0.95 * len(durations))]


Sets = tuple[list[Trace], list[Trace]]
CASES: dict[str, tuple[dict[str, Any], Callable[[list[Trace]], Sets], set[str]]] = {
    "time": (
        SECOND_HOUR_AND_FIRST,
        lambda traces: (
            [trace for trace in traces if not _is_in_first_hour(trace)],
            [trace for trace in traces if _is_in_first_hour(trace)],
        ),
        {"service.version"},
    ),
    "version and the rest": (
        BOTH_HOURS | {"version": "2.0"},
        lambda traces: (
            [trace for trace in traces if _has_version(trace, "2.0")],
            [trace for trace in traces if not _has_version(trace, "2.0")],
        ),
        set(),
    ),
    "two versions": (
        HOUR | {"version": "2.0", "baseline_version": "1.0", "service": "web"},
        lambda traces: (
            [trace for trace in traces if _is_in_first_hour(trace) and _has_version(trace, "2.0")],
            [trace for trace in traces if _is_in_first_hour(trace)],
        ),
        set(),
    ),
    "attribute and the rest": (
        BOTH_HOURS | {"attr": "tenant=acme"},
        lambda traces: (
            [trace for trace in traces if _has_value(trace, "tenant", "acme")],
            [trace for trace in traces if not _has_value(trace, "tenant", "acme")],
        ),
        set(),
    ),
    "two attributes of an operation": (
        BOTH_HOURS
        | {"attr": "tenant=acme", "baseline_attr": ["tenant=initech", "region=eu"]}
        | {"service": "web", "operation": "GET /"},
        lambda traces: (
            [
                trace
                for trace in traces
                if _has_value(trace, "tenant", "acme") and trace.entry.name == "GET /"
            ],
            [
                trace
                for trace in traces
                if trace.entry.name == "GET /"
                and _has_value(trace, "tenant", "initech")
                and _has_value(trace, "region", "eu")
            ],
        ),
        set(),
    ),
    "slow and the rest": (
        BOTH_HOURS | {"slow": "true", "transaction": "checkout"},
        lambda traces: (
            [
                trace
                for trace in traces
                if trace.entry.name == "POST /checkout"
                and trace.entry.duration
                > _p95([other for other in traces if other.entry.name == "POST /checkout"])
            ],
            [
                trace
                for trace in traces
                if trace.entry.name == "POST /checkout"
                and trace.entry.duration
                <= _p95([other for other in traces if other.entry.name == "POST /checkout"])
            ],
        ),
        {"tenant"},
    ),
}


@pytest.mark.parametrize(("parameters", "sets", "expected_first"), CASES.values(), ids=CASES.keys())
def test_two_sets_are_compared(
    dataset: Dataset,
    parameters: dict[str, Any],
    sets: Callable[[list[Trace]], Sets],
    expected_first: set[str],
) -> None:
    a, b = sets(dataset.traces)
    answer = dataset.api.get("/api/v1/compare", **parameters, limit=1000)
    for side, traces in (("a", a), ("b", b)):
        description = answer[side]
        assert description["traces"] == description["looked_at"] == len(traces)
        assert description["errors"] == sum(trace.entry.is_error for trace in traces)
        assert description["sampled"] is False
    _check_attributes(answer["attributes"], a, b)
    _check_operations(answer["operations"], a, b)
    rows_by_key = [row["key"] for row in answer["attributes"]]
    if expected_first:
        assert rows_by_key[0] in expected_first
    assert not set(rows_by_key) & {"region", "thread", "request.id", "service.instance.id"}
    if "attr" in parameters:
        assert "tenant" not in rows_by_key


def _check_attributes(rows: list[dict[str, Any]], a: list[Trace], b: list[Trace]) -> None:
    for row in rows:
        key, value = row["key"], row["value"]
        counts = [
            sum(
                any(
                    as_stored(
                        span.attributes if row["source"] == "span" else span.process.resource
                    ).get(key)
                    == value
                    for span in trace.spans
                )
                for trace in traces
            )
            for traces in (a, b)
        ]
        assert [row["a_count"], row["b_count"]] == counts
        assert row["a_share"] == pytest.approx(counts[0] / len(a))
        assert row["b_share"] == pytest.approx(counts[1] / len(b))
        assert row["effect"] == pytest.approx(row["a_share"] - row["b_share"])
        assert row["p_value"] < 0.01
    effects = [abs(row["effect"]) for row in rows]
    assert effects == sorted(effects, reverse=True)


def _check_operations(rows: list[dict[str, Any]], a: list[Trace], b: list[Trace]) -> None:
    expected: dict[tuple[str, str, str], list[float]] = {}
    for side, traces in enumerate((a, b)):
        for trace in traces:
            self_ns = self_times(trace.spans)
            for span in trace.spans:
                key = (span.service, span.name, KIND_NAMES[span.kind])
                totals = expected.setdefault(key, [0.0] * 4)
                totals[2 * side] += 1 / len(traces)
                totals[2 * side + 1] += self_ns[span.id] / 1e6 / len(traces)
    rows_by_key = {(row["service"], row["operation"], row["kind"]): row for row in rows}
    assert rows_by_key.keys() == expected.keys()
    for key, row in rows_by_key.items():
        assert [
            row[side][name] for side in "ab" for name in ("calls_per_trace", "self_ms_per_trace")
        ] == pytest.approx(expected[key])
        assert row["change_ms"] == pytest.approx(expected[key][1] - expected[key][3])
        assert row["change_calls"] == pytest.approx(expected[key][0] - expected[key][2])
    changes = [abs(row["change_ms"]) for row in rows]
    assert changes == sorted(changes, reverse=True)


def test_a_version_that_calls_the_database_more_often(dataset: Dataset) -> None:
    answer = dataset.api.get("/api/v1/compare", **BOTH_HOURS, version="2.0")
    (select,) = (row for row in answer["operations"] if row["operation"] == "SELECT")
    assert (select["a"]["calls_per_trace"], select["b"]["calls_per_trace"]) == (3, 1)
    assert abs(select["per_call"]["change_ms"]) < 10
    assert select["per_call"]["confidence"] < 0.99


def test_a_slow_tenant_is_slow_per_call_and_not_on_the_link(dataset: Dataset) -> None:
    answer = dataset.api.get("/api/v1/compare", **BOTH_HOURS, attr="tenant=acme")
    (fetch,) = (row for row in answer["operations"] if row["operation"] == "fetch")
    own = [
        statistics.mean(
            statistics.mean(self_times(trace.spans)[span.id] for span in fetches) / 1e6
            for trace in dataset.traces
            if any(span.attributes.get("tenant") == "acme" for span in trace.spans) == is_acme
            for fetches in [[span for span in trace.spans if span.name == "fetch"]]
        )
        for is_acme in (True, False)
    ]
    assert [fetch["per_call"][name] for name in ("a_ms", "b_ms")] == pytest.approx(own)
    assert fetch["per_call"]["confidence"] > 0.9999
    (link,) = (row for row in answer["links"] if row["target"] == "orders")
    assert (link["source"], link["type"]) == ("web", "service")
    assert link["a_calls_per_trace"] == link["b_calls_per_trace"] == 1


def test_the_traces_of_an_automatic_transaction(dataset: Dataset) -> None:
    transactions = dataset.api.get("/api/v1/transactions", **BOTH_HOURS)["transactions"]
    (id,) = (row["id"] for row in transactions if row["operation"] == "GET /")
    answer = dataset.api.get("/api/v1/compare", **BOTH_HOURS, transaction=id, attr="region=eu")
    matching = [trace for trace in dataset.traces if trace.entry.name == "GET /"]
    assert answer["a"]["traces"] + answer["b"]["traces"] == len(matching)
    assert answer["a"]["traces"] == sum(_has_value(trace, "region", "eu") for trace in matching)
    problem = dataset.api.problem(
        "/api/v1/compare", **BOTH_HOURS, transaction="0" * 16, slow="true"
    )
    assert problem["status"] == 404


def test_an_empty_set(dataset: Dataset) -> None:
    answer = dataset.api.get("/api/v1/compare", **BOTH_HOURS, attr="tenant=nobody")
    assert answer["a"]["traces"] == 0
    assert answer["b"]["traces"] == len(dataset.traces)
    assert answer["attributes"] == answer["operations"] == []
    assert dataset.api.get("/api/v1/compare", **BOTH_HOURS, slow="true", transaction="none")["a"] == {
        **{name: BOTH_HOURS[name] for name in ("start", "end")},
        "traces": 0, "looked_at": 0, "errors": 0, "error_rate": None, "sampled": False,
        "duration_ms": {"p50": None, "p95": None},
    }  # fmt: skip


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"baseline_version": "1"},
        {"baseline_start": "now", "baseline_end": "-1h"},
        {"baseline_start": "soon"},
        {"attr": "x"},
        {"slow": "true", "baseline_attr": "x"},
    ],
    ids=str,
)
def test_a_comparison_that_is_not_possible_is_a_problem(
    dataset: Dataset, parameters: dict[str, str]
) -> None:
    assert dataset.api.problem("/api/v1/compare", **parameters)["status"] == 400


def test_the_two_proportions_test() -> None:
    assert two_proportions_test(5, 10, 50, 100) == pytest.approx(1)
    assert two_proportions_test(0, 10, 0, 100) == two_proportions_test(10, 10, 100, 100) == 1
    # z = 2.5 and 3.29 have 0.0124 and 0.001 beyond them on both sides
    assert two_proportions_test(60, 100, 42, 100) == pytest.approx(0.0109, abs=2e-4)
    assert two_proportions_test(600, 1000, 420, 1000) < 1e-10
