"""The service map, against the calls that plain Python finds in the same spans; and autocomplete."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from clew.analysis.traces.settling import Settling
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.loading import make_edges, settle
from support.reference import Trace, calls, is_quantile, rfc3339, traces_of
from support.traffic import MINUTE, SECOND, SERVER, Generator, Loader, Process, Span, tangle

BEGAN = 1_780_308_000 * SECOND
MINUTES = 6
PROD = [Process(name, f"{name}-1") for name in ("web", "orders", "payments")]
STAGING = [Process("web", "web-s", environment="staging")]
NODE_TYPES = {"consumed": ("queue", "service")}


@dataclass(frozen=True)
class Dataset:
    api: ApiClient
    spans: list[Span]
    store: Store

    @property
    def traces(self) -> list[Trace]:
        return traces_of(self.spans)


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = emptied()
    choice = random.Random(21)
    generator = Generator(22, PROD)
    spans: list[Span] = []
    for _ in range(60):
        start = BEGAN + choice.randrange(MINUTES * MINUTE)
        spans += generator.trace(PROD[0], "GET /", start)
        # Calls to databases, hosts and queues; callers that are not stored; broken traces.
        spans += tangle(choice, [*PROD, *STAGING], choice.randint(2, 20), start)
    Loader(Ingest(store), tmp_path_factory.mktemp("segments")).spans(spans)
    settle(Settling(store))
    # Made twice: only rows of the newest version count.
    make_edges(Settling(store))
    return Dataset(ApiClient(store), spans, store)


WINDOWS = {
    "all": (BEGAN - MINUTE, BEGAN + (MINUTES + 1) * MINUTE),
    "cut": (BEGAN + MINUTE + 7 * SECOND, BEGAN + 3 * MINUTE + 1),
    "one": (BEGAN + 2 * MINUTE, BEGAN + 3 * MINUTE),
}


def _whole_minutes(window: str) -> tuple[int, int]:
    start, end = WINDOWS[window]
    return start // MINUTE * MINUTE, -(-end // MINUTE) * MINUTE


def _service_map(dataset: Dataset, window: str, **parameters: Any) -> dict[str, Any]:
    start, end = WINDOWS[window]
    parameters = {"start": rfc3339(start), "end": rfc3339(end), **parameters}
    return dict(dataset.api.get("/api/v1/services/map", **parameters))


def _node_id(kind: str, name: str) -> str:
    return f"{kind}:{name}" if name else kind


@pytest.mark.parametrize("environment", [None, "prod", "staging"])
@pytest.mark.parametrize("window", WINDOWS)
def test_edges_are_the_calls_between_spans(
    dataset: Dataset, window: str, environment: str | None
) -> None:
    start, end = _whole_minutes(window)
    expected: dict[tuple[str, str, str], list[tuple[int, bool]]] = defaultdict(list)
    for trace in dataset.traces:
        if not start <= trace.entry.start < end:
            continue
        if environment not in (None, trace.entry.process.environment):
            continue
        for (source, target, kind, _, duration, failed), count in calls(trace).items():
            node_types = NODE_TYPES.get(kind, ("service", kind))
            key = (
                _node_id(node_types[0], source) if source else "unknown",
                _node_id(node_types[1], target),
                kind,
            )
            expected[key] += [(duration, failed)] * count
    answer = _service_map(dataset, window, **({"environment": environment} if environment else {}))
    edges = {(edge["source"], edge["target"], edge["type"]): edge for edge in answer["edges"]}
    assert (answer["start"], answer["end"]) == (rfc3339(start), rfc3339(end))
    assert len(edges) == len(answer["edges"])
    assert {key: edge["calls"] for key, edge in edges.items()} == {
        key: len(calls_of_edge) for key, calls_of_edge in expected.items()
    }
    for key, edge in edges.items():
        durations = [duration for duration, _ in expected[key]]
        assert edge["errors"] == sum(failed for _, failed in expected[key])
        assert edge["error_rate"] == pytest.approx(edge["errors"] / edge["calls"])
        assert edge["per_second"] == pytest.approx(edge["calls"] / ((end - start) / SECOND))
        assert edge["duration_ms"]["max"] == max(durations) / 1e6
        assert is_quantile(edge["duration_ms"]["p95"] * 1e6, durations, 0.95)
    ids = {node["id"] for node in answer["nodes"]}
    assert {edge[end] for edge in answer["edges"] for end in ("source", "target")} <= ids
    assert answer["sampled"] is False


@pytest.mark.parametrize("window", WINDOWS)
def test_nodes_are_services_and_what_they_use(dataset: Dataset, window: str) -> None:
    start, end = _whole_minutes(window)
    received: dict[str, list[Span]] = defaultdict(list)
    internal: dict[str, list[Span]] = defaultdict(list)
    for span in dataset.spans:
        if start <= span.start < end:
            (received if span.kind in (SERVER, 5) else internal)[span.service].append(span)
    answer = _service_map(dataset, window)
    nodes = {node["id"]: node for node in answer["nodes"]}
    assert [node["id"] for node in answer["nodes"]] == sorted(nodes)
    for service in received.keys() | internal.keys():
        spans = received.get(service) or internal[service]
        node = nodes[f"service:{service}"]
        assert (node["type"], node["name"]) == ("service", service)
        assert node["calls"] == len(spans)
        assert node["errors"] == sum(span.is_error for span in spans)
        assert node["duration_ms"]["max"] == max(span.duration for span in spans) / 1e6
    incoming: Counter[str] = Counter()
    for edge in answer["edges"]:
        incoming[edge["target"]] += edge["calls"]
    for id, node in nodes.items():
        if node["type"] in ("database", "external") or (node["type"] == "queue" and incoming[id]):
            assert node["calls"] == incoming[id]
    if window == "all":
        assert {node["type"] for node in answer["nodes"]} == {
            "service", "database", "external", "queue", "unknown",
        }  # fmt: skip
        assert nodes["unknown"] == {
            "id": "unknown", "type": "unknown", "name": "",
            "calls": None, "errors": None, "error_rate": None, "duration_ms": None,
        }  # fmt: skip


def test_scaled_counts_are_marked(dataset: Dataset) -> None:
    with dataset.store.client() as client:
        client.raw_query(
            """INSERT INTO otel.clew_edges_1m
            SELECT * REPLACE (toDateTime('2026-06-02 10:00:00') AS Minute, 4 AS OneIn, 4 * Count AS Count)
            FROM otel.clew_edges_1m WHERE Source = 'web' LIMIT 1"""
        )
    parameters = {"start": "2026-06-02T10:00:00Z", "end": "2026-06-02T10:01:00Z"}
    answer = dataset.api.get("/api/v1/services/map", **parameters)
    assert answer["sampled"] is True
    assert answer["edges"][0]["calls"] % 4 == 0


AttributeCount = tuple[str, str, str, str, int, int]  # source, key, service, value, count, hour
COUNTS: list[AttributeCount] = [
    ("span", "http.route", "web", "/checkout", 7, 0),
    ("span", "http.route", "web", "/checkout", 5, 1),
    ("span", "http.route", "orders", "/orders/{id}", 9, 0),
    ("span", "http.request.method", "web", "GET", 30, 0),
    ("log", "http.route", "web", "/checkout", 2, 0),
    ("resource", "host.name", "web", "web-1", 40, 1),
    ("span", "it's; DROP TABLE x -- {key:String}/values", "web", "o'\\x", 1, 1),
    ("span", "HTTP.upper", "web", "x", 3, 2),
]


@pytest.fixture(scope="module")
def client(dataset: Dataset) -> ApiClient:
    with dataset.store.client() as client:
        client.insert(
            "otel.clew_attributes",
            [
                [(BEGAN // SECOND // 3600 + hour) * 3600, source, key, service, value, count]
                for source, key, service, value, count, hour in COUNTS
            ],
            column_names=["Hour", "Source", "Key", "ServiceName", "Value", "Count"],
            column_type_names=["UInt32", "String", "String", "String", "String", "UInt64"],
        )
    return dataset.api


FILTERS: list[tuple[dict[str, Any], Callable[[AttributeCount], bool]]] = [
    ({}, lambda row: True),
    ({"source": "span"}, lambda row: row[0] == "span"),
    ({"prefix": "http."}, lambda row: row[1].startswith("http.")),
    ({"prefix": "http.r", "source": "log"}, lambda row: row[0] == "log"),
    ({"service": "orders"}, lambda row: row[2] == "orders"),
    ({"prefix": "it's;"}, lambda row: row[1].startswith("it's;")),
    ({"prefix": "%"}, lambda row: False),
    ({"end": rfc3339(BEGAN + 60 * MINUTE)}, lambda row: row[5] == 0),
    ({"start": rfc3339(BEGAN + 90 * MINUTE)}, lambda row: row[5] > 0),
]


@pytest.mark.parametrize(
    ("parameters", "matches"), FILTERS, ids=[str(parameters) for parameters, _ in FILTERS]
)
def test_attributes_most_frequent_first(
    client: ApiClient, parameters: dict[str, Any], matches: Callable[[AttributeCount], bool]
) -> None:
    expected: Counter[tuple[str, str]] = Counter()
    for row in filter(matches, COUNTS):
        expected[row[1], row[0]] += row[4]
    window = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + 180 * MINUTE)}
    answer = client.get("/api/v1/attributes", **window | parameters)
    assert answer["attributes"] == [
        {"key": key, "source": source, "count": count}
        for (key, source), count in sorted(expected.items(), key=lambda item: (-item[1], item[0]))
    ]
    assert answer["truncated"] is False


def test_values_of_an_attribute(client: ApiClient) -> None:
    window = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + 180 * MINUTE)}

    def values(key: str, **parameters: Any) -> list[tuple[str, int]]:
        answer = client.get(f"/api/v1/attributes/{key}/values", **window, **parameters)
        assert answer["key"]
        return [(row["value"], row["count"]) for row in answer["values"]]

    assert values("http.route") == [("/checkout", 14), ("/orders/{id}", 9)]
    assert values("http.route", source="span", service="web") == [("/checkout", 12)]
    assert values("http.route", prefix="/o") == [("/orders/{id}", 9)]
    assert values("http.route", prefix="/O") == []
    assert values("it%27s%3B%20DROP%20TABLE%20x%20--%20%7Bkey%3AString%7D%2Fvalues") == [
        ("o'\\x", 1)
    ]
    assert values("no.such") == []
    assert values("http.route", sort="-count") == [("/orders/{id}", 9), ("/checkout", 14)]
    assert values("http.route", sort="value") == [("/checkout", 14), ("/orders/{id}", 9)]
    assert values("http.route", sort="-value") == [("/orders/{id}", 9), ("/checkout", 14)]
    keys = [row["key"] for row in client.get("/api/v1/attributes", **window)["attributes"]]
    for sort, is_reversed in (("key", False), ("-key", True)):
        answer = client.get("/api/v1/attributes", **window, sort=sort)
        assert [row["key"] for row in answer["attributes"]] == sorted(keys, reverse=is_reversed)
    answer = client.get("/api/v1/attributes/http.route/values", **window, limit=1)
    assert [row["value"] for row in answer["values"]] == ["/checkout"]
    assert answer["truncated"] is True
