"""Jaeger's UI: the requests of its pages, as it sends them, and what it needs of the answers.

The UI is not published as a package, so it cannot run here. Its versions 2.19 and 2.20 name the
parameters of a search in two ways; they read traces from `/api/traces`, later ones from
`/api/v3/traces`, whose answers they check strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.traffic import MICROSECOND, SECOND, Event, Generator, Loader, Process, Span

BEGAN = 1_780_308_000 * SECOND
START, END = BEGAN // MICROSECOND, (BEGAN + 3600 * SECOND) // MICROSECOND
SHOP, STOCK = Process("shop", "shop-1"), Process("stock/eu", "stock-1")
TRACE_ID, SPAN_ID = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")
ANY_VALUE = {
    "stringValue": str,
    "boolValue": bool,
    "intValue": str,
    "doubleValue": (int, float),
    "bytesValue": str,
}


@pytest.fixture
def spans() -> list[Span]:
    generator = Generator(5, (SHOP, STOCK))
    return [
        span
        for number in range(30)
        for span in generator.trace(SHOP, "POST /orders", BEGAN + number * 60 * SECOND)
    ]


@pytest.fixture
def api(store: Store, ingest: Ingest, tmp_path: Path, spans: list[Span]) -> ApiClient:
    Loader(ingest, tmp_path).spans(spans)
    return ApiClient(store)


SEARCHES = [
    # 2.19: the search form's values under the older names; `all` operations are no operation
    {
        "query.service_name": "shop",
        "query.start_time_min": "2026-06-01T10:00:00.000Z",
        "query.start_time_max": "2026-06-01T11:00:00.000Z",
        "query.num_traces": "20",
    },
    {
        "query.service_name": "shop",
        "query.span_name": "POST /orders",
        "query.start_time_min": "2026-06-01T10:00:00.000Z",
        "query.start_time_max": "2026-06-01T11:00:00.000Z",
        "query.num_traces": "20",
        "query.duration_min": "1us",
        "query.duration_max": "1h",
        "query.attributes": json.dumps({"http.response.status_code": "200"}),
    },
    # 2.20: without a service, all of them
    {
        "query.startTimeMin": "2026-06-01T10:00:00.000Z",
        "query.startTimeMax": "2026-06-01T11:00:00.000Z",
        "query.searchDepth": "20",
    },
    {
        "query.serviceName": "stock/eu",
        "query.operationName": "GET /stock",
        "query.startTimeMin": "2026-06-01T10:00:00.000Z",
        "query.startTimeMax": "2026-06-01T11:00:00.000Z",
        "query.searchDepth": "1500",
    },
]


@pytest.mark.parametrize("search", SEARCHES, ids=range(len(SEARCHES)))
def test_the_search_page(api: ApiClient, search: dict[str, str]) -> None:
    services = api.get("/api/v3/services")["services"]
    assert services == ["shop", "stock/eu"]
    for service in services:
        operations = api.get("/api/v3/operations", service=service)["operations"]
        assert operations
        assert all(isinstance(row["name"] + row["spanKind"], str) for row in operations)
    answer = api.get("/api/v3/trace-summaries", **search)
    assert answer.keys() == {"summaries"}
    assert 0 < len(answer["summaries"]) <= 30
    for summary in answer["summaries"]:
        assert TRACE_ID.fullmatch(summary["traceId"])
        start, end = (int(summary[name]) for name in ("minStartTimeUnixNano", "maxEndTimeUnixNano"))
        assert BEGAN <= start <= end
        assert isinstance(summary["minStartTimeUnixNano"], str)
        assert (summary["rootServiceName"], summary["rootOperationName"]) == (
            "shop",
            "POST /orders",
        )
        assert summary["spanCount"] == sum(row["spanCount"] for row in summary["services"])
        assert summary["errorSpanCount"] == sum(
            row["errorSpanCount"] for row in summary["services"]
        )


def test_the_page_of_a_trace(api: ApiClient, spans: list[Span]) -> None:
    trace_id = spans[0].trace
    (trace,) = api.get(f"/api/traces/{trace_id}")["data"]
    count = sum(span.trace == trace_id for span in spans)
    assert len(trace["spans"]) == count
    assert {span["processID"] for span in trace["spans"]} == trace["processes"].keys()
    for span in trace["spans"]:
        assert isinstance(span["startTime"], int)
        assert isinstance(span["duration"], int)
        assert {tag["type"] for tag in span["tags"]} <= {"string", "bool", "int64", "float64"}
    missing = api.response(f"/api/traces/{'f' * 32}")
    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (404, 404)

    result = api.get(f"/api/v3/traces/{trace_id}")["result"]
    shown = [
        span
        for resource in result["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert len(shown) == count
    for span in shown:
        assert TRACE_ID.fullmatch(span["traceId"])
        assert SPAN_ID.fullmatch(span["spanId"])
        assert SPAN_ID.fullmatch(span.get("parentSpanId", "0" * 15 + "1"))
        assert isinstance(span["kind"], int)
        assert isinstance(span["status"]["code"], int)
        for name in ("startTimeUnixNano", "endTimeUnixNano"):
            assert span[name].isdecimal()
        assert all(event["timeUnixNano"].isdecimal() for event in span["events"])
    assert sum("parentSpanId" not in span for span in shown) == 1
    values = list(_any_values(result))
    assert values
    for value in values:
        ((kind, content),) = value.items()
        assert isinstance(content, ANY_VALUE[kind]), value


def _any_values(document: Any) -> Iterator[dict[str, Any]]:
    """The value of every attribute in an answer."""
    if isinstance(document, list):
        for item in document:
            yield from _any_values(item)
    elif isinstance(document, dict):
        for pair in document.get("attributes", ()):
            yield pair["value"]
        for item in document.values():
            yield from _any_values(item)


def test_the_monitor_page(api: ApiClient) -> None:
    services = api.get("/api/services")["data"]
    common = {
        "service": services[0],
        "endTs": END // 1000,
        "lookback": 3_600_000,
        "step": 60_000,
        "ratePer": 600_000,
        "spanKind": "server",
    }
    for name, further in (
        ("latencies", {"quantile": 0.5}),
        ("latencies", {"quantile": 0.75}),
        ("latencies", {"quantile": 0.95}),
        ("calls", {"quantile": 0.95}),
        ("errors", {"quantile": 0.95}),
    ):
        for grouping in ({}, {"groupByOperation": "true"}):
            answer = api.get(f"/api/metrics/{name}", **common, **further, **grouping)
            kind = {"latencies": "latencies", "calls": "call_rate", "errors": "error_rate"}[name]
            assert answer["name"] == f"service{'_operation' * bool(grouping)}_{kind}"
            for metric in answer["metrics"]:
                assert metric["labels"][-1] == {"name": "service_name", "value": "shop"}
                assert metric["metricPoints"]
                for point in metric["metricPoints"]:
                    assert point["gaugeValue"]["doubleValue"] >= 0
                    assert re.fullmatch(r"2026-06-01T1\d:\d\d:00Z", point["timestamp"])


def test_the_pages_of_the_architecture_and_of_a_service(api: ApiClient) -> None:
    dependencies = api.get("/api/dependencies", endTs=END // 1000, lookback=604_800_000)
    assert dependencies["data"] == []  # nothing is settled here
    assert api.get("/api/services/stock%2Feu/operations")["data"]
    servers = api.get("/api/operations", service="shop", spanKind="server")["data"]
    assert {"name": "POST /orders", "spanKind": "server"} in servers


def test_a_fixed_trace_in_version_3(store: Store, ingest: Ingest, tmp_path: Path) -> None:
    span = Span(
        "0" * 31 + "a", "0" * 15 + "b", "", SHOP, "GET /", 2, BEGAN, BEGAN + 5,
        attributes={"n": 1}, events=(Event(BEGAN + 1, "e", {"ok": True}),), links=(("c" * 32, "d" * 16),),
    )  # fmt: skip
    Loader(ingest, tmp_path).spans([span])
    (resource,) = ApiClient(store).get("/api/v3/traces/a")["result"]["resourceSpans"]
    assert resource["scopeSpans"] == [
        {
            "scope": {"name": "traffic", "version": "", "attributes": []},
            "spans": [
                {
                    "traceId": "0" * 31 + "a",
                    "spanId": "0" * 15 + "b",
                    "traceState": "",
                    "name": "GET /",
                    "kind": 2,
                    "startTimeUnixNano": str(BEGAN),
                    "endTimeUnixNano": str(BEGAN + 5),
                    "attributes": [{"key": "n", "value": {"intValue": "1"}}],
                    "events": [
                        {
                            "timeUnixNano": str(BEGAN + 1),
                            "name": "e",
                            "attributes": [{"key": "ok", "value": {"boolValue": True}}],
                        }
                    ],
                    "links": [
                        {
                            "traceId": "c" * 32,
                            "spanId": "d" * 16,
                            "traceState": "",
                            "attributes": [],
                        }
                    ],
                    "status": {"message": "", "code": 0},
                }
            ],
        }
    ]
