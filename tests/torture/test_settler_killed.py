"""kill -9 in the middle of a pass of the settler: after the next start, the analysis tables equal the
reference's results for the stored spans."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import FaultyClew
from oracle import PROTOBUF, wait_for

from clew.analysis.transactions.definitions import read
from support import occurrences_reference
from support.reference import calls, traces_of
from support.settled import path_of
from support.stored import ask, wait_until_loaded
from support.traffic import CLIENT, MINUTE, SECOND, SERVER, Process, Span, spans_request

SHOP, STOCK = Process("shop", "shop-1"), Process("stock", "stock-1")
YAML = """
transactions:
  - {name: Checkout, match: {service: shop}, key: order.id, steps: [{name: take, match: {service: stock}}]}
"""
(CHECKOUT,) = read(YAML.encode())
INSERT_ROWS = "clew.storage.statements:Statements.insert_rows 1"
MOMENTS = {
    "before the traces are settled": f"before {INSERT_ROWS} 'clew_settled'",
    "after the traces are settled": f"after {INSERT_ROWS} 'clew_settled'",
    "after the traces of occurrences are written": f"after {INSERT_ROWS} 'clew_occurrence_traces'",
    "after the occurrences are written": f"after {INSERT_ROWS} 'clew_occurrences'",
}
SHORT = ("after the traces of occurrences are written",)

PATHS = """
SELECT TraceId, ServiceName, SpanName, Duration, IsError, Rank, SpanCount, `Path.Service`, `Path.Operation`,
    `Path.Kind`, `Path.Calls`, `Path.Self`, `Path.Critical` FROM otel.clew_settled FINAL
WHERE ServiceName IN ('shop', 'stock')"""
EDGES = """
SELECT toUnixTimestamp(Minute) AS minute, Source, Target, Type, Count FROM otel.clew_edges_1m FINAL
WHERE (Minute, Version) IN (SELECT Minute, max(Version) FROM otel.clew_edges_1m GROUP BY Minute)
    AND Target != ''"""
OCCURRENCES = """
SELECT Key, arraySort(TraceIds) AS traces, SpanCount, IsError, Attempts, Working, `Step.Number` AS steps
FROM otel.clew_occurrences FINAL"""


@pytest.fixture
def clew(tmp_path: Path) -> Iterator[FaultyClew]:
    definitions = tmp_path / "shop.yaml"
    definitions.write_text(YAML)
    running = FaultyClew(
        tmp_path / "data", "--transactions", str(definitions), hasty="", unasked=""
    )
    yield running
    running.stop()


def checkout(number: int, first_start: int) -> list[Span]:
    """A trace of three spans: root, call, and server. Two traces have the same order id."""
    start = first_start + number * SECOND
    root = Span(
        f"{number + 1:032x}", f"{number:08x}00000001", "", SHOP, "POST /checkout", SERVER,
        start, start + SECOND, attributes={"order.id": f"o-{number // 2}"},
    )  # fmt: skip
    call = replace(
        root, id=f"{number:08x}00000002", parent=root.id, name="POST", kind=CLIENT,
        start=start + 10, end=start + SECOND // 2, attributes={},
    )  # fmt: skip
    server = replace(
        call, id=f"{number:08x}00000003", parent=call.id, name="POST /take", kind=SERVER,
        process=STOCK, start=start + 20, end=start + SECOND // 3,
    )  # fmt: skip
    return [root, call, server]


def send(clew: FaultyClew, spans: Sequence[Span]) -> None:
    url = f"{clew.endpoints['otlp_http']}/v1/traces"
    body = spans_request(spans).SerializeToString()
    assert httpx.post(url, content=body, headers=PROTOBUF).status_code == 200


def is_settled(clew: FaultyClew, spans: Sequence[Span]) -> bool:
    """Whether the results of a pass's last step include all spans."""
    traces = traces_of(spans)
    edges = clew.get("/api/v1/services/map", start="-1h").json()["edges"]
    call_counts = [edge["calls"] for edge in edges]
    path = "/api/v1/transactions/checkout/instances"
    instances = clew.get(path, start="-1h", limit=1000).json().get("instances", [])
    expected = occurrences_reference.occurrences(CHECKOUT, spans, []).values()
    expected_calls = sum(sum(calls(trace).values()) for trace in traces)
    span_count = sum(instance["span_count"] for instance in instances)
    expected_spans = sum(occurrence["SpanCount"] for occurrence in expected)
    return sum(call_counts) == expected_calls and span_count == expected_spans


@pytest.mark.parametrize(
    "moments",
    [SHORT, pytest.param(tuple(MOMENTS), marks=pytest.mark.slow)],
    ids=["one moment", "every moment"],
)
def test_a_pass_that_was_killed_is_repeated(clew: FaultyClew, moments: Sequence[str]) -> None:
    start = time.time_ns() // MINUTE * MINUTE - 5 * MINUTE
    unsent = [span for number in range(40) for span in checkout(number, start)]
    random.Random(1).shuffle(unsent)
    sent, unsent = unsent[:60], unsent[60:]
    send(clew, sent)
    for moment in moments:
        wait_for(partial(is_settled, clew, sent), 120, pause=0.5)
        clew.kill()
        clew.switch_on("kill", MOMENTS[moment])
        clew.start()
        batch, unsent = unsent[:15], unsent[15:]
        send(clew, batch)
        sent += batch
        clew.wait_until_dead()
        clew.start()
    wait_until_loaded(clew.data)
    wait_for(partial(is_settled, clew, sent), 120, pause=0.5)
    assert clew.stop() == 0
    check(clew, sent)


def check(clew: FaultyClew, spans: Sequence[Span]) -> None:
    paths, edges, occurrences = ask(clew, PATHS, EDGES, OCCURRENCES)
    traces = {trace.id: trace for trace in traces_of(spans)}
    assert len(paths) == len(traces)
    for row in paths:
        trace = traces[row["TraceId"]]
        entry = trace.entry
        expected_row = (
            entry.service,
            entry.name,
            entry.duration,
            entry.is_error,
            trace.rank,
            len(trace.spans),
        )
        names = ("ServiceName", "SpanName", "Duration", "IsError", "Rank", "SpanCount")
        assert tuple(row[name] for name in names) == expected_row
        keys = [row[f"Path.{name}"] for name in ("Service", "Operation", "Kind")]
        times = [row[f"Path.{name}"] for name in ("Calls", "Self", "Critical")]
        path = dict(zip(zip(*keys, strict=True), map(list, zip(*times, strict=True)), strict=True))
        assert path == path_of(trace)
    expected_calls: Counter[tuple[Any, ...]] = Counter()
    for trace in traces.values():
        for (source, target, kind, *_), count in calls(trace).items():
            expected_calls[trace.entry.start // MINUTE * 60, source, target, kind] += count
    assert {tuple(row.values())[:4]: row["Count"] for row in edges} == expected_calls
    expected = occurrences_reference.occurrences(CHECKOUT, spans, [])
    assert {row["Key"] for row in occurrences} == expected.keys()
    for row in occurrences:
        occurrence = expected[row["Key"]]
        assert row["traces"] == sorted(occurrence["TraceIds"])
        for name in ("SpanCount", "IsError", "Attempts", "Working"):
            assert row[name] == occurrence[name]
        assert row["steps"] == occurrence["Step.Number"]
