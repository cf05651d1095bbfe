"""Whole traces from their spans: what the settler writes, against plain Python."""

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
from clew.analysis.traces import settler as settlers
from clew.analysis.traces.attributes import VALUES_IN_AN_HOUR, Attributes, ValueQuota
from clew.analysis.traces.edges import Edges
from clew.analysis.traces.settler import Settler
from clew.analysis.traces.settling import (
    LARGE,
    Chunk,
    Settling,
    statements_of,
)
from clew.storage import Ingest, Store
from clew.storage.statements import Statements
from support.loading import Running, rows, settle
from support.reference import Trace, calls, critical_path, firsts, self_times, traces_of
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
    found = rows(store, "SELECT * FROM otel.clew_settled FINAL")
    assert len({row["TraceId"] for row in found}) == len(found)
    return {row["TraceId"]: as_plain(row) for row in found}


def as_plain(row: dict[str, Any]) -> dict[str, Any]:
    path = [row.pop(f"Path.{name}") for name in ("Service", "Operation", "Kind")]
    times = [row.pop(f"Path.{name}") for name in ("Calls", "Self", "Critical")]
    call = [
        row.pop(f"Call.{name}")
        for name in ("Source", "Target", "Type", "Summary", "Duration", "IsError")
    ]
    for name in ("Timestamp", "TraceId", "InsertedAt", "Version", "IsDeleted"):
        del row[name]
    return row | {
        "Path": dict(zip(zip(*path, strict=True), zip(*times, strict=True), strict=True)),
        "Call": Counter(zip(*call, strict=True)),
    }


def expected(trace: Trace) -> dict[str, Any]:
    entry, own, on_path = trace.entry, self_times(trace.spans), critical_path(trace)
    meant = {id(span) for span in firsts(trace.spans)}
    path: dict[tuple[str, str, str], list[int]] = {}
    for span in trace.spans:
        times = path.setdefault((span.service, span.name, KIND_NAMES[span.kind]), [0, 0, 0])
        times[0] += 1
        if id(span) in meant:
            times[1] += own[span.id]
            times[2] += on_path.get(span.id, 0)
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
        "OneIn": 1,
    }


@pytest.mark.parametrize("size", [1, 3, 8, 40])
def test_a_trace_is_what_the_reference_makes_of_it(
    store: Store, loader: Loader, settling: Settling, size: int
) -> None:
    spans = tangles(size, 60, size)
    loader.spans(spans)
    settle(settling)
    found = settled(store)
    for trace in traces_of(spans):
        assert found[trace.id] == expected(trace)


def test_a_large_trace_is_what_the_reference_makes_of_it(
    store: Store, loader: Loader, settling: Settling
) -> None:
    spans = tangle(random.Random(1), PROCESSES, 2 * LARGE, T0)
    loader.spans(spans)
    settle(settling)
    (trace,) = traces_of(spans)
    assert settled(store) == {trace.id: expected(trace)}


def test_in_whatever_order_spans_come_the_rows_are_the_same(
    store: Store, loader: Loader, settling: Settling
) -> None:
    spans = tangles(3, 40, 12)
    random.Random(4).shuffle(spans)
    for first in range(0, len(spans), 70):
        loader.spans(spans[first : first + 70])
        settle(settling)
    assert settled(store) == {trace.id: expected(trace) for trace in traces_of(spans)}
    assert edges(store) == expected_edges(spans)


def edges(store: Store) -> dict[tuple[Any, ...], tuple[int, int, int, int]]:
    found = rows(
        store,
        """SELECT toUnixTimestamp(Minute) AS minute, Environment, Source, Target, Type, Count, Errors, DurationSum,
            DurationMax, finalizeAggregation(Sketch) AS quantiles FROM otel.clew_edges_1m FINAL
        WHERE (Minute, Version) IN (SELECT Minute, max(Version) FROM otel.clew_edges_1m GROUP BY Minute)""",
    )
    values = [tuple(row.values()) for row in found]
    assert {row[0] for row in values if row[2:5] == ("", "", "")} == {row[0] for row in values}
    return {row[:5]: row[5:9] for row in values if row[2:5] != ("", "", "")}


def expected_edges(spans: Sequence[Span]) -> dict[tuple[Any, ...], tuple[int, int, int, int]]:
    found: dict[tuple[Any, ...], list[tuple[int, bool]]] = {}
    for trace in traces_of(spans):
        minute = trace.entry.start // MINUTE * 60
        for (source, target, type, _, duration, failed), number in calls(trace).items():
            edge = (minute, trace.entry.process.environment, source, target, type)
            found.setdefault(edge, []).extend([(duration, failed)] * number)
    return {
        edge: (
            len(each),
            sum(failed for _, failed in each),
            sum(duration for duration, _ in each),
            max(duration for duration, _ in each),
        )
        for edge, each in found.items()
    }


def test_a_root_that_comes_late_takes_the_place_of_what_stood_for_it(
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


def test_what_was_cut_short_is_done_again(
    store: Store, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = tangles(5, 20, 8)
    loader.spans(spans[: len(spans) // 2])
    settle(Settling(store))
    loader.spans(spans[len(spans) // 2 :])

    class Cut(Statements):
        """Ends after so many statements that write."""

        left = 0

        def insert(self, *arguments: Any, **parameters: Any) -> None:
            if Cut.left == 0:
                raise InterruptedError
            Cut.left -= 1
            super().insert(*arguments, **parameters)

    with monkeypatch.context() as patched:
        patched.setattr("clew.analysis.traces.settling.Statements", Cut)
        for cut_after in range(4):
            Cut.left = cut_after
            with pytest.raises(InterruptedError):
                settle(Settling(store))
    settle(Settling(store))
    assert settled(store) == {trace.id: expected(trace) for trace in traces_of(spans)}
    assert edges(store) == expected_edges(spans)


def test_of_more_than_can_be_settled_some_stand_for_all(
    store: Store, loader: Loader, settling: Settling
) -> None:
    spans = tangles(6, 400, 4)
    late = [replace(each[0], id=f"{n:016x}") for n, each in enumerate(by_trace(spans))]
    loader.spans(spans)
    settle(settling, one_in=4)
    drawn = settled(store)
    assert {row["OneIn"] for row in drawn.values()} == {4}
    assert abs(len(drawn) - 100) < 4 * math.sqrt(400 * 0.25 * 0.75)
    total = sum(count for count, *_ in expected_edges(spans).values())
    assert sum(count for count, *_ in edges(store).values()) == pytest.approx(total, rel=0.4)
    # Later, when there is no hurry any more: who was passed over does not come in, who was drawn
    # keeps the weight, and a trace that is new counts for itself.
    loader.spans(late)
    new = tangle(random.Random(7), PROCESSES, 3, T0 + 4000 * SECOND)
    loader.spans(new)
    thinned = {"thinned": 4, "thinned_since": 0, "thinned_until": T0 // SECOND + 3600}
    settle(settling, **thinned)
    again = settled(store)
    assert {id: row["OneIn"] for id, row in again.items()} == {
        **dict.fromkeys(drawn, 4),
        new[0].trace: 1,
    }
    assert all(again[id]["SpanCount"] == drawn[id]["SpanCount"] + 1 for id in drawn)


def by_trace(spans: Sequence[Span]) -> list[tuple[Span, ...]]:
    return [trace.spans for trace in traces_of(spans)]


# The thread


class Heard:
    """Definitions that note what they are asked for."""

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
def running(store: Store, heard: Heard | None = None) -> Iterator[Settler]:
    statements = statements_of(store)
    steps = (Edges(statements), Attributes(store, statements))
    settler = Settler(store, heard, statements, steps)
    settler.start()
    try:
        yield settler
    finally:
        assert settler.close(30)
        assert heard is None or heard.stopped


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlers, "REST", 0)
    monkeypatch.setattr(settlers, "SHORTEST_REST", 0.05)
    monkeypatch.setattr(Edges, "every", 0.1)


@pytest.mark.usefixtures("hasty")
def test_the_thread_settles_what_comes_and_a_restart_goes_on(store: Store, loader: Loader) -> None:
    spans = tangles(8, 30, 6)
    here, there = spans[::2], spans[1::2]
    heard = Heard()
    loader.spans(here)
    log = Log(T0, PROCESSES[0], "INFO", "no span", {"order": "o-1"}, trace="ef" * 16)
    other = replace(log, attributes={"cart": "c-1"}, trace="fe" * 16)
    with running(store, heard) as settler:  # what was there before it started
        wait_for(lambda: len(settled(store)) == len(traces_of(here)))
        loader.logs([other, log])
        settler.wake()
        wait_for(lambda: log.trace in heard.traces)
    assert set(heard.traces) == {span.trace for span in here} | {log.trace}
    loader.spans(there)
    with running(store, heard):
        everything = {trace.id: expected(trace) for trace in traces_of(spans)}
        wait_for(lambda: settled(store) == everything)
        wait_for(lambda: edges(store) == expected_edges(spans))
    assert heard.versions == sorted(heard.versions)
    written = rows(store, "SELECT max(Version) AS v FROM otel.clew_settled")
    with running(store) as settler:
        settler.wake()
        time.sleep(1)
    assert rows(store, "SELECT max(Version) AS v FROM otel.clew_settled") == written


@pytest.mark.usefixtures("hasty")
def test_a_trace_that_cannot_be_settled_is_left_out(
    store: Store, loader: Loader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spans = tangles(9, 20, 3)
    bad = spans[0].trace
    settle_chunk = Settling.settle

    def settle_all_but_one(self: Settling, chunk: Chunk) -> None:
        if bad in self.trace_ids(chunk):
            raise RuntimeError("it is a bad one")
        settle_chunk(self, chunk)

    monkeypatch.setattr(Settling, "settle", settle_all_but_one)
    monkeypatch.setattr(settlers, "LONGEST_PAUSE", 0.05)
    loader.spans(spans)
    with running(store):
        wait_for(lambda: len(settled(store)) == 19)
    assert f"left out: {bad}: it is a bad one" in caplog.text


def test_nothing_is_written_while_it_is_paused(store: Store, loader: Loader) -> None:
    spans = tangles(10, 5, 3)
    loader.spans(spans)
    settler = Settler(store)
    with settler.paused():
        settler.start()
        time.sleep(0.5)
        assert settled(store) == {}
    wait_for(lambda: len(settled(store)) == 5)
    assert settler.close(30)


def test_attributes_are_counted_once_and_in_bounds(
    store: Store, loader: Loader, settling: Settling
) -> None:
    spans = [
        replace(span, attributes={"route": f"/{n % 3}", "user": f"u{n}", "text": "x" * 1000})
        for n, span in enumerate(tangles(11, 100, 3))
    ]
    loader.spans(spans)
    loader.logs([Log(T0, PROCESSES[0], "INFO", "b", {"order": "o-1"})])
    step = Attributes(store, settling.statements)
    for until in (1 << 31, 1 << 32):  # cut short and done again, with more to see
        step.run(Interval(0, until, settling.next_version()), Running())
    found = {
        (row["Source"], row["Key"], row["Value"]): row["n"]
        for row in rows(
            store,
            "SELECT Source, Key, Value, sum(number) AS n FROM (SELECT Source, Key, Value, "
            "arraySum(mapValues(maxMap(Counts))) AS number FROM otel.clew_attributes "
            "GROUP BY Hour, Source, Key, ServiceName, Value) GROUP BY ALL",
        )
    }
    routes = Counter(f"/{n % 3}" for n in range(len(spans)))
    assert {value: n for (_, key, value), n in found.items() if key == "route"} == routes
    assert found["span", "text", ""] == len(spans)
    assert found["log", "order", "o-1"] == 1
    assert sum(n for (_, key, _), n in found.items() if key == "user") == len(spans)
    assert sum(n for (source, key, _), n in found.items() if key == "service.name") == 1 + len(
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
        assert sum(attribute.number for attribute in chosen) == 60
    assert len(chosen) == 1
    assert len(quota._hours[0]["span", "id", "s"]) == VALUES_IN_AN_HOUR
