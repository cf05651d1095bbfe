"""A trace in parts. Its outline and the details of rows say what `GET /api/v1/traces/{id}` says, of
traces with every irregularity."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clew.api import trace_tree
from clew.api.outline import parse_rows
from clew.api.problems import Problem
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.outlines import OutlineRow, outline_rows, read_outline
from support.settled import Occurrence, insert_definitions, insert_occurrences
from support.traffic import (
    CLIENT,
    INTERNAL,
    MILLISECOND,
    SECOND,
    SERVER,
    Event,
    Generator,
    Loader,
    Log,
    Point,
    Process,
    Span,
    tangle,
)

BEGAN = 1_780_308_000 * SECOND
TRACE = "00000000000000000000000000000abc"
WEB = Process("web", "web-1")
ORDERS = Process("orders", "orders-1")
PROCESSES = [WEB, ORDERS, Process("stock", "stock-1")]
ENDS_BEFORE_START, HAS_EVENTS, HAS_LINKS, SHARED_SPAN_ID, PARENT_MISSING = 1, 2, 4, 8, 16


def _shared(choice: random.Random, number: int) -> list[Span]:
    """A trace as Zipkin sends it: client and server have one id; a batch came twice."""
    generator = Generator(number, PROCESSES)
    spans = generator.trace(WEB, "GET /", BEGAN + number * SECOND)
    parents = {span.id: span for span in spans}
    ids = {
        span.id: span.parent
        for span in spans
        if span.kind == SERVER and span.parent and parents[span.parent].kind == CLIENT
    }
    shared = [
        replace(
            span,
            id=ids.get(span.id, span.id),
            parent=parents[span.parent].parent if span.id in ids else ids.get(span.parent, span.parent),
        )
        for span in spans
    ]  # fmt: skip
    return shared + choice.sample(shared, len(shared) // 3)


def _cycles(choice: random.Random) -> list[Span]:
    """Spans that are their own ancestors, with others below and beside them."""
    ids = [f"{number + 1:016x}" for number in range(9)]
    parents = [ids[2], ids[0], ids[1], ids[1], ids[3], ids[5], ids[5], "", "00000000000000ff"]
    spans = [
        Span(
            choice.randbytes(16).hex() if not number else "", id, parent, WEB, f"span {number}", INTERNAL,
            BEGAN + choice.randrange(5) * MILLISECOND, BEGAN + choice.randrange(5, 9) * MILLISECOND,
        )
        for number, (id, parent) in enumerate(zip(ids, parents, strict=True))
    ]  # fmt: skip
    return [replace(span, trace=spans[0].trace) for span in spans]


def _traces() -> Iterator[list[Span]]:
    choice = random.Random(11)
    for size in (1, 2, 3, 8, 30, 90):
        for _ in range(3):
            yield tangle(choice, PROCESSES, size, BEGAN)
    for number in range(4):
        yield _shared(choice, number)
    for _ in range(3):
        yield _cycles(choice)
    linked = Generator(5, PROCESSES).trace(WEB, "GET /", BEGAN)
    yield [replace(linked[0], links=((TRACE, "00000000000000aa"),)), *linked[1:]]


TRACES = list(_traces())


@dataclass(frozen=True)
class Dataset:
    api: ApiClient
    traces: list[list[Span]]


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    loader.spans(span for spans in TRACES for span in spans)
    return Dataset(ApiClient(store), TRACES)


@pytest.mark.parametrize("number", range(len(TRACES)))
def test_the_outline_is_the_trace(dataset: Dataset, number: int) -> None:
    trace_id = dataset.traces[number][0].trace
    trace = dataset.api.get(f"/api/v1/traces/{trace_id}")
    tree, rows = read_outline(dataset.api, trace_id)
    assert tree["unit_ns"] == 1
    for member in (
        "trace_id", "start", "duration_ms", "services", "span_count", "error_count", "complete",
        "truncated",
    ):  # fmt: skip
        assert tree[member] == trace[member], member
    details = dataset.api.get(
        f"/api/v1/traces/{trace_id}/spans", rows=f"0-{len(rows) - 1}", version=tree["version"]
    )
    assert details["version"] == tree["version"]
    assert [span["row"] for span in details["spans"]] == list(range(len(rows)))
    by_id = {span["span_id"]: span for span in trace["spans"]}
    for span in details["spans"]:
        shown = dict(by_id.pop(span["span_id"]))
        row = rows[span["row"]]
        _check_row(row, shown, details["spans"])
        del shown["self_time_ms"], shown["critical"]
        assert span == {"row": span["row"], **shown}
    assert not by_id
    _check_order(rows)


def _check_row(row: OutlineRow, span: dict[str, Any], spans: list[dict[str, Any]]) -> None:
    """Compare a row with the span of the trace."""
    assert [row.name, row.kind, row.service, row.status, row.scope] == [
        span[member] for member in ("name", "kind", "service", "status", "scope")
    ]
    assert [row.start / 1e6, row.duration / 1e6, row.self_time / 1e6] == [
        span[member] for member in ("offset_ms", "duration_ms", "self_time_ms")
    ]
    assert (row.segments is not None) == span["critical"]
    segments = row.segments or ()
    assert all(0 <= start <= end <= row.duration for start, end in segments)
    assert list(segments) == sorted(segments)
    ids = {other["span_id"] for other in spans}
    if row.parent is not None:
        assert spans[row.parent]["span_id"] == span["parent_span_id"]
        assert not row.flags & PARENT_MISSING
    else:
        assert bool(row.flags & PARENT_MISSING) == (span["parent_span_id"] != "")
        if span["parent_span_id"] in ids:
            assert _is_own_ancestor(span["span_id"], spans)
    assert bool(row.flags & HAS_EVENTS) == bool(span["events"])
    assert bool(row.flags & HAS_LINKS) == bool(span["links"])
    assert bool(row.flags & ENDS_BEFORE_START) == ("ends_before_start" in span["flags"])
    assert bool(row.flags & SHARED_SPAN_ID) == ("shared_span_id" in span["flags"])


def _is_own_ancestor(id: str, spans: list[dict[str, Any]]) -> bool:
    parents = {span["span_id"]: span["parent_span_id"] for span in spans}
    seen: set[str] = set()
    ancestor = parents[id]
    while ancestor in parents and ancestor not in seen:
        seen.add(ancestor)
        ancestor = parents[ancestor]
    return id in seen


def _check_order(rows: list[OutlineRow]) -> None:
    """Siblings are in the order of their starts."""
    last: dict[int | None, int] = {}
    for row in rows:
        if row.parent is None and row.flags & PARENT_MISSING:
            continue  # of a cycle, which comes after all others
        assert last.get(row.parent, row.start) <= row.start
        last[row.parent] = row.start


def test_segments_are_the_path_time(dataset: Dataset) -> None:
    """Without clocks that differ the segments of all spans make up the duration of the entry."""
    for spans in dataset.traces[-1:]:
        _, rows = read_outline(dataset.api, spans[0].trace)
        critical = sorted(
            (row.start + start, row.start + end)
            for row in rows
            for start, end in row.segments or ()
        )
        assert critical[0][0] == rows[0].start
        assert critical[-1][1] == rows[0].start + rows[0].duration
        assert all(end == start for (_, end), (start, _) in pairwise(critical))


def test_a_span_is_found(dataset: Dataset) -> None:
    for spans in dataset.traces[-3:]:
        trace_id = spans[0].trace
        _, rows = read_outline(dataset.api, trace_id)
        details = dataset.api.get(
            f"/api/v1/traces/{trace_id}/spans", rows=f"0-{len(rows) - 1}"
        )["spans"]  # fmt: skip
        for span in details[:5]:
            tree, _ = read_outline(dataset.api, trace_id, span=span["span_id"].upper())
            assert tree["span"] == {"row": span["row"], "parent_row": rows[span["row"]].parent}
        for unknown in ("ffffffffffffffff", "x", ""):
            assert read_outline(dataset.api, trace_id, span=unknown)[0]["span"] is None
        assert read_outline(dataset.api, trace_id)[0]["span"] is None


@pytest.mark.parametrize(
    "rows", ["", "x", "-1", "1-", "2-1", "1,,2", "0-1000", "3", "0-99999999999"]
)
def test_rows_that_cannot_be_read_are_a_problem(dataset: Dataset, rows: str) -> None:
    trace_id = dataset.traces[0][0].trace  # of one span
    assert dataset.api.problem(f"/api/v1/traces/{trace_id}/spans", rows=rows)["status"] == 400


@pytest.mark.parametrize("part", ["outline", "spans", "logs", "metrics", "occurrences"])
def test_an_unknown_trace_is_a_problem(dataset: Dataset, part: str) -> None:
    parameters = {"rows": "0"} if part == "spans" else {}
    assert dataset.api.problem(f"/api/v1/traces/{TRACE}/{part}", **parameters)["status"] == 404


@pytest.fixture
def loader(ingest: Ingest, tmp_path: Path) -> Loader:
    return Loader(ingest, tmp_path)


@pytest.fixture
def api(store: Store) -> ApiClient:
    return ApiClient(store)


def _span(id: int, parent: int, start: float, end: float, **members: Any) -> Span:
    """A span from `start` to `end`, in milliseconds; `parent` 0 is none."""
    span = Span(
        TRACE, f"{id:016x}", f"{parent:016x}" if parent else "", WEB, f"span {id}", INTERNAL,
        BEGAN + int(start * MILLISECOND), BEGAN + int(end * MILLISECOND),
    )  # fmt: skip
    return replace(span, **members)


def test_the_version_changes_when_spans_come(loader: Loader, api: ApiClient) -> None:
    path = f"/api/v1/traces/{TRACE}/spans"
    versions = []
    for batch in ([_span(1, 0, 0, 9), _span(3, 1, 2, 3)], [_span(2, 1, 1, 2)], [_span(2, 1, 1, 2)]):
        for version in versions:
            api.get(path, rows="0", version=version)
            versions = [version]
        loader.spans(batch)
        for version in versions:
            assert api.problem(path, rows="0", version=version)["status"] == 409
        tree, _ = read_outline(api, TRACE)
        assert tree["version"] not in versions
        assert read_outline(api, TRACE)[0]["version"] == tree["version"]
        versions = [tree["version"]]
    assert [span["name"] for span in api.get(path, rows="2,0-1")["spans"]] == [
        "span 3", "span 1", "span 2",
    ]  # fmt: skip


def test_rows_are_numbers_and_ranges() -> None:
    assert parse_rows("10-12, 35,11") == [10, 11, 12, 35]
    assert len(parse_rows("0-999")) == 1000
    with pytest.raises(Problem):
        parse_rows("0-500,400-1000")


def test_parts_of_a_trace_are_those_of_the_whole(
    store: Store, loader: Loader, api: ApiClient
) -> None:
    """Its log records, metrics and occurrences; a client and a server share an id."""
    spans = [
        _span(1, 0, 0, 100, kind=SERVER),
        _span(2, 1, 10, 90, kind=CLIENT, events=(Event(BEGAN + 20 * MILLISECOND, "x", {}),)),
        _span(2, 1, 12, 80, kind=SERVER, process=ORDERS),
        _span(3, 2, 13, 20, process=ORDERS),
    ]
    loader.spans(spans)
    loader.logs(
        [
            Log(BEGAN + number * MILLISECOND, span.process, "INFO", f"log {number}", {}, TRACE, span.id)
            for number, span in enumerate(spans)
        ]
        + [
            Log(BEGAN, WEB, "WARN", "of the process"),
            Log(BEGAN, WEB, "WARN", "of an unknown span", {}, TRACE, "00000000000000ff"),
            Log(BEGAN, Process("x", "x-1"), "WARN", "of another service", {}, TRACE, spans[1].id),
        ]
    )  # fmt: skip
    loader.points(
        [
            Point("cpu", "1", "gauge", WEB, BEGAN, 0.5),
            Point("calls", "1", "sum", ORDERS, BEGAN + SECOND, 7),
            Point("time", "s", "histogram", WEB, BEGAN, 1, buckets=(1, 0), bounds=(1.0,), exemplar=(TRACE, spans[0].id)),
        ]
    )  # fmt: skip
    insert_definitions(store, {"name": "Order", "match": {"service": "web"}})
    insert_occurrences(store, [Occurrence("order", "o-1", BEGAN, 5, (TRACE,), end=BEGAN + 9)])
    trace = api.get(f"/api/v1/traces/{TRACE}")
    tree, rows = read_outline(api, TRACE)
    logs = api.get(f"/api/v1/traces/{TRACE}/logs")
    assert logs["version"] == tree["version"]
    places = {log["body"]: log.pop("row") for log in logs["logs"]}
    assert logs["logs"] == trace["logs"]
    assert places == {
        "log 0": 0, "log 1": 1, "log 2": 2, "log 3": 3, "of the process": None,
        "of an unknown span": None, "of another service": 1,
    }  # fmt: skip
    assert [row.flags & SHARED_SPAN_ID for row in rows] == [0, 0, SHARED_SPAN_ID, 0]
    assert api.get(f"/api/v1/traces/{TRACE}/metrics")["metrics"] == trace["metrics"] != []
    occurrences = api.get(f"/api/v1/traces/{TRACE}/occurrences")
    assert occurrences["transactions"] == trace["transactions"]
    assert occurrences["transaction"] == trace["transaction"] != None  # noqa: E711
    assert len(occurrences["transactions"]) == 2
    # The server's span is found by the id that it was sent with, if no other span is shown under it.
    assert read_outline(api, TRACE, span=spans[1].id)[0]["span"] == {"row": 1, "parent_row": 0}


def test_spans_without_ids(store: Store, api: ApiClient) -> None:
    """Another writer's: each is a span by itself."""
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_traces (TraceId, SpanId, ParentSpanId, SpanName, ServiceName, Timestamp, Duration)"
            f" SELECT '{TRACE}', if(number = 3, 'a', ''), if(number > 3, 'a', ''), 'x', 'web',"
            f" fromUnixTimestamp64Nano(toInt64({BEGAN} + number * 10)), 100 - number FROM numbers(6)"
        )
    trace = api.get(f"/api/v1/traces/{TRACE}")
    _, rows = read_outline(api, TRACE)
    assert [(row.start, row.depth, row.self_time) for row in rows] == [
        (0, 0, 100), (10, 0, 99), (20, 0, 98), (30, 0, 10), (40, 1, 96), (50, 1, 95),
    ]  # fmt: skip
    assert [span["self_time_ms"] * 1e6 for span in trace["spans"]] == [
        row.self_time for row in sorted(rows, key=lambda row: row.start)
    ]


def test_texts_that_are_long_or_not_utf_8(store: Store, api: ApiClient) -> None:
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_traces (TraceId, SpanId, SpanName, ServiceName, ScopeName, Timestamp, Duration)"
            f" SELECT '{TRACE}', toString(number), concat(repeat('ü', 100000), toString(number)), unhex('77ff'),"
            f" unhex('00fe'), fromUnixTimestamp64Nano(toInt64({BEGAN})), 9 FROM numbers(3)"
        )
    tree, rows = read_outline(api, TRACE)
    assert tree["dictionaries"]["name"] == ["ü" * 200]
    (first, *_) = api.get(f"/api/v1/traces/{TRACE}/spans", rows="0-2")["spans"]
    assert first["name"] == "ü" * 100000 + "0"
    assert {row.service for row in rows} == {first["service"]} == {"w�"}
    assert {row.scope for row in rows} == {first["scope"]}


def test_a_large_trace_is_deep_and_wide(
    loader: Loader, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of 5,000 spans over two hours, and 3,000 children of the last one; of more spans than
    a trace may have, the first are shown."""
    chain = [
        _span(number, number - 1, number, 7_200_000 - number) for number in range(1, 5001)
    ]  # fmt: skip
    children = [
        _span(number, 5000, number + 0.25, number + 0.75) for number in range(5001, 8001)
    ]  # fmt: skip
    loader.spans([*reversed(chain), *children])
    monkeypatch.setattr(trace_tree, "PRECISE_SPANS", 100)
    tree, rows = read_outline(api, TRACE)
    assert tree["unit_ns"] == 1000
    assert [row.depth for row in rows] == [*range(5000), *[5000] * 3000]
    assert [row.parent for row in rows[5000:]] == [4999] * 3000
    assert rows[1].start == 1000
    assert rows[5].segments == ((0, 1000), (7_199_988_000 - 1000, 7_199_988_000))
    assert rows[4999].segments is not None
    assert len(rows[4999].segments) == 3001
    assert sum(end - start for start, end in rows[4999].segments) == rows[4999].self_time
    assert rows[6000].segments == ((0, 500),)
    monkeypatch.setattr(trace_tree, "MAX_SPANS", 6000)
    cut, first_rows = read_outline(api, TRACE)
    assert cut["truncated"] is True
    assert cut["span_count"] == 8000
    assert [(row.start, row.depth) for row in first_rows] == [
        (row.start, row.depth) for row in rows[:6000]
    ]
    loader.spans([_span(9000, 1, 7_000_000, 7_000_001)])
    later, same_rows = read_outline(api, TRACE)
    assert same_rows == first_rows
    assert later["version"] != cut["version"]


def test_the_outline_comes_as_two_lines(store: Store, loader: Loader, api: ApiClient) -> None:
    loader.spans([_span(1, 0, 0, 9), _span(2, 1, 1, 2)])
    response = api.response(f"/api/v1/traces/{TRACE}/outline", explain="true")
    tree, times = map(json.loads, response.text.splitlines())
    (statement,) = tree["sql"]
    with store.client() as client:
        assert len(client.query(statement).result_rows) == 2
    assert set(times) == {"self", "critical"}
    assert len(list(outline_rows(tree, times))) == 2
