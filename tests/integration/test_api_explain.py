"""`explain=true`: the statements are what ran, and run again as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from clew.analysis.traces.settling import Settling
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.loading import make_edges
from support.reference import rfc3339, traces_of
from support.settled import Occurrence, insert_definitions, insert_occurrences, insert_settled
from support.traffic import MINUTE, SECOND, Generator, Loader, Log, Point, Process

BEGAN = 1_780_308_000 * SECOND
WEB = Process("web", "web-1")
HOSTILE = "it's \\ {start:String} \"x\" \n -- 'x'"
WINDOW = {"start": rfc3339(BEGAN - MINUTE), "end": rfc3339(BEGAN + 30 * MINUTE)}


@pytest.fixture(scope="module")
def store(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    generator = Generator(4, (WEB, Process("orders", "orders-1")))
    spans = [
        span
        for number in range(20)
        for span in generator.trace(WEB, HOSTILE, BEGAN + number * MINUTE)
    ]
    loader.spans(spans)
    traces = traces_of(spans)
    call = ("web", "db", "database", HOSTILE, 5, False)
    insert_settled(store, traces, {trace.id: [call] for trace in traces})
    insert_definitions(store, {"name": "Checkout", "match": {"service": "web"}})
    insert_occurrences(
        store,
        [
            Occurrence("checkout", HOSTILE, trace.start, 5, (trace.id,), trace.start + 5)
            for trace in traces
        ],
    )
    # More operations than are transactions of their own.
    many = Process("many", "many-1")
    loader.spans(
        span
        for number in range(201)
        for span in generator.trace(many, f"operation {number}", BEGAN + number)[:1]
    )
    loader.logs(
        Log(span.start, span.process, "INFO", HOSTILE, {HOSTILE: HOSTILE}, trace=span.trace)
        for span in spans
    )
    loader.logs(Log(span.start, span.process, "INFO", HOSTILE) for span in spans)
    roots = [span for span in spans if not span.parent]
    loader.points(
        Point(
            HOSTILE, HOSTILE, kind, WEB, root.start, number, {HOSTILE: HOSTILE},
            buckets=(number, 1), bounds=(1.0,), exemplar=(root.trace, root.id),
        )
        for kind in ("gauge", "sum", "histogram")
        for number, root in enumerate(roots)
    )  # fmt: skip
    with store.client() as client:
        client.raw_query(DEFINED, parameters={"key": HOSTILE})
        client.raw_query(INSERT_OCCURRENCE, parameters={"key": HOSTILE})
        client.raw_query(COUNTED, parameters={"key": HOSTILE})
    make_edges(Settling(store))
    return store


DEFINED = """
INSERT INTO otel.clew_occurrence_traces (Transaction, Key, TraceId, Start, End, `Entry.SpanId`, `Entry.Service`,
    `Entry.Operation`, `Entry.Start`, `Entry.Duration`, `Entry.IsError`, Version)
SELECT 'hostile', {key:String}, TraceId, min(Start), max(End), ['x'], ['web'], ['x'], [min(Start)], [1], [false], 1
FROM otel.clew_traces GROUP BY TraceId
"""
COUNTED = """
INSERT INTO otel.clew_attributes (Hour, Source, Key, ServiceName, Value, Count)
SELECT toDateTime(1780308000), 'span', arrayJoin([{key:String}, 'x']), 'web', {key:String}, 1
"""
INSERT_OCCURRENCE = """
INSERT INTO otel.clew_occurrences (Transaction, Key, Timestamp, TraceIds, Start, End, EntryTraceId, Version)
SELECT 'hostile', {key:String}, min(Start), groupUniqArray(TraceId), min(Start), max(End), any(TraceId), 1
FROM otel.clew_traces
UNION ALL
SELECT 'hostile', TraceId, min(Start), [TraceId], min(Start), max(End), TraceId, 1 FROM otel.clew_traces GROUP BY TraceId
"""


@pytest.fixture(scope="module")
def ids(store: Store) -> dict[str, str]:
    api = ApiClient(store)
    transactions = api.get("/api/v1/transactions", **WINDOW)["transactions"]
    transaction = next(row for row in transactions if row["operation"] == HOSTILE)
    (trace, *_) = api.get("/api/v1/traces", **WINDOW, service="orders")["traces"]
    return {"transaction": transaction["id"], "trace": trace["trace_id"]}


READS: dict[str, tuple[str, dict[str, Any]]] = {
    "transactions": ("/api/v1/transactions", {}),
    "transactions of an environment": ("/api/v1/transactions", {"environment": "prod"}),
    "transaction": ("/api/v1/transactions/{transaction}", {}),
    "heatmap": ("/api/v1/transactions/{transaction}/heatmap", {}),
    "instances": ("/api/v1/transactions/{transaction}/instances", {"limit": 3}),
    "traces": ("/api/v1/traces", {}),
    "traces by a span": (
        "/api/v1/traces",
        {"operation": HOSTILE, "attr": ["amount>-60", f"{HOSTILE}!={HOSTILE}"]},
    ),
    "traces of a transaction": ("/api/v1/traces", {"transaction": "{transaction}"}),
    "traces of a defined transaction": ("/api/v1/traces", {"transaction": "hostile"}),
    "traces by duration": ("/api/v1/traces", {"min_duration_ms": 0, "max_duration_ms": 1e300}),
    "trace": ("/api/v1/traces/{trace}", {}),
    "spans of a trace": ("/api/v1/traces/{trace}/spans", {"rows": "0-1"}),
    "logs of a trace": ("/api/v1/traces/{trace}/logs", {}),
    "logs": ("/api/v1/logs", {"query": "it x"}),
    "logs by attribute": ("/api/v1/logs", {"attr": f"{HOSTILE}~'s \\"}),
    "services": ("/api/v1/services", {}),
    "map": ("/api/v1/services/map", {"environment": "prod"}),
    "attributes": ("/api/v1/attributes", {"prefix": HOSTILE[:3]}),
    "values": ("/api/v1/attributes/x/values", {"service": "web"}),
    "compare": ("/api/v1/compare", {"attr": "amount>-60", "baseline_attr": f"{HOSTILE}!=x"}),
    "slow traces": ("/api/v1/compare", {"slow": "true", "transaction": "hostile"}),
    "a region": (
        "/api/v1/compare",
        {"min_duration_ms": 50, "baseline_max_duration_ms": 40, "transaction": "{transaction}"},
    ),
    "metrics": ("/api/v1/metrics", {}),
    "metrics of a service": ("/api/v1/metrics", {"service": "web", "prefix": HOSTILE[:5]}),
    "metric": (
        "/api/v1/metrics/query",
        {"name": HOSTILE, "by": [HOSTILE, "x"], "attr": f"{HOSTILE}={HOSTILE}"},
    ),
}


@pytest.mark.parametrize(("path", "parameters"), READS.values(), ids=READS.keys())
def test_the_statements_of_a_response_can_be_run(
    store: Store, ids: dict[str, str], path: str, parameters: dict[str, Any]
) -> None:
    parameters = {
        name: ids["transaction"] if value == "{transaction}" else value
        for name, value in parameters.items()
    }
    path = path.format(**ids)
    window = {} if path.startswith("/api/v1/traces/") else WINDOW
    plain = ApiClient(store).get(path, **window, **parameters)
    explained = ApiClient(store).get(path, **window, **parameters, explain="true")
    statements = explained.pop("sql")
    assert explained == plain
    assert statements
    with store.client() as client:
        results = [
            client.raw_query(statement, fmt="JSONEachRow").splitlines() for statement in statements
        ]
    # The first stretches of a search may contain nothing, and a trace need not have metrics of every
    # type; every service here sends spans.
    if path == "/api/v1/services":
        assert any(results)
    elif not path.startswith(("/api/v1/traces", "/api/v1/logs")):
        assert all(results), statements[results.index([])]
    assert any(results)
    assert all(isinstance(json.loads(rows[0]), dict) for rows in results if rows)


def test_statements_are_included_only_with_explain(store: Store) -> None:
    assert "sql" not in ApiClient(store).get("/api/v1/transactions", **WINDOW)
    assert "sql" not in ApiClient(store).get("/api/v1/transactions", **WINDOW, explain="false")
