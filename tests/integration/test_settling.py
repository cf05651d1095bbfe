"""Whole traces from their spans: the settler's rows, compared with plain Python."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clew.analysis.steps import Interval
from clew.analysis.traces import cursor as cursors
from clew.analysis.traces import settler as settlers
from clew.analysis.traces.attributes import HOUR_VALUES, Attributes, ValueQuota
from clew.analysis.traces.edges import Edges
from clew.analysis.traces.resettling import settle_older_rows
from clew.analysis.traces.settler import Settler
from clew.analysis.traces.settling import (
    LARGE_TRACE,
    Chunk,
    Sampling,
    Settling,
    settler_statements,
)
from clew.analysis.traces.targets import NAMES
from clew.storage import Ingest, Store
from clew.storage.rows import Rows
from clew.storage.statements import Statements
from support.loading import Running, rows, settle
from support.reference import (
    Trace,
    calls,
    counted_spans,
    critical_path,
    links,
    own_times,
    self_times,
    traces_of,
)
from support.traffic import (
    CLIENT,
    KIND_NAMES,
    MINUTE,
    SECOND,
    SERVER,
    Loader,
    Log,
    Process,
    Span,
    tangle,
)

PROCESSES = [Process(name, f"{name}-1", f"env-{name[:2]}") for name in ("shop", "stock", "pay")]
T0 = 1_700_000_000 * SECOND


@pytest.fixture
def settling(store: Store) -> Settling:
    return Settling(store)


@pytest.fixture
def loader(ingest: Ingest, tmp_path: Path) -> Loader:
    return Loader(ingest, tmp_path)


def tangles(seed: int, count: int, size: int) -> list[Span]:
    choice = random.Random(seed)
    return [
        span
        for number in range(count)
        for span in tangle(choice, PROCESSES, choice.randint(1, size), T0 + number * SECOND)
    ]


def settled(store: Store) -> dict[str, dict[str, Any]]:
    """By trace id, the rows of clew_settled as `expected` returns them."""
    settled_rows = rows(store, "SELECT * FROM otel.clew_settled FINAL")
    assert len({row["TraceId"] for row in settled_rows}) == len(settled_rows)
    return {row["TraceId"]: comparable(row) for row in settled_rows}


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    path = [row.pop(f"Path.{name}") for name in ("Service", "Operation", "Kind")]
    times = [row.pop(f"Path.{name}") for name in ("Calls", "Self", "Critical", "Most", "Link")]
    call = [
        row.pop(f"Call.{name}")
        for name in ("Source", "Target", "Type", "Summary", "Duration", "IsError")
    ]
    own = zip(*call[:3], row.pop("Call.Own"), strict=True)
    for name in ("Timestamp", "TraceId", "InsertedAt", "Version", "IsDeleted"):
        del row[name]
    return row | {
        "Path": dict(zip(zip(*path, strict=True), zip(*times, strict=True), strict=True)),
        "Call": Counter(zip(*call, strict=True)),
        "Own": Counter(own),
    }


def expected(trace: Trace) -> dict[str, Any]:
    entry, self_ns, path_ns = trace.entry, self_times(trace.spans), critical_path(trace)
    counted = {id(span) for span in counted_spans(trace.spans)}
    path: dict[tuple[str, str, str], list[int]] = {}
    waits, stored = links(trace), {span.id for span in trace.spans}
    for span in trace.spans:
        operation = (span.service, span.name, KIND_NAMES[span.kind])
        times = path.setdefault(operation, [0, 0, 0, 1, 0])
        times[0] += 1
        if id(span) in counted:
            times[1] += self_ns[span.id]
            times[2] += path_ns.get(span.id, 0)
            times[4] += waits.get(span.id, 0)
            if span.parent in stored - {span.id}:
                alike = [
                    (other.service, other.name, KIND_NAMES[other.kind]) == operation
                    and other.parent == span.parent != other.id
                    for other in counted_spans(trace.spans)
                ]
                times[3] = max(times[3], sum(alike))
    return {
        "ServiceName": entry.service,
        "SpanName": entry.name,
        "Environment": entry.process.environment,
        "Duration": entry.duration,
        "IsError": entry.is_error,
        "Rank": trace.rank,
        "Services": trace.services,
        "SpanCount": len(trace.spans),
        "Path": {key: tuple(times) for key, times in path.items()},
        "Call": calls(trace),
        "Own": own_times(trace),
        "OneIn": 1,
    }


# How many traces a pass expects: a statement computes many, Python computes few.
MANY, FEW = None, 0
BOTH_WAYS = pytest.mark.parametrize("traces", [MANY, FEW], ids=["statement", "python"])


@BOTH_WAYS
@pytest.mark.parametrize("size", [1, 3, 8, 40])
def test_a_trace_equals_the_reference(
    store: Store, loader: Loader, settling: Settling, size: int, traces: int | None
) -> None:
    spans = tangles(size, 60, size)
    loader.spans(spans)
    settle(settling, traces=traces)
    settled_rows = settled(store)
    for trace in traces_of(spans):
        assert settled_rows[trace.id] == expected(trace)
    (planned,) = rows(store, "SELECT count() AS traces FROM otel.clew_settling")
    assert planned["traces"] == (0 if traces == FEW else 60)


@BOTH_WAYS
def test_a_large_trace_equals_the_reference(
    store: Store, loader: Loader, settling: Settling, traces: int | None
) -> None:
    spans = tangle(random.Random(1), PROCESSES, 2 * LARGE_TRACE, T0)
    loader.spans(spans)
    settle(settling, traces=traces)
    (trace,) = traces_of(spans)
    assert settled(store) == {trace.id: expected(trace)}


def test_rows_of_other_writers_are_settled_alike_in_both_ways(
    store: Store, settling: Settling
) -> None:
    """Ids in capitals, short, too long, empty or none at all; attributes that are there twice or
    empty; older spellings; times before 1970; a duration that wrapped below zero."""
    choice = random.Random(12)
    ids = ["", "AB", "00000000000000ab", "1" * 16, "zz", "F" * 16, "1" * 32, "abc"]
    kinds = [
        "Client",
        "SPAN_KIND_CLIENT",
        "Server",
        "SPAN_KIND_CONSUMER",
        "Consumer",
        "",
        "Producer",
    ]
    names = [*NAMES, "http.host", "url.full", "db.query.summary"]
    texts = [
        "",
        "a/b/c",
        "https://x.example.com:80/p",
        "receive",
        " é ",
        "//",
        "user@host",
        "[::1]:5",
    ]
    spans = [
        (
            f"{number % 40:032x}",
            *(choice.choice(ids), choice.choice(ids)),
            choice.choice((-1, 0, 10**9, 10**9 + 1, T0)),
            choice.choice((0, 5, 10**9, 1 << 63, (1 << 64) - 5)),
            *(choice.choice("ab"), choice.choice("cd"), choice.choice(kinds)),
            choice.choice(("Error", "STATUS_CODE_ERROR", "Ok", "")),
            [choice.choice(names) for _ in range(choice.randint(0, 6))],
            [choice.choice(texts) for _ in range(6)],
        )
        for number in range(160)
    ]
    with store.client() as client:
        client.raw_query(
            """INSERT INTO otel.otel_traces (TraceId, SpanId, ParentSpanId, Timestamp, Duration, ServiceName, SpanName,
                SpanKind, StatusCode, SpanAttributes)
            SELECT s.1, s.2, s.3, fromUnixTimestamp64Nano(s.4), s.5, s.6, s.7, s.8, s.9,
                CAST(arrayZip(s.10, arraySlice(s.11, 1, length(s.10))), 'Map(LowCardinality(String), String)')
            FROM (SELECT arrayJoin({spans:Array(Tuple(String, String, String, Int64, UInt64, String, String, String, String,
                Array(String), Array(String)))}) AS s)""",
            parameters={"spans": spans},
        )
    results = []
    for traces in (MANY, FEW):
        settle(settling, traces=traces)
        results.append(settled(store))
        with store.client() as client:
            client.command("TRUNCATE TABLE otel.clew_settled")
    assert len(results[0]) == 40
    assert results[0] == results[1]


def forget_columns(store: Store) -> None:
    """Leave rows as they were before columns that came later."""
    with store.client() as client:
        client.command(
            "ALTER TABLE otel.clew_settled UPDATE `Path.Most` = arrayMap(x -> 0, `Path.Most`), "
            "`Path.Link` = arrayMap(x -> 0, `Path.Link`), `Call.Own` = arrayMap(x -> 0, `Call.Own`) "
            "WHERE 1 SETTINGS mutations_sync = 2"
        )


def test_rows_from_before_a_column_are_settled_again_with_their_weights(
    store: Store, loader: Loader, settling: Settling
) -> None:
    spans = tangles(21, 30, 5)
    loader.spans(spans)
    settle(settling, one_in=2)
    before = settled(store)
    forget_columns(store)
    assert settled(store) != before
    *_, last = settle_older_rows(
        settling, settling.statements, "1970-01-01 00:00:00", "2100-01-01 00:00:00"
    )
    assert settled(store) == before
    assert {row["OneIn"] for row in before.values()} == {2}
    assert (last.traces, last.total) == (len(before), len(before))
    assert not list(
        settle_older_rows(
            settling, settling.statements, "1970-01-01 00:00:00", "2100-01-01 00:00:00"
        )
    )


def test_what_the_settler_settles_meanwhile_is_newer_than_rows_settled_again(
    store: Store, loader: Loader, settling: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.analysis.traces.resettling.BATCH", 1)
    spans = tangles(22, 8, 6)
    late = spans[::5]
    loader.spans([span for span in spans if span not in late])
    settle(settling)
    forget_columns(store)
    work = settle_older_rows(
        settling, settling.statements, "1970-01-01 00:00:00", "2100-01-01 00:00:00"
    )
    next(work)  # the others are listed
    loader.spans(late)
    settle(settling)
    assert len(list(work)) > 1
    assert settled(store) == {trace.id: expected(trace) for trace in traces_of(spans)}


def test_a_pass_with_more_spans_than_python_computes_is_left_to_the_statement(
    store: Store, loader: Loader, settling: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.analysis.traces.settling.FEW_SPANS", 10)
    spans = tangles(2, 20, 5)
    loader.spans(spans)
    settle(settling, traces=FEW)
    assert settled(store) == {trace.id: expected(trace) for trace in traces_of(spans)}
    assert rows(store, "SELECT * FROM otel.clew_settling")


@pytest.mark.parametrize("ways", [[MANY], [FEW], [MANY, FEW]], ids=["statement", "python", "both"])
def test_rows_do_not_depend_on_the_order_in_which_spans_arrive(
    store: Store, loader: Loader, settling: Settling, ways: list[int | None]
) -> None:
    spans = tangles(3, 40, 12)
    random.Random(4).shuffle(spans)
    for number, first in enumerate(range(0, len(spans), 70)):
        loader.spans(spans[first : first + 70])
        settle(settling, traces=ways[number % len(ways)])
    assert settled(store) == {trace.id: expected(trace) for trace in traces_of(spans)}
    assert edges(store) == expected_edges(spans)


def edges(store: Store) -> dict[tuple[Any, ...], tuple[int, int, int, int]]:
    edge_rows = rows(
        store,
        """SELECT toUnixTimestamp(Minute) AS minute, Environment, Source, Target, Type, Count, Errors, DurationSum,
            DurationMax, finalizeAggregation(Sketch) AS quantiles FROM otel.clew_edges_1m FINAL
        WHERE (Minute, Version) IN (SELECT Minute, max(Version) FROM otel.clew_edges_1m GROUP BY Minute)""",
    )
    values = [tuple(row.values()) for row in edge_rows]
    assert {row[0] for row in values if row[2:5] == ("", "", "")} == {row[0] for row in values}
    return {row[:5]: row[5:9] for row in values if row[2:5] != ("", "", "")}


def expected_edges(spans: Sequence[Span]) -> dict[tuple[Any, ...], tuple[int, int, int, int]]:
    calls_by_edge: dict[tuple[Any, ...], list[tuple[int, bool]]] = {}
    for trace in traces_of(spans):
        minute = trace.entry.start // MINUTE * 60
        for (source, target, type, _, duration, is_error), number in calls(trace).items():
            edge = (minute, trace.entry.process.environment, source, target, type)
            calls_by_edge.setdefault(edge, []).extend([(duration, is_error)] * number)
    return {
        edge: (
            len(edge_calls),
            sum(is_error for _, is_error in edge_calls),
            sum(duration for duration, _ in edge_calls),
            max(duration for duration, _ in edge_calls),
        )
        for edge, edge_calls in calls_by_edge.items()
    }


def test_a_root_that_arrives_late_replaces_the_entry(
    store: Store, loader: Loader, settling: Settling
) -> None:
    root = Span("ab" * 16, "01" * 8, "", PROCESSES[0], "GET /", SERVER, T0, T0 + SECOND)
    call = replace(root, id="02" * 8, parent=root.id, kind=CLIENT, name="POST", start=T0 + 5)
    server = replace(call, id="03" * 8, parent=call.id, kind=SERVER, process=PROCESSES[1])
    for span, rank, entry in ((call, 2, "POST"), (server, 1, "POST"), (root, 0, "GET /")):
        loader.spans([span])
        settle(settling)
        (row,) = settled(store).values()
        assert (row["Rank"], row["SpanName"]) == (rank, entry)
    assert edges(store) == expected_edges([root, call, server])
    assert rows(
        store, "SELECT ServiceName, SpanName FROM otel.clew_entry_services FINAL ORDER BY ALL"
    ) == [
        {"ServiceName": "shop", "SpanName": "GET /"},
        {"ServiceName": "stock", "SpanName": "POST"},
    ]


@BOTH_WAYS
def test_interrupted_work_is_repeated(
    store: Store, loader: Loader, monkeypatch: pytest.MonkeyPatch, traces: int | None
) -> None:
    spans = tangles(5, 20, 8)
    loader.spans(spans[: len(spans) // 2])
    settle(Settling(store))
    loader.spans(spans[len(spans) // 2 :])

    class Interrupted(Statements):
        """Raises after `remaining` inserts."""

        remaining = 0

        def insert(self, *arguments: Any, **parameters: Any) -> None:
            self._count()
            super().insert(*arguments, **parameters)

        def insert_rows(self, rows: Rows) -> None:
            self._count()
            super().insert_rows(rows)

        def _count(self) -> None:
            if Interrupted.remaining == 0:
                raise InterruptedError
            Interrupted.remaining -= 1

    with monkeypatch.context() as patched:
        patched.setattr("clew.analysis.traces.settling.Statements", Interrupted)
        for inserts in range(4 if traces is MANY else 2):
            Interrupted.remaining = inserts
            with pytest.raises(InterruptedError):
                settle(Settling(store), traces=traces)
    settle(Settling(store), traces=traces)
    assert settled(store) == {trace.id: expected(trace) for trace in traces_of(spans)}
    assert edges(store) == expected_edges(spans)


def test_under_overload_a_sample_of_the_traces_is_settled(
    store: Store, loader: Loader, settling: Settling
) -> None:
    spans = tangles(6, 400, 4)
    late = [
        replace(trace.spans[0], id=f"{number:016x}")
        for number, trace in enumerate(traces_of(spans))
    ]
    loader.spans(spans)
    settle(settling, one_in=4)
    sample = settled(store)
    assert {row["OneIn"] for row in sample.values()} == {4}
    assert abs(len(sample) - 100) < 4 * math.sqrt(400 * 0.25 * 0.75)
    total = sum(count for count, *_ in expected_edges(spans).values())
    assert sum(count for count, *_ in edges(store).values()) == pytest.approx(total, rel=0.4)
    # After the overload: skipped traces stay skipped, settled traces keep their weight, and a new
    # trace counts for itself.
    loader.spans(late)
    new = tangle(random.Random(7), PROCESSES, 3, T0 + 4000 * SECOND)
    loader.spans(new)
    settle(settling, sampling=Sampling(4, 0, T0 // SECOND + 3600))
    updated = settled(store)
    assert {id: row["OneIn"] for id, row in updated.items()} == {
        **dict.fromkeys(sample, 4),
        new[0].trace: 1,
    }
    assert all(updated[id]["SpanCount"] == sample[id]["SpanCount"] + 1 for id in sample)


# The thread


class RecordedOccurrences:
    """An OccurrenceSettler that records its calls."""

    def __init__(self) -> None:
        self.traces: Counter[str] = Counter()
        self.versions: list[int] = []
        self.stopped = False

    def log_attributes(self) -> list[str]:
        return ["order"]

    def settle(self, trace_ids: Sequence[str], start: str, end: str, version: int) -> None:
        assert start <= end
        self.traces.update(trace_ids)
        self.versions.append(version)

    def stop(self) -> None:
        self.stopped = True


@contextmanager
def running(store: Store, occurrences: RecordedOccurrences | None = None) -> Iterator[Settler]:
    statements = settler_statements(store)
    steps = (Edges(statements), Attributes(statements))
    settler = Settler(store, occurrences, statements, steps)
    settler.start()
    try:
        yield settler
    finally:
        assert settler.close(30)
        assert occurrences is None or occurrences.stopped


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlers, "REST_FACTOR", 0)
    monkeypatch.setattr(settlers, "MIN_REST", 0.05)
    monkeypatch.setattr(Edges, "every", 0.1)


@pytest.mark.usefixtures("short_rests")
def test_the_thread_settles_new_traces_and_continues_after_a_restart(
    store: Store, loader: Loader
) -> None:
    spans = tangles(8, 30, 6)
    early, late = spans[::2], spans[1::2]
    occurrences = RecordedOccurrences()
    loader.spans(early)
    log = Log(T0, PROCESSES[0], "INFO", "no span", {"order": "o-1"}, trace="ef" * 16)
    other = replace(log, attributes={"cart": "c-1"}, trace="fe" * 16)
    with running(store, occurrences) as settler:  # traces from before it started
        wait_for(lambda: len(settled(store)) == len(traces_of(early)))
        loader.logs([other, log])
        settler.wake()
        wait_for(lambda: log.trace in occurrences.traces)
    assert set(occurrences.traces) == {span.trace for span in early} | {log.trace}
    loader.spans(late)
    with running(store, occurrences):
        all_traces = {trace.id: expected(trace) for trace in traces_of(spans)}
        wait_for(lambda: settled(store) == all_traces)
        wait_for(lambda: edges(store) == expected_edges(spans))
    assert occurrences.versions == sorted(occurrences.versions)
    newest_version = rows(store, "SELECT max(Version) AS v FROM otel.clew_settled")
    with running(store) as settler:
        settler.wake()
        time.sleep(1)
    assert rows(store, "SELECT max(Version) AS v FROM otel.clew_settled") == newest_version


def test_a_backlog_is_settled_without_long_rests(
    store: Store, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlers, "MIN_REST", 3600.0)
    monkeypatch.setattr(cursors, "PASS_TRACES", 5)
    monkeypatch.setattr(cursors, "RECENT_SECONDS", 0)
    spans = tangles(10, 30, 6)
    for third in range(3):  # each in a second of its own, and so in a pass of its own
        loader.spans([span for span in spans if int(span.trace, 16) % 3 == third])
        time.sleep(1.1)
    with running(store):
        wait_for(lambda: len(settled(store)) == len(traces_of(spans)))


@pytest.mark.usefixtures("short_rests")
def test_a_trace_that_cannot_be_settled_is_skipped(
    store: Store, loader: Loader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spans = tangles(9, 20, 3)
    bad_trace = spans[0].trace
    settle_chunk = Settling.settle

    def settle_all_but_one(self: Settling, chunk: Chunk) -> None:
        if bad_trace in self.trace_ids(chunk):
            raise RuntimeError("the trace is bad")
        settle_chunk(self, chunk)

    monkeypatch.setattr(Settling, "settle", settle_all_but_one)
    monkeypatch.setattr(settlers, "MAX_PASS_PAUSE", 0.05)
    loader.spans(spans)
    with running(store):
        wait_for(lambda: len(settled(store)) == 19)
    assert f"cannot be settled: {bad_trace}: the trace is bad" in caplog.text


def test_a_paused_settler_writes_nothing(store: Store, loader: Loader) -> None:
    spans = tangles(10, 5, 3)
    loader.spans(spans)
    settler = Settler(store)
    with settler.paused():
        settler.start()
        time.sleep(0.5)
        assert settled(store) == {}
    wait_for(lambda: len(settled(store)) == 5)
    assert settler.close(30)


def test_an_interval_counts_once_and_values_are_limited(
    store: Store, loader: Loader, settling: Settling
) -> None:
    spans = [
        replace(span, attributes={"route": f"/{n % 3}", "user": f"u{n}", "text": "x" * 1000})
        for n, span in enumerate(tangles(11, 100, 3))
    ]
    loader.spans(spans)
    loader.logs([Log(T0, PROCESSES[0], "INFO", "b", {"order": "o-1"})])
    step = Attributes(settling.statements)
    for until in (1 << 31, 1 << 32):  # interrupted, and repeated with a later end
        step.run(Interval(0, until, settling.next_version()), Running())
    counts = {
        (row["Source"], row["Key"], row["Value"]): row["n"]
        for row in rows(
            store,
            "SELECT Source, Key, Value, sum(number) AS n FROM (SELECT Source, Key, Value, "
            "arraySum(mapValues(maxMap(Counts))) AS number FROM otel.clew_attributes "
            "GROUP BY Hour, Source, Key, ServiceName, Value) GROUP BY ALL",
        )
    }
    routes = Counter(f"/{n % 3}" for n in range(len(spans)))
    assert {value: n for (_, key, value), n in counts.items() if key == "route"} == routes
    assert counts["span", "text", ""] == len(spans)
    assert counts["log", "order", "o-1"] == 1
    assert sum(n for (_, key, _), n in counts.items() if key == "user") == len(spans)
    assert sum(n for (source, key, _), n in counts.items() if key == "service.name") == 1 + len(
        spans
    )


def test_a_key_with_many_values_does_not_fill_the_table() -> None:
    quota = ValueQuota()
    for batch in range(100):
        chosen = quota.choose(
            [
                {"hour": 0, "source": "span", "key": "id", "service": "s", "value": f"{batch}-{n}", "count": 1, "total": 60}
                for n in range(50)
            ]
        )  # fmt: skip
        assert sum(attribute.rows for attribute in chosen) == 60
    assert len(chosen) == 1
    assert len(quota._hours[0]["span", "id", "s"]) == HOUR_VALUES
