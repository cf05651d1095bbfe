"""Generated traffic, and every answer about it worked out once more in plain Python."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.asking import Api
from support.reference import (
    Trace,
    apdex,
    critical_path,
    has_attribute,
    is_quantile,
    newest_first,
    rfc3339,
    self_times,
    traces_of,
)
from support.settled import settle
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

# Minutes cut at both ends, whole minutes, within one minute, one that ends before it all ends.
WINDOWS = {
    "all": (BEGAN, BEGAN + MINUTES * MINUTE),
    "cut": (BEGAN + 61_234_567_891, BEGAN + 7 * MINUTE + 17 * SECOND + 1),
    "whole minutes": (BEGAN + 2 * MINUTE, BEGAN + 5 * MINUTE),
    "one minute, cut": (BEGAN + 3 * MINUTE + 5 * SECOND, BEGAN + 3 * MINUTE + 55 * SECOND),
    "over one edge": (BEGAN + 4 * MINUTE + 45 * SECOND, BEGAN + 5 * MINUTE + 15 * SECOND),
}


@dataclass(frozen=True)
class Shown:
    """What was loaded, and the API over it."""

    api: Api
    spans: list[Span]

    @property
    def traces(self) -> list[Trace]:
        return traces_of(self.spans)


@pytest.fixture(scope="module")
def shown(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Shown:
    store = emptied()
    spans = list(_traffic())
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    # A span's insert has nothing to do with its trace: most traces come in several.
    shuffled = random.Random(3).sample(spans, len(spans))
    for part in range(4):
        loader.spans(shuffled[part::4])
    settle(store, traces_of(spans))
    return Shown(Api(store), spans)


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
        # The root never came: known by its earliest server or consumer, or by none.
        yield from spans[1:] if number % 2 else [_orphan(spans[0]), *spans[1:]]
    for number, edge in enumerate(itertools.chain(*WINDOWS.values())):
        for offset in (-1, 0, 1):
            yield from prod.trace(WEB, f"GET /edge/{number}", edge + offset)
    # Two operations as frequent as each other: their order is that of their ids.
    for operation in ("GET /twin/a", "GET /twin/b"):
        for second in range(3):
            yield from prod.trace(WEB, operation, BEGAN + (30 + second) * SECOND)
    # A middle span is missing; and one ends before it starts.
    missing = prod.trace(WEB, "GET /missing", BEGAN + 200 * SECOND)
    yield from (span for span in missing if span is not missing[1])
    backwards = prod.trace(WEB, "GET /backwards", BEGAN + 201 * SECOND)
    yield replace(backwards[0], end=backwards[0].start - 5 * SECOND)


def _orphan(span: Span) -> Span:
    return replace(span, parent="00000000000000ff")


def _asked(window: str, **more: Any) -> dict[str, Any]:
    start, end = WINDOWS[window]
    return {"start": rfc3339(start), "end": rfc3339(end), **more}


def _in(window: str, time: int) -> bool:
    start, end = WINDOWS[window]
    return start <= time < end


def _environment(span: Span) -> str:
    return span.process.environment


def _by_transaction(
    traces: list[Trace], window: str, environment: str | None = None
) -> dict[str, list[Trace]]:
    found = defaultdict(list)
    for trace in traces:
        entry = trace.entry
        if not trace.has_transaction or not _in(window, entry.start):
            continue
        if environment is None or _environment(entry) == environment:
            found[f"{entry.service}: {entry.name}"].append(trace)
    return found


def _ids(shown: Shown) -> dict[str, str]:
    """The id of each transaction, by its name."""
    listed = shown.api.get("/api/v1/transactions", **_asked("all", limit=1000))
    return {row["name"]: row["id"] for row in listed["transactions"]}


@pytest.mark.parametrize("environment", [None, "prod", "staging", "nowhere"])
@pytest.mark.parametrize("window", WINDOWS)
def test_the_list_counts_what_was_sent(shown: Shown, window: str, environment: str | None) -> None:
    asked = _asked(window, limit=1000)
    if environment:
        asked["environment"] = environment
    answer = shown.api.get("/api/v1/transactions", **asked)
    expected = _by_transaction(shown.traces, window, environment)
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


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_pages_of_the_list_are_the_list(shown: Shown, limit: int) -> None:
    whole = shown.api.get("/api/v1/transactions", **_asked("all", limit=1000))["transactions"]
    assert whole == sorted(whole, key=lambda row: (-row["count"], row["id"]))
    pages = shown.api.pages("/api/v1/transactions", "transactions", **_asked("all", limit=limit))
    assert all(len(page) == limit for page in pages[:-1])
    assert list(itertools.chain(*pages)) == whole


def test_a_page_is_the_same_however_its_window_was_written(shown: Shown) -> None:
    """The cursor holds the window: `now` in a next page would be another now."""
    first = shown.api.get("/api/v1/transactions", **_asked("cut", limit=3))
    path = "/api/v1/transactions"
    assert shown.api.get(path, cursor=first["next_cursor"], limit=3) == shown.api.get(
        path, **_asked("cut"), cursor=first["next_cursor"], limit=3
    )


def test_ids_are_plain_and_stay(shown: Shown) -> None:
    ids = _ids(shown)
    assert len(set(ids.values())) == len(ids)
    assert all(
        id.isascii() and id.replace("-", "").replace("_", "").isalnum() for id in ids.values()
    )
    # Written down, because links to it are to work after an update too.
    assert ids["web: POST /checkout"] == "21151ab9f3976986"


@pytest.mark.parametrize("window", ["all", "cut"])
@pytest.mark.parametrize("name", ["web: POST /checkout", "worker: ship", "web: GET /"])
def test_the_joined_view_is_what_was_sent(shown: Shown, name: str, window: str) -> None:
    id = _ids(shown)[name]
    answer = shown.api.get(f"/api/v1/transactions/{id}", **_asked(window))
    traces = _by_transaction(shown.traces, window)[name]
    listed = shown.api.get("/api/v1/transactions", **_asked(window, limit=1000))
    assert answer["transaction"] == next(row for row in listed["transactions"] if row["id"] == id)
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
    own: Counter[tuple[str, str, str]] = Counter()
    critical: Counter[tuple[str, str, str]] = Counter()
    for trace in traces:
        times, path = self_times(trace.spans), critical_path(trace)
        for span in trace.spans:
            operation = (span.service, span.name, KIND_NAMES[span.kind])
            calls[operation] += 1
            own[operation] += times[span.id]
            critical[operation] += path.get(span.id, 0)
    rows = {(row["service"], row["operation"], row["kind"]): row for row in answer["breakdown"]}
    assert {operation: row["calls"] for operation, row in rows.items()} == calls
    for operation, row in rows.items():
        assert row["self_time_ms"] == pytest.approx(own[operation] / 1e6)
        assert row["share"] == pytest.approx(own[operation] / own.total())
        assert row["critical_share"] == pytest.approx(critical[operation] / critical.total())
    assert [row["self_time_ms"] for row in answer["breakdown"]] == sorted(
        (row["self_time_ms"] for row in answer["breakdown"]), reverse=True
    )


def _check_traces(named: dict[str, list[dict[str, Any]]], traces: list[Trace]) -> None:
    def ids(kind: str) -> list[str]:
        return [trace["trace_id"] for trace in named[kind]]

    slowest = sorted(traces, key=lambda trace: (-trace.entry.duration, trace.id))
    assert ids("slowest") == [trace.id for trace in slowest[:5]]
    failed = [trace for trace in traces if trace.entry.is_error]
    failed.sort(key=lambda trace: (-trace.entry.start, trace.id))
    assert ids("errors") == [trace.id for trace in failed[:5]]
    fine = {trace.id: trace.entry.duration for trace in traces if not trace.entry.is_error}
    assert len(ids("typical")) == min(5, len(fine))
    middle = sorted(fine.values())[(len(fine) - 1) // 2]
    nearest = sorted(abs(duration - middle) for duration in fine.values())
    for id in ids("typical"):
        assert abs(fine[id] - middle) <= nearest[min(7, len(nearest) - 1)]


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


def test_a_transaction_that_did_not_happen_in_the_window_is_empty_and_not_unknown(
    shown: Shown,
) -> None:
    id = _ids(shown)["web: GET /missing"]
    answer = shown.api.get(f"/api/v1/transactions/{id}", **_asked("over one edge"))
    assert answer["transaction"]["count"] == 0
    assert answer["transaction"]["apdex"] is None
    assert set(answer["transaction"]["duration_ms"].values()) == {None}
    assert answer["series"] == answer["breakdown"] == answer["logs"] == []
    assert answer["traces"] == {"slowest": [], "errors": [], "typical": []}


@pytest.mark.parametrize("environment", [None, "staging"])
def test_instances_are_the_traces_newest_first(shown: Shown, environment: str | None) -> None:
    id = _ids(shown)["web: GET /"]
    asked = _asked("cut", limit=13) | ({"environment": environment} if environment else {})
    pages = shown.api.pages(f"/api/v1/transactions/{id}/instances", "instances", **asked)
    traces = _by_transaction(shown.traces, "cut", environment)["web: GET /"]
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
    """A search as it is asked, and as a question to one span and to its trace."""

    asked: dict[str, Any]
    span: Callable[[Span], bool] | None = None
    trace: Callable[[Trace], bool] = lambda trace: True


def _attribute(*filters: tuple[str, str, str]) -> Search:
    asked = {"attr": ["".join(each) for each in filters]}
    return Search(asked, lambda span: all(has_attribute(span, each) for each in filters))


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
def test_a_search_finds_exactly_what_matches(shown: Shown, search: Search, window: str) -> None:
    expected = [
        trace
        for trace in newest_first(shown.traces)
        if _in(window, trace.start)
        and search.trace(trace)
        and (search.span is None or any(map(search.span, trace.spans)))
    ]
    answer = shown.api.get("/api/v1/traces", **_asked(window, limit=1000, **search.asked))
    assert [found["trace_id"] for found in answer["traces"]] == [trace.id for trace in expected]
    assert answer["next_cursor"] is None
    for found, trace in zip(answer["traces"], expected, strict=True):
        assert found["root_service"] == trace.entry.service
        assert found["root_operation"] == trace.entry.name
        assert found["start"] == rfc3339(trace.start)
        assert found["duration_ms"] == trace.duration / 1e6
        assert found["span_count"] == len(trace.spans)
        assert found["error_count"] == trace.errors
        assert found["services"] == trace.services


@pytest.mark.parametrize("name", ["everything", "error", "several kinds", "slow"])
def test_pages_of_a_search_are_the_search(shown: Shown, name: str) -> None:
    asked = _asked("cut", **SEARCHES[name].asked)
    whole = shown.api.get("/api/v1/traces", **asked, limit=1000)["traces"]
    pages = shown.api.pages("/api/v1/traces", "traces", **asked, limit=7)
    assert list(itertools.chain(*pages)) == whole
    assert len(pages) == -(-len(whole) // 7)


@pytest.mark.parametrize("name", ["web: POST /checkout", "worker: ship"])
def test_a_search_within_a_transaction(shown: Shown, name: str) -> None:
    traces = [
        trace
        for trace in newest_first(_by_transaction(shown.traces, "all")[name])
        if any(span.is_error and span.service == "payments" for span in trace.spans)
    ]
    asked = _asked("all", transaction=_ids(shown)[name], service="payments", status="error")
    found = shown.api.get("/api/v1/traces", **asked, limit=1000)["traces"]
    assert [trace["trace_id"] for trace in found] == [trace.id for trace in traces]


def test_a_search_within_an_unknown_transaction_finds_nothing(shown: Shown) -> None:
    assert shown.api.get("/api/v1/traces", **_asked("all", transaction="nope"))["traces"] == []


def test_every_trace_by_its_id(shown: Shown) -> None:
    ids = _ids(shown)
    for trace in random.Random(5).sample(shown.traces, 25):
        _check_trace(shown.api.get(f"/api/v1/traces/{trace.id}"), trace, ids)


@pytest.mark.parametrize("operation", ["GET /missing", "GET /backwards"])
def test_a_trace_that_is_odd(shown: Shown, operation: str) -> None:
    (trace,) = (trace for trace in shown.traces if trace.entry.name == operation)
    _check_trace(shown.api.get(f"/api/v1/traces/{trace.id.upper()}"), trace, _ids(shown))


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
    own, path = self_times(trace.spans), critical_path(trace)
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
            "self_time_ms": own[span.id] / 1e6,
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
def test_services_and_their_operations(shown: Shown, window: str) -> None:
    operations = defaultdict(list)
    for span in shown.spans:
        if _in(window, span.start):
            operations[span.service, span.name, KIND_NAMES[span.kind]].append(span)
    answer = shown.api.get("/api/v1/services", **_asked(window))
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
        taken = [
            span
            for (name, _, kind), spans in operations.items()
            if name == service["service"] and kind in ("Server", "Consumer")
            for span in spans
        ]
        assert service["count"] == len(taken)
        assert service["errors"] == sum(span.is_error for span in taken)
    assert answer["truncated"] is False


def test_services_of_an_environment(shown: Shown) -> None:
    asked = _asked("all", environment="staging")
    services = shown.api.get("/api/v1/services", **asked)["services"]
    expected = {span.service for span in shown.spans if _environment(span) == "staging"}
    assert {service["service"] for service in services} == expected
    (only,) = shown.api.get("/api/v1/services", **asked, service="ledger")["services"]
    assert only["service"] == "ledger"
