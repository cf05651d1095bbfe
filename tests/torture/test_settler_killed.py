"""kill -9 in the middle of a pass of the settler: the next start makes of the stored spans what the
reference makes of them."""

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
from harness import Spoilt
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
INSERT = "clew.storage.statements:Statements.insert 1"
MOMENTS = {
    "the old rows are taken back": f"before {INSERT} settle_traces",
    "the traces are settled": f"after {INSERT} settle_traces",
    "what belongs to an occurrence is known": f"after {INSERT} 'occurrence_traces'",
    "the occurrences are written": f"after {INSERT} 'occurrences'",
}
SHORT = ("the old rows are taken back", "what belongs to an occurrence is known")

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
def spoilt(tmp_path: Path) -> Iterator[Spoilt]:
    definitions = tmp_path / "shop.yaml"
    definitions.write_text(YAML)
    running = Spoilt(tmp_path / "data", "--transactions", str(definitions), hasty="")
    yield running
    running.stop()


def made(number: int, began: int) -> list[Span]:
    """Root, call and what is called; two traces to an order."""
    start = began + number * SECOND
    root = Span(
        f"{number + 1:032x}", f"{number:08x}00000001", "", SHOP, "POST /checkout", SERVER,
        start, start + SECOND, attributes={"order.id": f"o-{number // 2}"},
    )  # fmt: skip
    call = replace(
        root, id=f"{number:08x}00000002", parent=root.id, name="POST", kind=CLIENT,
        start=start + 10, end=start + SECOND // 2, attributes={},
    )  # fmt: skip
    served = replace(
        call, id=f"{number:08x}00000003", parent=call.id, name="POST /take", kind=SERVER,
        process=STOCK, start=start + 20, end=start + SECOND // 3,
    )  # fmt: skip
    return [root, call, served]


def send(clew: Spoilt, spans: Sequence[Span]) -> None:
    url = f"{clew.endpoints['otlp_http']}/v1/traces"
    body = spans_request(spans).SerializeToString()
    assert httpx.post(url, content=body, headers=PROTOBUF).status_code == 200


def is_settled(clew: Spoilt, spans: Sequence[Span]) -> bool:
    """Whether the last thing that a pass makes says all that is to be said."""
    traces = traces_of(spans)
    edges = clew.get("/api/v1/services/map", start="-1h").json()["edges"]
    called = [edge["calls"] for edge in edges]
    path = "/api/v1/transactions/checkout/instances"
    instances = clew.get(path, start="-1h", limit=1000).json().get("instances", [])
    expected = occurrences_reference.occurrences(CHECKOUT, spans, []).values()
    return sum(called) == sum(sum(calls(trace).values()) for trace in traces) and sum(
        each["span_count"] for each in instances
    ) == sum(each["SpanCount"] for each in expected)


@pytest.mark.parametrize(
    "moments",
    [SHORT, pytest.param(tuple(MOMENTS), marks=pytest.mark.slow)],
    ids=["some moments", "every moment"],
)
def test_what_was_being_settled_is_settled(spoilt: Spoilt, moments: Sequence[str]) -> None:
    began = time.time_ns() // MINUTE * MINUTE - 5 * MINUTE
    waiting = [span for number in range(40) for span in made(number, began)]
    random.Random(1).shuffle(waiting)
    sent, waiting = waiting[:60], waiting[60:]
    send(spoilt, sent)
    for moment in moments:
        wait_for(partial(is_settled, spoilt, sent), 120, pause=0.5)
        spoilt.kill()
        spoilt.switch_on("kill", MOMENTS[moment])
        spoilt.start()
        more, waiting = waiting[:15], waiting[15:]
        send(spoilt, more)
        sent += more
        spoilt.dies()
        spoilt.start()
    wait_until_loaded(spoilt.data)
    wait_for(partial(is_settled, spoilt, sent), 120, pause=0.5)
    assert spoilt.stop() == 0
    check(spoilt, sent)


def check(clew: Spoilt, spans: Sequence[Span]) -> None:
    paths, edges, occurrences = ask(clew, PATHS, EDGES, OCCURRENCES)
    traces = {trace.id: trace for trace in traces_of(spans)}
    assert len(paths) == len(traces)
    for row in paths:
        trace = traces[row["TraceId"]]
        entry = trace.entry
        whole = (
            entry.service,
            entry.name,
            entry.duration,
            entry.is_error,
            trace.rank,
            len(trace.spans),
        )
        names = ("ServiceName", "SpanName", "Duration", "IsError", "Rank", "SpanCount")
        assert tuple(row[name] for name in names) == whole
        of = [row[f"Path.{name}"] for name in ("Service", "Operation", "Kind")]
        times = [row[f"Path.{name}"] for name in ("Calls", "Self", "Critical")]
        found = dict(zip(zip(*of, strict=True), map(list, zip(*times, strict=True)), strict=True))
        assert found == path_of(trace)
    called: Counter[tuple[Any, ...]] = Counter()
    for trace in traces.values():
        for (source, target, kind, *_), count in calls(trace).items():
            called[trace.entry.start // MINUTE * 60, source, target, kind] += count
    assert {tuple(row.values())[:4]: row["Count"] for row in edges} == called
    expected = occurrences_reference.occurrences(CHECKOUT, spans, [])
    assert {row["Key"] for row in occurrences} == expected.keys()
    for row in occurrences:
        meant = expected[row["Key"]]
        assert row["traces"] == sorted(meant["TraceIds"])
        for name in ("SpanCount", "IsError", "Attempts", "Working"):
            assert row[name] == meant[name]
        assert row["steps"] == meant["Step.Number"]
