"""Whole traces from their spans: what the settler writes, against plain Python."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from loading import rows, settle

from clew.storage import Ingest, Store
from clew.storage.settling import LARGE, Settling
from reference import Trace, calls, critical_path, firsts, self_times, traces_of
from traffic import KIND_NAMES, SECOND, Loader, Process, Span, tangle

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
