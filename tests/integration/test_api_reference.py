"""Responses about generated traffic, compared with plain Python."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import (
    Trace,
    apdex,
    critical_path,
    has_attribute,
    is_quantile,
    rfc3339,
    self_times,
    traces_of,
)
from support.settled import insert_settled
from support.traffic import (
    CONSUMER,
    KIND_NAMES,
    MINUTE,
    SECOND,
    STATUS_NAMES,
    Generator,
    Loader,
    Process,
    Span,
    as_stored,
)

BEGAN = 1_780_308_000 * SECOND  # 2026-06-01T10:00:00Z
MINUTES = 9

WEB = Process("web", "web-1")
ORDERS = Process("orders", "orders-1", version="2.1")
PAYMENTS = Process("payments", "payments-1")
STOCK = Process("stock", "stock-1", environment="")
WORKER = Process("worker", "worker-1")
PROD = (WEB, ORDERS, PAYMENTS, STOCK, WORKER)
STAGING = (
    Process("web", "web-s", environment="staging"),
    Process("ledger", "ledger-s", environment="staging"),
)

# With parts of minutes at both ends, of whole minutes, within one minute, over the edge of one.
WINDOWS = {
    "all": (BEGAN, BEGAN + MINUTES * MINUTE),
    "cut": (BEGAN + 61_234_567_891, BEGAN + 7 * MINUTE + 17 * SECOND + 1),
    "whole minutes": (BEGAN + 2 * MINUTE, BEGAN + 5 * MINUTE),
    "one minute, cut": (BEGAN + 3 * MINUTE + 5 * SECOND, BEGAN + 3 * MINUTE + 55 * SECOND),
    "over one edge": (BEGAN + 4 * MINUTE + 45 * SECOND, BEGAN + 5 * MINUTE + 15 * SECOND),
}


SLOW = pytest.mark.slow  # many requests, like those of other cases


@dataclass(frozen=True)
class Dataset:
    """The spans that were loaded, and a client of the API over them."""

    api: ApiClient
    spans: list[Span]

    @cached_property
    def traces(self) -> list[Trace]:
        return traces_of(self.spans)


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = emptied()
    spans = list(_traffic())
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    # Spans are inserted in any order: most traces arrive in several inserts.
    shuffled = random.Random(3).sample(spans, len(spans))
    for part in range(4):
        loader.spans(shuffled[part::4])
    insert_settled(store, traces_of(spans))
    return Dataset(ApiClient(store), spans)


def _traffic() -> Iterator[Span]:
    choice = random.Random(1)
    prod, staging = Generator(1, PROD), Generator(2, STAGING)
    operations = ("GET /", "GET /items/{id}", "POST /checkout", "it's; DROP TABLE x -- {id:String}")
    for _ in range(260):
        start = BEGAN + choice.randrange(MINUTES * MINUTE)
        operation = choice.choices(operations, weights=(6, 3, 2, 1))[0]
        yield from prod.trace(WEB, operation, start)
    for _ in range(30):
        start = BEGAN + choice.randrange(MINUTES * MINUTE)
        yield from staging.trace(STAGING[0], "GET /", start)
    for number in range(12):
        start = BEGAN + choice.randrange(MINUTES * MINUTE)
        spans = prod.trace(WORKER, "ship", start, kind=CONSUMER)
        # Traces whose root span never arrived: their entry is a server or consumer span, or none.
        yield from spans[1:] if number % 2 else [_orphan(spans[0]), *spans[1:]]
    for number, edge in enumerate(itertools.chain(*WINDOWS.values())):
        for offset in (-1, 0, 1):
            yield from prod.trace(WEB, f"GET /edge/{number}", edge + offset)
    # Two equally frequent operations are ordered by their ids.
    for operation in ("GET /twin/a", "GET /twin/b"):
        for second in range(3):
            yield from prod.trace(WEB, operation, BEGAN + (30 + second) * SECOND)
    # A span in the middle is missing; a span ends before it starts.
    missing = prod.trace(WEB, "GET /missing", BEGAN + 200 * SECOND)
    yield from (span for span in missing if span is not missing[1])
    backwards = prod.trace(WEB, "GET /backwards", BEGAN + 201 * SECOND)
    yield replace(backwards[0], end=backwards[0].start - 5 * SECOND)


def _orphan(span: Span) -> Span:
    return replace(span, parent="00000000000000ff")


def _parameters(window: str, **parameters: Any) -> dict[str, Any]:
    start, end = WINDOWS[window]
    return {"start": rfc3339(start), "end": rfc3339(end), **parameters}


def _is_in(window: str, time: int) -> bool:
    start, end = WINDOWS[window]
    return start <= time < end


def _environment(span: Span) -> str:
    return span.process.environment


def _by_transaction(
    traces: list[Trace], window: str, environment: str | None = None
) -> dict[str, list[Trace]]:
    result = defaultdict(list)
    for trace in traces:
        entry = trace.entry
        if not trace.has_transaction or not _is_in(window, entry.start):
            continue
        if environment is None or _environment(entry) == environment:
            result[f"{entry.service}: {entry.name}"].append(trace)
    return result


def _ids(dataset: Dataset) -> dict[str, str]:
    """The id of each transaction, by its name."""
    transactions = dataset.api.get("/api/v1/transactions", **_parameters("all", limit=1000))
    return {row["name"]: row["id"] for row in transactions["transactions"]}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("environment", [None, "prod", "staging", "nowhere"])
@pytest.mark.parametrize("window", WINDOWS)
def test_the_list_of_transactions(dataset: Dataset, window: str, environment: str | None) -> None:
    parameters = _parameters(window, limit=1000)
    if environment:
        parameters["environment"] = environment
    answer = dataset.api.get("/api/v1/transactions", **parameters)
    expected = _by_transaction(dataset.traces, window, environment)
    assert {row["name"]: row["count"] for row in answer["transactions"]} == {
        name: len(traces) for name, traces in expected.items()
    }
    start, end = WINDOWS[window]
    assert (answer["start"], answer["end"]) == (rfc3339(start), rfc3339(end))
    for row in answer["transactions"]:
        traces = expected[row["name"]]
        durations = [trace.entry.duration for trace in traces]
        assert row["source"] == "auto"
        assert row["name"] == f"{row['service']}: {row['operation']}"
        assert row["errors"] == sum(trace.entry.is_error for trace in traces)
        assert row["error_rate"] == pytest.approx(row["errors"] / row["count"])
        assert row["per_second"] == pytest.approx(row["count"] / ((end - start) / SECOND))
        assert row["apdex"] == pytest.approx(apdex(durations))
        assert row["services"] == sorted({name for trace in traces for name in trace.services})
        assert row["duration_ms"]["max"] == max(durations) / 1e6
        for name, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
            assert is_quantile(row["duration_ms"][name] * 1e6, durations, q)
        assert row["value"] is None
        assert row["slo"] is None


@pytest.mark.parametrize(
    ("window", "limit"),
    [("over one edge", 1), ("all", 7), *(pytest.param("all", n, marks=SLOW) for n in (1, 2))],
)
def test_pages_of_the_list_together_are_the_list(dataset: Dataset, window: str, limit: int) -> None:
    full_list = dataset.api.get("/api/v1/transactions", **_parameters(window, limit=1000))[
        "transactions"
    ]
    assert len(full_list) > limit
    assert full_list == sorted(full_list, key=lambda row: (-row["count"], row["id"]))
    pages = dataset.api.pages(
        "/api/v1/transactions", "transactions", **_parameters(window, limit=limit)
    )
    assert all(len(page) == limit for page in pages[:-1])
    assert list(itertools.chain(*pages)) == full_list


def test_a_cursor_contains_the_window(dataset: Dataset) -> None:
    """`now` on a later page would be another time."""
    first = dataset.api.get("/api/v1/transactions", **_parameters("cut", limit=3))
    path = "/api/v1/transactions"
    assert dataset.api.get(path, cursor=first["next_cursor"], limit=3) == dataset.api.get(
        path, **_parameters("cut"), cursor=first["next_cursor"], limit=3
    )


def test_ids_are_plain_and_stable(dataset: Dataset) -> None:
    ids = _ids(dataset)
    assert len(set(ids.values())) == len(ids)
    assert all(
        id.isascii() and id.replace("-", "").replace("_", "").isalnum() for id in ids.values()
    )
    # Fixed, because links must work after an update.
    assert ids["web: POST /checkout"] == "21151ab9f3976986"


@pytest.mark.parametrize("window", ["all", "cut"])
@pytest.mark.parametrize("name", ["web: POST /checkout", "worker: ship", "web: GET /"])
def test_the_joined_view(dataset: Dataset, name: str, window: str) -> None:
    id = _ids(dataset)[name]
    answer = dataset.api.get(f"/api/v1/transactions/{id}", **_parameters(window))
    traces = _by_transaction(dataset.traces, window)[name]
    transactions = dataset.api.get("/api/v1/transactions", **_parameters(window, limit=1000))
    assert answer["transaction"] == next(
        row for row in transactions["transactions"] if row["id"] == id
    )
    _check_series(answer["series"], traces)
    _check_breakdown(answer, traces)
    _check_traces(answer["traces"], traces)
    _check_exceptions(answer["exceptions"], traces, window)
    services = {service for trace in traces for service in trace.services}
    assert {row["service"] for row in answer["deployments"]} == services
    assert {row["version"] for row in answer["deployments"]} <= {"1.0", "2.1"}


def _check_series(series: list[dict[str, Any]], traces: list[Trace]) -> None:
    minutes = defaultdict(list)
    for trace in traces:
        minutes[rfc3339(trace.entry.start // MINUTE * MINUTE)].append(trace.entry)
    assert [point["time"] for point in series] == sorted(minutes)
    for point in series:
        entries = minutes[point["time"]]
        assert point["count"] == len(entries)
        assert point["errors"] == sum(entry.is_error for entry in entries)
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert is_quantile(point[name] * 1e6, [entry.duration for entry in entries], q)


def _check_breakdown(answer: dict[str, Any], traces: list[Trace]) -> None:
    assert answer["sample"] == {"traces": len(traces), "of": len(traces), "error": 0}
    calls: Counter[tuple[str, str, str]] = Counter()
    self_ns: Counter[tuple[str, str, str]] = Counter()
    critical: Counter[tuple[str, str, str]] = Counter()
    for trace in traces:
        times, path = self_times(trace.spans), critical_path(trace)
        for span in trace.spans:
            operation = (span.service, span.name, KIND_NAMES[span.kind])
            calls[operation] += 1
            self_ns[operation] += times[span.id]
            critical[operation] += path.get(span.id, 0)
    rows = {(row["service"], row["operation"], row["kind"]): row for row in answer["breakdown"]}
    assert {operation: row["calls"] for operation, row in rows.items()} == calls
    for operation, row in rows.items():
        assert row["self_time_ms"] == pytest.approx(self_ns[operation] / 1e6)
        assert row["share"] == pytest.approx(self_ns[operation] / self_ns.total())
        assert row["critical_share"] == pytest.approx(critical[operation] / critical.total())
    assert [row["self_time_ms"] for row in answer["breakdown"]] == sorted(
        (row["self_time_ms"] for row in answer["breakdown"]), reverse=True
    )


def _check_traces(examples: dict[str, list[dict[str, Any]]], traces: list[Trace]) -> None:
    def ids(kind: str) -> list[str]:
        return [trace["trace_id"] for trace in examples[kind]]

    slowest = sorted(traces, key=lambda trace: (-trace.entry.duration, trace.id))
    assert ids("slowest") == [trace.id for trace in slowest[:5]]
    failed = [trace for trace in traces if trace.entry.is_error]
    failed.sort(key=lambda trace: (-trace.entry.start, trace.id))
    assert ids("errors") == [trace.id for trace in failed[:5]]
    durations = {trace.id: trace.entry.duration for trace in traces if not trace.entry.is_error}
    assert len(ids("typical")) == min(5, len(durations))
    median = sorted(durations.values())[(len(durations) - 1) // 2]
    nearest = sorted(abs(duration - median) for duration in durations.values())
    for id in ids("typical"):
        assert abs(durations[id] - median) <= nearest[min(7, len(nearest) - 1)]


def _check_exceptions(rows: list[dict[str, Any]], traces: list[Trace], window: str) -> None:
    expected: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for trace in traces:
        for span in trace.spans:
            for event in span.events:
                if event.name == "exception":
                    key = (span.service, event.attributes["exception.type"])
                    expected[key].append((event.time, trace.id))
    assert {(row["service"], row["type"]): row["count"] for row in rows} == {
        key: len(times) for key, times in expected.items()
    }
    for row in rows:
        times = sorted(expected[row["service"], row["type"]])
        assert row["message"] == "order # failed after # ms"
        assert (row["first"], row["last"]) == (rfc3339(times[0][0]), rfc3339(times[-1][0]))
        assert row["example_trace_id"] == times[-1][1]


def test_a_transaction_without_traces_in_the_window_is_empty(
    dataset: Dataset,
) -> None:
    id = _ids(dataset)["web: GET /missing"]
    answer = dataset.api.get(f"/api/v1/transactions/{id}", **_parameters("over one edge"))
    assert answer["transaction"]["count"] == 0
    assert answer["transaction"]["apdex"] is None
    assert set(answer["transaction"]["duration_ms"].values()) == {None}
    assert answer["series"] == answer["breakdown"] == answer["logs"] == []
    assert answer["traces"] == {"slowest": [], "errors": [], "typical": []}


@pytest.mark.parametrize("environment", [None, "staging"])
def test_instances_are_the_traces_newest_first(dataset: Dataset, environment: str | None) -> None:
    id = _ids(dataset)["web: GET /"]
    parameters = _parameters("cut", limit=13) | (
        {"environment": environment} if environment else {}
    )
    pages = dataset.api.pages(f"/api/v1/transactions/{id}/instances", "instances", **parameters)
    traces = _by_transaction(dataset.traces, "cut", environment)["web: GET /"]
    traces.sort(key=lambda trace: (trace.entry.start, trace.id), reverse=True)
    assert [len(page) for page in pages[:-1]] == [13] * (len(pages) - 1)
    assert list(itertools.chain(*pages)) == [
        {
            "key": trace.id,
            "trace_ids": [trace.id],
            "start": rfc3339(trace.entry.start),
            "duration_ms": trace.entry.duration / 1e6,
            "status": "error" if trace.entry.is_error else "ok",
            "user": None,
            "value": None,
            "services": trace.services,
            "span_count": len(trace.spans),
            "steps": [],
        }
        for trace in traces
    ]


@dataclass(frozen=True)
class Search:
    """The parameters of a search, and the same conditions on one span and on its trace."""

    parameters: dict[str, Any]
    span: Callable[[Span], bool] | None = None
    trace: Callable[[Trace], bool] = lambda trace: True


def _attribute(*filters: tuple[str, str, str]) -> Search:
    parameters = {"attr": ["".join(one_filter) for one_filter in filters]}
    return Search(
        parameters, lambda span: all(has_attribute(span, one_filter) for one_filter in filters)
    )


SEARCHES = {
    "everything": Search({}),
    "service": Search({"service": "payments"}, lambda span: span.service == "payments"),
    "operation": Search({"operation": "render"}, lambda span: span.name == "render"),
    "error": Search({"status": "error"}, lambda span: span.is_error),
    "ok": Search({"status": "ok"}, lambda span: not span.is_error),
    "of one span": Search(
        {
            "service": "payments",
            "operation": "GET /stock",
            "status": "error",
            "attr": "retried=true",
        },
        lambda span: (
            (span.service, span.name, span.is_error) == ("payments", "GET /stock", True)
            and span.attributes["retried"]
        ),
    ),
    "environment": Search({"environment": "staging"}, lambda span: _environment(span) == "staging"),
    "environment and service": Search(
        {"environment": "staging", "service": "web"},
        lambda span: (_environment(span), span.service) == ("staging", "web"),
    ),
    "attribute": _attribute(("user.id", "=", "user-3")),
    "attribute of the resource": _attribute(("service.version", "=", "2.1")),
    "attribute that is a number": _attribute(("amount", "=", "12.5")),
    "attribute with a quote": _attribute(("url.path", "=", "/stock/it's")),
    "attribute is another": _attribute(("retried", "!=", "true")),
    "attribute is missing or another": _attribute(("url.path", "!=", "/charges/42")),
    "part of an attribute": _attribute(("url.path", "~", "20")),
    "more than": _attribute(("amount", ">", "480")),
    "less than": _attribute(("amount", "<", "-45.5")),
    "at least": _attribute(("amount", ">=", "12.5")),
    "at most": _attribute(("amount", "<=", "12.5")),
    "in": _attribute(("user.id", " in ", "user-3,user-1, user-3")),
    "in the resource": _attribute(("service.version", " in ", "2.1")),
    "exists": _attribute(("amount", " exists", "")),
    "no number": _attribute(("user.id", ">", "0")),
    "several attributes": _attribute(("amount", ">", "300"), ("amount", "<", "320")),
    "several kinds": _attribute(("url.path", "~", "stock"), ("user.id", "!=", "user-1")),
    "an unknown key": _attribute(("no.such.key", "=", "")),
    "slow": Search({"min_duration_ms": 900}, trace=lambda trace: trace.duration >= 900e6),
    "fast": Search({"max_duration_ms": 2.5}, trace=lambda trace: trace.duration <= 2.5e6),
    "between": Search(
        {"min_duration_ms": 10, "max_duration_ms": 100, "service": "stock"},
        lambda span: span.service == "stock",
        lambda trace: 10e6 <= trace.duration <= 100e6,
    ),
}


@pytest.mark.parametrize("window", ["all", "cut"])
@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES.keys())
def test_a_search_returns_exactly_the_matching_traces(
    dataset: Dataset, search: Search, window: str
) -> None:
    expected = sorted(
        (
            (max(starts), trace.id, trace)
            for trace in dataset.traces
            if search.trace(trace)
            and (
                starts := [
                    span.start
                    for span in trace.spans
                    if _is_in(window, span.start) and (search.span is None or search.span(span))
                ]
            )
        ),
        key=lambda match: match[:2],
        reverse=True,
    )
    answer = dataset.api.get(
        "/api/v1/traces", **_parameters(window, limit=1000, **search.parameters)
    )
    assert [result["trace_id"] for result in answer["traces"]] == [id for _, id, _ in expected]
    assert answer["next_cursor"] is None
    for result, (start, _, trace) in zip(answer["traces"], expected, strict=True):
        assert result["matched_at"] == rfc3339(start)
        assert result["root_service"] == trace.entry.service
        assert result["root_operation"] == trace.entry.name
        assert result["start"] == rfc3339(trace.start)
        assert result["duration_ms"] == trace.duration / 1e6
        assert result["span_count"] == len(trace.spans)
        assert result["error_count"] == trace.errors
        assert result["services"] == trace.services


@pytest.mark.parametrize(
    "name",
    ["everything", "error", *(pytest.param(n, marks=SLOW) for n in ("several kinds", "slow"))],
)
def test_pages_of_a_search_together_are_the_search(dataset: Dataset, name: str) -> None:
    parameters = _parameters("cut", **SEARCHES[name].parameters)
    full_list = dataset.api.get("/api/v1/traces", **parameters, limit=1000)["traces"]
    pages = dataset.api.pages("/api/v1/traces", "traces", **parameters, limit=7)
    assert list(itertools.chain(*pages)) == full_list
    assert len(pages) == -(-len(full_list) // 7)


FIGURES = {
    "start": "matched_at", "duration": "duration_ms", "errors": "error_count",
    "span_count": "span_count",
}  # fmt: skip


@pytest.mark.sampled(5)
@pytest.mark.parametrize("sort", [f"{sign}{key}" for key in FIGURES for sign in ("", "-")])
@pytest.mark.parametrize("name", ["everything", "between"])
def test_a_search_is_sorted_and_paged(dataset: Dataset, name: str, sort: str) -> None:
    parameters = _parameters("cut", **SEARCHES[name].parameters)
    newest_first = dataset.api.get("/api/v1/traces", **parameters, limit=1000)["traces"]
    rows = dataset.api.get("/api/v1/traces", **parameters, limit=1000, sort=sort)["traces"]
    figure = FIGURES[sort.removeprefix("-")]
    figures = [row[figure] for row in rows]
    assert figures == sorted(figures, reverse=not sort.startswith("-"))
    by_id = {row["trace_id"]: row for row in rows}
    assert by_id == {row["trace_id"]: row for row in newest_first}
    pages = dataset.api.pages("/api/v1/traces", "traces", **parameters, limit=40, sort=sort)
    assert list(itertools.chain(*pages)) == rows


def test_a_search_within_a_transaction_is_sorted(dataset: Dataset) -> None:
    parameters = _parameters("all", transaction=_ids(dataset)["web: POST /checkout"])
    newest_first = dataset.api.get("/api/v1/traces", **parameters, limit=1000)["traces"]
    pages = dataset.api.pages("/api/v1/traces", "traces", **parameters, limit=3, sort="duration")
    rows = list(itertools.chain(*pages))
    durations = [row["duration_ms"] for row in rows]
    assert durations == sorted((row["duration_ms"] for row in newest_first), reverse=True)
    problem = dataset.api.problem("/api/v1/traces", sort="slow")
    assert "start, duration, errors, span_count" in problem["detail"]


@pytest.mark.parametrize("name", ["web: POST /checkout", "worker: ship"])
def test_a_search_within_a_transaction(dataset: Dataset, name: str) -> None:
    newest = sorted(
        (max(starts), trace.id)
        for trace in _by_transaction(dataset.traces, "all")[name]
        if (
            starts := [
                span.start for span in trace.spans if span.is_error and span.service == "payments"
            ]
        )
    )
    parameters = _parameters(
        "all", transaction=_ids(dataset)[name], service="payments", status="error"
    )
    result = dataset.api.get("/api/v1/traces", **parameters, limit=1000)["traces"]
    assert [trace["trace_id"] for trace in result] == [id for _, id in reversed(newest)]


def test_a_search_within_an_unknown_transaction_is_empty(dataset: Dataset) -> None:
    assert (
        dataset.api.get("/api/v1/traces", **_parameters("all", transaction="nope"))["traces"] == []
    )


def test_traces_by_id(dataset: Dataset) -> None:
    ids = _ids(dataset)
    for trace in random.Random(5).sample(dataset.traces, 25):
        _check_trace(dataset.api.get(f"/api/v1/traces/{trace.id}"), trace, ids)


@pytest.mark.parametrize("operation", ["GET /missing", "GET /backwards"])
def test_an_incomplete_trace_and_one_that_ends_before_it_starts(
    dataset: Dataset, operation: str
) -> None:
    (trace,) = (trace for trace in dataset.traces if trace.entry.name == operation)
    _check_trace(dataset.api.get(f"/api/v1/traces/{trace.id.upper()}"), trace, _ids(dataset))


def _check_trace(answer: dict[str, Any], trace: Trace, ids: dict[str, str]) -> None:
    name = f"{trace.entry.service}: {trace.entry.name}"
    assert answer["transaction"] == (
        {"id": ids[name], "name": name, "key": trace.id} if trace.has_transaction else None
    )
    assert answer["trace_id"] == trace.id
    assert answer["start"] == rfc3339(trace.start)
    assert answer["duration_ms"] == trace.duration / 1e6
    assert answer["services"] == trace.services
    assert answer["span_count"] == len(trace.spans)
    assert answer["error_count"] == trace.errors
    assert answer["complete"] is trace.complete
    assert answer["truncated"] is False
    self_ns, path = self_times(trace.spans), critical_path(trace)
    spans = sorted(trace.spans, key=lambda span: (span.start, span.id))
    assert answer["spans"] == [
        {
            "span_id": span.id,
            "parent_span_id": span.parent,
            "name": span.name,
            "kind": KIND_NAMES[span.kind],
            "service": span.service,
            "start": rfc3339(span.start),
            "offset_ms": (span.start - trace.start) / 1e6,
            "duration_ms": span.duration / 1e6,
            "self_time_ms": self_ns[span.id] / 1e6,
            "critical": span.id in path,
            "status": STATUS_NAMES[span.status],
            "status_message": span.status_message,
            "scope": "traffic",
            "attributes": as_stored(span.attributes),
            "resource": as_stored(span.process.resource),
            "events": [
                {
                    "time": rfc3339(event.time),
                    "name": event.name,
                    "attributes": as_stored(event.attributes),
                }
                for event in span.events
            ],
            "links": [],
            "flags": ["ends_before_start"] if span.end < span.start else [],
        }
        for span in spans
    ]


@pytest.mark.parametrize("window", ["all", "cut", "one minute, cut"])
def test_services_and_their_operations(dataset: Dataset, window: str) -> None:
    operations = defaultdict(list)
    for span in dataset.spans:
        if _is_in(window, span.start):
            operations[span.service, span.name, KIND_NAMES[span.kind]].append(span)
    answer = dataset.api.get("/api/v1/services", **_parameters(window))
    rows = {
        (service["service"], row["operation"], row["kind"]): row
        for service in answer["services"]
        for row in service["operations"]
    }
    assert rows.keys() == operations.keys()
    for operation, row in rows.items():
        durations = [span.duration for span in operations[operation]]
        assert row["count"] == len(durations)
        assert row["errors"] == sum(span.is_error for span in operations[operation])
        assert row["duration_ms"]["max"] == max(durations) / 1e6
        assert is_quantile(row["duration_ms"]["p95"] * 1e6, durations, 0.95)
    for service in answer["services"]:
        received = [
            span
            for (name, _, kind), spans in operations.items()
            if name == service["service"] and kind in ("Server", "Consumer")
            for span in spans
        ]
        assert service["count"] == len(received)
        assert service["errors"] == sum(span.is_error for span in received)
    assert answer["truncated"] is False


def test_services_of_an_environment(dataset: Dataset) -> None:
    parameters = _parameters("all", environment="staging")
    services = dataset.api.get("/api/v1/services", **parameters)["services"]
    expected = {span.service for span in dataset.spans if _environment(span) == "staging"}
    assert {service["service"] for service in services} == expected
    (service,) = dataset.api.get("/api/v1/services", **parameters, service="ledger")["services"]
    assert service["service"] == "ledger"
