"""One trace by its id, with skewed clocks, odd ids and odd times."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.loading import load
from support.reference import Trace, critical_path, rfc3339, self_times
from support.traffic import (
    CLIENT,
    ERROR,
    INTERNAL,
    MILLISECOND,
    PRODUCER,
    SECOND,
    SERVER,
    Generator,
    Loader,
    Log,
    Point,
    Process,
    Span,
)

BEGAN = 1_780_308_000 * SECOND
TRACE = "00000000000000000000000000000abc"
WEB = Process("web", "web-1")
ORDERS = Process("orders", "orders-1")


@pytest.fixture
def loader(ingest: Ingest, tmp_path: Path) -> Loader:
    return Loader(ingest, tmp_path)


@pytest.fixture
def api(store: Store) -> ApiClient:
    return ApiClient(store)


def _span(id: int, parent: int, start: float, end: float, **members: Any) -> Span:
    """A span from `start` to `end`, in milliseconds; `parent` 0 is none."""
    span = Span(
        TRACE,
        f"{id:016x}",
        f"{parent:016x}" if parent else "",
        WEB,
        f"span {id}",
        INTERNAL,
        BEGAN + int(start * MILLISECOND),
        BEGAN + int(end * MILLISECOND),
    )
    return replace(span, **members)


def _critical(answer: dict[str, Any]) -> set[str]:
    return {span["name"] for span in answer["spans"] if span["critical"]}


def _self_times(answer: dict[str, Any]) -> dict[str, float]:
    return {span["name"]: span["self_time_ms"] for span in answer["spans"]}


def test_the_last_of_parallel_children_is_critical(loader: Loader, api: ApiClient) -> None:
    loader.spans(
        [
            _span(1, 0, 0, 100),
            _span(2, 1, 10, 50),
            _span(3, 1, 10, 80),
            _span(4, 3, 20, 40),
            _span(5, 3, 20, 70),
            _span(6, 2, 20, 49),
        ]
    )
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert _critical(answer) == {"span 1", "span 3", "span 5"}
    assert _self_times(answer) == {
        "span 1": 30, "span 2": 11, "span 3": 20, "span 4": 20, "span 5": 50, "span 6": 29,
    }  # fmt: skip


def test_a_child_that_outlives_its_parent_is_not_critical(loader: Loader, api: ApiClient) -> None:
    loader.spans(
        [
            _span(1, 0, 0, 100, kind=SERVER),
            _span(2, 1, 10, 30),
            _span(3, 1, 40, 500, kind=PRODUCER),
        ]
    )
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert _critical(answer) == {"span 1", "span 2"}
    assert _self_times(answer)["span 1"] == 20
    assert answer["duration_ms"] == 500


def test_a_client_waits_for_its_server_despite_clock_skew(loader: Loader, api: ApiClient) -> None:
    """The server's clock is 40 ms behind, so its spans seem to start before their parents."""
    spans = [
        _span(1, 0, 0, 100, kind=SERVER),
        _span(2, 1, 10, 90, kind=CLIENT),
        _span(3, 2, -25, 45, kind=SERVER, process=ORDERS),
        _span(4, 3, -20, 0, process=ORDERS),
        _span(5, 3, 5, 40, process=ORDERS),
        _span(6, 5, 6, 30, process=ORDERS),
    ]
    loader.spans(spans)
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert _critical(answer) == {f"span {number}" for number in range(1, 7)}
    assert {span["span_id"] for span in answer["spans"] if span["critical"]} == set(
        critical_path(Trace(TRACE, tuple(spans)))
    )


def test_the_critical_path_with_skewed_clocks(loader: Loader, api: ApiClient) -> None:
    choice = random.Random(7)
    processes = [Process(name, f"{name}-1") for name in ("a", "b", "c", "d")]
    generator = Generator(8, processes)
    traces = []
    for number in range(12):
        spans = generator.trace(processes[0], "GET /", BEGAN + number * SECOND)
        skews = {process.service: choice.randint(-20, 20) * MILLISECOND for process in processes}
        skewed = [
            replace(
                span, start=span.start + skews[span.service], end=span.end + skews[span.service]
            )
            for span in spans
        ]
        traces.append(Trace(spans[0].trace, tuple(skewed)))
    loader.spans(span for trace in traces for span in trace.spans)
    for trace in traces:
        answer = api.get(f"/api/v1/traces/{trace.id}")
        critical = {span["span_id"] for span in answer["spans"] if span["critical"]}
        assert critical == set(critical_path(trace))
        assert {span["span_id"]: span["self_time_ms"] for span in answer["spans"]} == {
            id: time / 1e6 for id, time in self_times(trace.spans).items()
        }


def test_a_cycle_of_parents(loader: Loader, api: ApiClient) -> None:
    loader.spans([_span(1, 2, 0, 10), _span(2, 1, 0, 10), _span(3, 3, 0, 10), _span(4, 0, 0, 10)])
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert len(answer["spans"]) == 4


def test_a_span_that_was_sent_twice_is_shown_once(loader: Loader, api: ApiClient) -> None:
    spans = [_span(1, 0, 0, 10, status=ERROR), _span(2, 1, 2, 8)]
    for _ in range(3):
        loader.spans(spans)
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert [span["name"] for span in answer["spans"]] == ["span 1", "span 2"]
    assert (answer["span_count"], answer["error_count"]) == (2, 1)
    (jaeger,) = api.get(f"/api/traces/{TRACE}")["data"]
    assert sorted(span["operationName"] for span in jaeger["spans"]) == ["span 1", "span 2"]
    times = {"query.startTimeMin": rfc3339(BEGAN), "query.startTimeMax": rfc3339(BEGAN + SECOND)}
    (summary,) = api.get("/api/v3/trace-summaries", **times)["summaries"]
    assert (summary["spanCount"], summary["errorSpanCount"], summary["orphanSpanCount"]) == (
        2,
        1,
        0,
    )


def test_an_exporters_span_that_ends_before_it_starts_is_flagged(
    store: Store, api: ApiClient
) -> None:
    """The exporter stores a duration that wrapped below zero."""
    columns = ("Timestamp", "TraceId", "SpanId", "SpanName", "ServiceName", "Duration")
    began = datetime(2026, 6, 1, 10, tzinfo=UTC)
    row = [began, TRACE, f"{1:016x}", "backward", "web", 2**64 - 5]
    with store.client() as client:
        client.insert("otel.otel_traces", [row], column_names=columns)
    (span,) = api.get(f"/api/v1/traces/{TRACE}")["spans"]
    assert (span["duration_ms"], span["flags"]) == (0, ["ends_before_start"])
    (jaeger,) = api.get(f"/api/traces/{TRACE}")["data"]
    assert jaeger["spans"][0]["duration"] == 0
    assert jaeger["spans"][0]["warnings"] == ["the span ends before it starts"]


# As Zipkin's and Envoy's spans are: a client and its server have one id.
SHARED = [
    _span(1, 0, 0, 100, kind=SERVER),
    _span(2, 1, 10, 90, kind=CLIENT, name="call"),
    _span(2, 1, 20, 80, kind=SERVER, name="serve", process=ORDERS),
    _span(3, 2, 30, 70, name="work", process=ORDERS),
]
SERVED = f"{2**64 - 1 - 2:016x}"


@pytest.mark.parametrize("skew", [0, -15, 25])
def test_a_client_and_a_server_that_share_an_id(loader: Loader, api: ApiClient, skew: int) -> None:
    shift = skew * MILLISECOND
    spans = [
        replace(span, start=span.start + shift, end=span.end + shift) if span.process is ORDERS else span
        for span in SHARED
    ]  # fmt: skip
    loader.spans(spans)
    loader.logs(
        Log(BEGAN + 40 * MILLISECOND, process, "INFO", "here", trace=TRACE, span=f"{2:016x}")
        for process in (WEB, ORDERS)
    )
    answer = api.get(f"/api/v1/traces/{TRACE}")
    ids = {span["name"]: (span["span_id"], span["parent_span_id"]) for span in answer["spans"]}
    assert ids == {
        "span 1": (f"{1:016x}", ""),
        "call": (f"{2:016x}", f"{1:016x}"),
        "serve": (SERVED, f"{2:016x}"),
        "work": (f"{3:016x}", SERVED),
    }
    assert {span["name"]: span["flags"] for span in answer["spans"]} == {
        "span 1": [], "call": [], "serve": ["shared_span_id"], "work": [],
    }  # fmt: skip
    assert answer["complete"]
    assert _critical(answer) == {"span 1", "call", "serve", "work"}
    self_times = _self_times(answer)
    assert (self_times["span 1"], self_times["serve"], self_times["work"]) == (20, 20, 40)
    if not skew:
        assert self_times["call"] == 20
    assert {log["service"]: log["span_id"] for log in answer["logs"] if log["span_id"]} == {
        "web": f"{2:016x}",
        "orders": SERVED,
    }


def test_jaegers_api_has_unique_span_ids(loader: Loader, api: ApiClient) -> None:
    loader.spans(SHARED)
    (jaeger,) = api.get(f"/api/traces/{TRACE}")["data"]
    references = {
        span["operationName"]: (span["spanID"], [one["spanID"] for one in span["references"]])
        for span in jaeger["spans"]
    }
    assert references == {
        "span 1": (f"{1:016x}", []),
        "call": (f"{2:016x}", [f"{1:016x}"]),
        "serve": (SERVED, [f"{2:016x}"]),
        "work": (f"{3:016x}", [SERVED]),
    }
    result = api.get(f"/api/v3/traces/{TRACE}")["result"]
    spans = [
        span
        for resource in result["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert {span["name"]: (span["spanId"], span.get("parentSpanId", "")) for span in spans} == {
        name: (id, (parents or [""])[0]) for name, (id, parents) in references.items()
    }


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 0),
        (0, 5 * MILLISECOND),
        (5_000_000_000 * SECOND, 5_000_000_001 * SECOND),
        (2**63 - 2, 2**63 - 1),
        (2**64 - 2, 2**64 - 1),
    ],
    ids=["no time", "no start", "after 2106", "the last of 2262", "what no clock says"],
)
def test_a_trace_of_any_time(loader: Loader, api: ApiClient, start: int, end: int) -> None:
    loader.spans([replace(_span(1, 0, 0, 0), start=start, end=end), _span(2, 1, 0, 3)])
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert {span["name"] for span in answer["spans"]} == {"span 1", "span 2"}


def test_an_unknown_trace_is_status_404(api: ApiClient) -> None:
    problem = api.problem(f"/api/v1/traces/{TRACE}")
    assert problem["status"] == 404
    assert TRACE in problem["detail"]


def test_logs_and_metrics_of_the_trace(loader: Loader, api: ApiClient) -> None:
    loader.spans([_span(1, 0, 0, 100), _span(2, 1, 10, 90, process=ORDERS)])
    ids = {"trace": TRACE, "span": f"{2:016x}"}
    other_process = Process("orders", "orders-2")
    loader.logs(
        [
            Log(BEGAN + 20 * MILLISECOND, ORDERS, "INFO", "of the trace", {"n": 1}, **ids),
            Log(BEGAN + 30 * MILLISECOND, ORDERS, "WARN", "of the process"),
            Log(BEGAN + 30 * MILLISECOND, other_process, "WARN", "of another process"),
            Log(BEGAN + 200 * MILLISECOND, ORDERS, "WARN", "of another time"),
            Log(BEGAN + 40 * MILLISECOND, ORDERS, "INFO", "of another trace", trace="ab" * 16),
        ]
    )
    loader.points(
        Point("queue.size", "{item}", "gauge", process, BEGAN + second * SECOND, second)
        for process in (ORDERS, other_process)
        for second in (-60, -50, 10, 400)
    )
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert [(log["body"], log["linked_by"]) for log in answer["logs"]] == [
        ("of the trace", "trace"),
        ("of the process", "resource"),
    ]
    assert answer["logs"][0] == {
        "time": rfc3339(BEGAN + 20 * MILLISECOND),
        "severity": "INFO",
        "level": "info",
        "event_name": "",
        "service": "orders",
        "body": "of the trace",
        "attributes": {"n": "1"},
        "trace_id": TRACE,
        "span_id": f"{2:016x}",
        "linked_by": "trace",
    }
    (metric,) = answer["metrics"]
    assert metric["resource"] == "orders-1"
    assert metric["linked_by"] == "resource"
    assert [point["value"] for point in metric["points"]] == [-60, -50, 10]


def test_a_log_record_after_the_end_of_the_trace(loader: Loader, api: ApiClient) -> None:
    """A record with the trace's id is shown even if it was written after the trace's end."""
    loader.spans([_span(1, 0, 0, 100)])
    loader.logs([Log(BEGAN + 150 * MILLISECOND, WEB, "INFO", "cleaned up", trace=TRACE)])
    (log,) = api.get(f"/api/v1/traces/{TRACE}")["logs"]
    assert (log["body"], log["linked_by"]) == ("cleaned up", "trace")


def test_a_trace_in_several_inserts(
    loader: Loader, api: ApiClient, emptied: Callable[[], Store]
) -> None:
    spans = [_span(number, number - 1, number, 100 - number) for number in range(1, 8)]
    for span in reversed(spans):
        answer = api.response(f"/api/v1/traces/{TRACE}")
        assert answer.status_code == 404 or not answer.json()["complete"]
        loader.spans([span])
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert answer["complete"]
    assert answer["span_count"] == len(answer["spans"]) == 7
    assert _critical(answer) == {span.name for span in spans}


INSERT_DEFINITIONS = """
INSERT INTO otel.clew_definitions (Revision, Position, Id, Name, Definition, Origin) VALUES
    (1, 0, 'old', 'Old', '{}', 'test'), (2, 0, '', '', '', ''), (2, 1, 'ship', 'Ship', '{}', 'test'),
    (2, 2, 'checkout', 'Check out', '{}', 'test')
"""
INSERT_OCCURRENCE_TRACE = """
INSERT INTO otel.clew_occurrence_traces (Transaction, Key, TraceId, Start, End, `Entry.SpanId`, `Entry.Service`,
    `Entry.Operation`, `Entry.Start`, `Entry.Duration`, `Entry.IsError`, Version, IsDeleted)
SELECT {transaction:String}, {key:String}, {trace:String}, toDateTime64(1780308000, 9), toDateTime64(1780308001, 9),
    entry, entry, entry, arrayMap(e -> toDateTime64(1780308000, 9), entry), arrayMap(e -> 1, entry),
    arrayMap(e -> false, entry), {version:UInt64}, {deleted:Bool}
FROM (SELECT if({is_entry:Bool}, ['x'], []) AS entry)
"""
INSERT_OCCURRENCE = """
INSERT INTO otel.clew_occurrences
    (Transaction, Key, TraceIds, Timestamp, Start, End, Version, IsDeleted)
SELECT {transaction:String}, {key:String}, [{trace:String}], toDateTime64(1780308000, 9),
    toDateTime64(1780308000, 9), toDateTime64(1780308001, 9), {version:UInt64}, {deleted:Bool}
"""


def test_defined_transactions_come_before_the_automatic_one(
    loader: Loader, api: ApiClient, store: Store
) -> None:
    loader.spans([_span(1, 0, 0, 10, kind=SERVER)])
    auto = api.get(f"/api/v1/traces/{TRACE}")["transaction"]
    with store.client() as client:
        client.command(INSERT_DEFINITIONS)
        for transaction, key, is_entry, occurs in (
            ("ship", "7", False, True),  # has the key of an occurrence, no matching span
            ("checkout", "it's 7", True, True),
            ("checkout", "8", False, False),  # has a key without an occurrence
            ("checkout", "gone", True, True),
        ):
            parameters = {
                "transaction": transaction, "key": key, "trace": TRACE, "is_entry": is_entry,
                "version": 1, "deleted": False,
            }  # fmt: skip
            client.raw_query(INSERT_OCCURRENCE_TRACE, parameters=parameters)
            if occurs:
                client.raw_query(INSERT_OCCURRENCE, parameters=parameters)
            if key == "gone":
                client.raw_query(
                    INSERT_OCCURRENCE_TRACE, parameters=parameters | {"version": 2, "deleted": True}
                )
    answer = api.get(f"/api/v1/traces/{TRACE}")
    own = {"trace_ids": [TRACE]}
    assert answer["transaction"] == {"id": "checkout", "name": "Check out", "key": "it's 7"}
    assert answer["transactions"] == [
        {"id": "checkout", "name": "Check out", "key": "it's 7", "source": "defined"} | own,
        {"id": "ship", "name": "Ship", "key": "7", "source": "defined"} | own,
        auto | {"source": "auto"} | own,
    ]
    window = {"start": "2026-06-01T09:00:00Z", "end": "2026-06-01T11:00:00Z"}
    for transaction, expected in (("checkout", [TRACE]), ("ship", [TRACE]), ("old", [])):
        traces = api.get("/api/v1/traces", **window, transaction=transaction)["traces"]
        assert [trace["trace_id"] for trace in traces] == expected


def test_a_monotonic_sum_is_shown_as_a_rate_and_an_exemplar_links_a_histogram(
    loader: Loader, api: ApiClient
) -> None:
    loader.spans([_span(1, 0, 0, 100)])
    loader.points(
        [
            *(
                Point("requests", "1", "sum", WEB, BEGAN + second * SECOND, value)
                for second, value in ((-20, 100), (-10, 130), (0, 10), (10, 30), (20, math.nan))
            ),
            Point(
                "duration", "s", "histogram", WEB, BEGAN, 9, buckets=(1, 8, 1), bounds=(1.0, 2.0),
                exemplar=(TRACE, f"{1:016x}"),
            ),
            Point("other", "s", "histogram", WEB, BEGAN, 9, buckets=(1, 8), bounds=(1.0,)),
        ]
    )  # fmt: skip
    metrics = api.get(f"/api/v1/traces/{TRACE}")["metrics"]
    assert [(metric["name"], metric["linked_by"]) for metric in metrics] == [
        ("duration", "exemplar"),
        ("requests", "resource"),
    ]
    assert [[point["value"] for point in metric["points"]] for metric in metrics] == [
        [2.0],
        [3.0, 1.0, 2.0],
    ]


@pytest.mark.parametrize(
    "count", [2_500, pytest.param(100_000, marks=pytest.mark.slow)], ids=["2,500", "100,000"]
)
def test_a_large_trace(loader: Loader, api: ApiClient, count: int) -> None:
    """It is streamed in chunks; each span has its own times."""
    spans = [
        _span(number, max(1, number // 50) if number > 1 else 0, number / 100, 2 * count / 100)
        for number in range(1, count + 1)
    ]
    for first in range(0, count, 20_000):
        loader.spans(spans[first : first + 20_000])
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert [span["span_id"] for span in answer["spans"]] == [span.id for span in spans]
    assert answer["span_count"] == count
    assert answer["complete"]
    assert answer["truncated"] is False
    begin = {span.id: span.start for span in spans}
    first_child: dict[str, int] = {}
    for span in spans:
        first_child.setdefault(span.parent, span.start)
    for result in answer["spans"]:
        id = result["span_id"]
        ids = first_child.get(id, spans[0].end) - begin[id]
        assert result["self_time_ms"] == pytest.approx(ids / 1e6)


def test_a_trace_that_is_too_large_is_truncated(
    loader: Loader, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.api.trace_view.MAX_SPANS", 5)
    loader.spans(_span(number, number - 1, number, 100) for number in range(1, 8))
    answer = api.get(f"/api/v1/traces/{TRACE}")
    assert len(answer["spans"]) == 5
    assert answer["truncated"] is True
    assert (answer["span_count"], answer["duration_ms"]) == (7, 99)


def test_traces_with_impossible_times(api: ApiClient, ingest: Ingest, tmp_path: Path) -> None:
    starts = [0, 4_102_444_800 * SECOND, 2**63 - 1, 2**64 - 1, BEGAN]
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number, start in enumerate(starts, 1):
        end = 2**63 + BEGAN // 2 if start == BEGAN else start
        scope.spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="when?",
            start_time_unix_nano=start, end_time_unix_nano=end,
        )  # fmt: skip
    load(ingest, tmp_path, ("traces", request.SerializeToString()))
    for number in range(1, len(starts) + 1):
        trace = api.get(f"/api/v1/traces/{number:032x}")
        assert [span["span_id"] for span in trace["spans"]] == [f"{number:016x}"]
    everything = api.get("/api/v1/traces", start="1970-01-01T00:00:00Z", end="2106-01-01T00:00:00Z")
    # A span without a start is stored with the time of its receipt.
    assert [int(trace["trace_id"], 16) for trace in everything["traces"]] == [2, 1, 5]


def test_an_event_without_a_time_is_at_the_start_of_its_span(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, times in enumerate(((BEGAN + 5, 0), (), (0, 0)), 1):
        span = spans.add(
            trace_id=b"e" * 16, span_id=number.to_bytes(8, "big"), name="s",
            start_time_unix_nano=BEGAN + number, end_time_unix_nano=BEGAN + 10,
        )  # fmt: skip
        for time in times:
            span.events.add(name="e", time_unix_nano=time)
    load(ingest, tmp_path, ("traces", request.SerializeToString()))
    trace = ApiClient(store).get(f"/api/v1/traces/{(b'e' * 16).hex()}")
    shown = {
        span["span_id"]: [event["time"] for event in span["events"]] for span in trace["spans"]
    }
    assert shown == {
        f"{1:016x}": [rfc3339(BEGAN + 5), rfc3339(BEGAN + 1)],
        f"{2:016x}": [],
        f"{3:016x}": [rfc3339(BEGAN + 3)] * 2,
    }
