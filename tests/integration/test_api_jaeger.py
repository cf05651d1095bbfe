"""Jaeger's query API: what it says of generated traces, worked out once more in plain Python."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from clew.analysis.traces.settling import Settling, Window
from clew.analysis.traces.times import LAST_SECOND
from clew.collector.otlp import decode_json
from clew.storage import Ingest, Store
from support.asking import Api
from support.loading import make_edges
from support.traffic import (
    CONSUMER,
    ERROR,
    KIND_NAMES,
    MICROSECOND,
    SECOND,
    SERVER,
    STATUS_NAMES,
    Event,
    Generator,
    Loader,
    Process,
    Span,
    as_stored,
    spans_request,
)

BEGAN = 1_780_308_000 * SECOND
SHOP = Process("shop", "shop-1")
STOCK = Process("stock/eu", "stock-1")
BILLING = Process("billing", "billing-1")
ALL = {"start": BEGAN // MICROSECOND, "end": (BEGAN + 3600 * SECOND) // MICROSECOND}


def _spans() -> list[Span]:
    made = Generator(11, (SHOP, STOCK, BILLING))
    spans = [
        span
        for number in range(40)
        for span in made.trace(SHOP, "POST /orders", BEGAN + number * SECOND)
    ]
    odd = made.trace(SHOP, 'GET "<ü>"', BEGAN + 100 * SECOND, kind=CONSUMER)[0]
    return [
        *spans,
        replace(
            odd,
            status=ERROR,
            status_message="it's \\ broken",
            attributes={"quote": '"', "error": "told"},
            events=(Event(odd.start + 5, "exception", {"exception.type": "KeyError"}),),
            links=((spans[0].trace, spans[0].id),),
        ),
    ]


@pytest.fixture(scope="module")
def spans() -> list[Span]:
    return _spans()


@pytest.fixture
def api(store: Store, ingest: Ingest, tmp_path: Path, spans: list[Span]) -> Api:
    loader = Loader(ingest, tmp_path)
    loader.spans(spans[::2])
    loader.spans(spans[1::2])
    return Api(store)


def test_services_and_operations(api: Api, spans: list[Span]) -> None:
    services = sorted({span.service for span in spans})
    assert api.get("/api/services") == {
        "data": services, "total": len(services), "limit": 0, "offset": 0, "errors": None,
    }  # fmt: skip
    assert api.get("/api/v3/services") == {"services": services}
    for service in services:
        of_it = {(s.name, KIND_NAMES[s.kind].lower()) for s in spans if s.service == service}
        expected = [{"name": name, "spanKind": kind} for name, kind in sorted(of_it)]
        assert api.get("/api/operations", service=service)["data"] == expected
        assert api.get("/api/v3/operations", service=service) == {"operations": expected}
        path = f"/api/services/{service.replace('/', '%2F')}/operations"
        assert api.get(path)["data"] == sorted({name for name, _ in of_it})
        servers = [row for row in expected if row["spanKind"] == "server"]
        assert api.get("/api/operations", service=service, spanKind="server")["data"] == servers


def test_a_trace_is_written_as_jaeger_does(api: Api, spans: list[Span]) -> None:
    for trace_id in (spans[0].trace, spans[-1].trace):
        of_it = {span.id: span for span in spans if span.trace == trace_id}
        answer = api.get(f"/api/traces/{trace_id}")
        (trace,) = answer["data"]
        assert trace["traceID"] == trace_id
        assert {span["spanID"] for span in trace["spans"]} == of_it.keys()
        assert [s["startTime"] for s in trace["spans"]] == sorted(
            s["startTime"] for s in trace["spans"]
        )
        for shown in trace["spans"]:
            _same(shown, of_it[shown["spanID"]], trace["processes"])


def _same(shown: dict[str, Any], span: Span, processes: dict[str, Any]) -> None:
    assert shown["operationName"] == span.name
    assert shown["startTime"] == span.start // MICROSECOND
    assert shown["duration"] == span.duration // MICROSECOND
    parents = [("CHILD_OF", span.trace, span.parent)] if span.parent else []
    linked = [("FOLLOWS_FROM", *link) for link in span.links]
    assert shown["references"] == [
        {"refType": kind, "traceID": trace, "spanID": id} for kind, trace, id in parents + linked
    ]
    expected = as_stored(span.attributes) | {
        "span.kind": KIND_NAMES[span.kind].lower(),
        "otel.scope.name": "traffic",
    }
    if span.status:
        expected["otel.status_code"] = STATUS_NAMES[span.status].upper()
    if span.status_message:
        expected["otel.status_description"] = span.status_message
    if span.is_error:
        expected["error"] = "true"
    assert {tag["key"]: tag["value"] for tag in shown["tags"]} == expected
    assert shown["logs"] == [
        {
            "timestamp": event.time // MICROSECOND,
            "fields": [
                {"key": "event", "type": "string", "value": event.name},
                *(
                    {"key": key, "type": "string", "value": value}
                    for key, value in as_stored(event.attributes).items()
                ),
            ],
        }
        for event in span.events
    ]
    process = processes[shown["processID"]]
    assert process["serviceName"] == span.service
    tags = {tag["key"]: tag["value"] for tag in process["tags"]}
    assert tags == as_stored(span.process.resource)


def test_ids_may_lack_zeros_and_an_unknown_one_is_404(api: Api, spans: list[Span]) -> None:
    response = api.response("/api/traces/abc")
    assert response.status_code == 404
    assert response.json()["errors"] == [{"code": 404, "msg": "trace not found"}]
    unknown = api.response("/api/v3/traces/abc")
    assert (unknown.status_code, unknown.json()["error"]["httpCode"]) == (404, 404)
    upper = spans[0].trace.upper()
    assert api.get(f"/api/traces/{upper}")["data"][0]["traceID"] == spans[0].trace


def test_a_search_finds_traces_with_one_span_that_is_all_of_it(api: Api, spans: list[Span]) -> None:
    by_trace = defaultdict(list)
    for span in spans:
        by_trace[span.trace].append(span)

    def expected(matches: Any) -> set[str]:
        return {trace for trace, its in by_trace.items() if any(map(matches, its))}

    def found(**asked: Any) -> set[str]:
        return {
            trace["traceID"] for trace in api.get("/api/traces", **ALL, limit=100, **asked)["data"]
        }

    assert found(service="shop") == by_trace.keys()
    assert found(service="billing", operation="POST /charges") == expected(
        lambda s: (s.service, s.name) == ("billing", "POST /charges")
    )
    slow = 30_000_000
    assert found(service="billing", minDuration="30ms") == expected(
        lambda s: s.service == "billing" and s.duration >= slow
    )
    assert found(service="billing", minDuration="1us", maxDuration="30ms") == expected(
        lambda s: s.service == "billing" and 1000 <= s.duration <= slow
    )
    assert found(service="shop", tags='{"error":true}') == expected(
        lambda s: s.service == "shop" and s.is_error
    )
    assert found(tag=["http.response.status_code:500", "span.kind:server"]) == expected(
        lambda s: s.attributes.get("http.response.status_code") == 500 and s.kind == SERVER
    )
    newest = api.get("/api/traces", **ALL, limit=3, service="shop")["data"]
    begins = sorted((min(s.start for s in its), trace) for trace, its in by_trace.items())
    assert [t["traceID"] for t in newest] == [trace for _, trace in begins[:-4:-1]]
    two = [spans[0].trace, spans[-1].trace]
    assert {t["traceID"] for t in api.get("/api/traces", traceID=two)["data"]} == set(two)


def test_version_3_is_the_otlp_that_was_sent(api: Api, spans: list[Span]) -> None:
    times = {
        "query.start_time_min": "2026-06-01T00:00:00Z",
        "query.startTimeMax": "2026-06-02T00:00:00Z",
    }
    asked = {**times, "query.service_name": "shop", "query.search_depth": 100}
    for path, parameters in (
        ("/api/v3/traces", asked),
        (f"/api/v3/traces/{spans[-1].trace}", {}),
    ):
        answer = api.get(path, **parameters)
        expected = spans if parameters else spans[-1:]
        assert _plain(decode_json("traces", json.dumps(answer["result"]).encode()).body) == (
            _plain(spans_request(expected).SerializeToString())
        )


def _plain(body: bytes) -> set[tuple[Any, ...]]:
    """The spans of a request, with values as texts, in no order."""
    return {
        (
            frozenset(_texts(resource.resource.attributes).items()),
            scope.scope.name,
            *(span.trace_id, span.span_id, span.parent_span_id, span.name, span.kind),
            *(span.start_time_unix_nano, span.end_time_unix_nano),
            frozenset(_texts(span.attributes).items()),
            *(
                (e.time_unix_nano, e.name, frozenset(_texts(e.attributes).items()))
                for e in span.events
            ),
            *((link.trace_id, link.span_id) for link in span.links),
            *(span.status.code, span.status.message),
        )
        for resource in TracesData.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def _texts(attributes: Any) -> dict[str, str]:
    return as_stored(
        {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
    )


def test_dependencies_are_the_calls_between_services(
    api: Api, store: Store, spans: list[Span]
) -> None:
    settling = Settling(store)
    for chunk in settling.find(Window(0, LAST_SECOND, 0, LAST_SECOND)):
        settling.settle(chunk)
    make_edges(settling)
    by_id = {(span.trace, span.id): span for span in spans}
    calls: dict[tuple[str, str], int] = defaultdict(int)
    for span in spans:
        parent = by_id.get((span.trace, span.parent))
        if parent is not None and parent.service != span.service:
            calls[parent.service, span.service] += 1
    asked = {"endTs": ALL["end"] // 1000, "lookback": 7_200_000}
    answer = api.get("/api/dependencies", **asked)["data"]
    services = {span.service for span in spans}
    assert {
        (row["parent"], row["child"]): row["callCount"]
        for row in answer
        if row["child"] in services
    } == calls


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/traces", {"minDuration": "fast"}),
        ("/api/traces", {"start": "yesterday"}),
        ("/api/traces", {"tags": "[1"}),
        ("/api/traces", {"tag": "key"}),
        ("/api/traces", {"limit": "-1"}),
        ("/api/operations", {}),
        ("/api/dependencies", {"endTs": "x"}),
        ("/api/v3/traces", {}),
        ("/api/v3/traces", {"query.start_time_min": "x", "query.start_time_max": "y"}),
    ],
)
def test_what_cannot_be_read_is_400_and_said(api: Api, path: str, asked: dict[str, str]) -> None:
    response = api.response(path, **asked)
    assert response.status_code == 400, response.text
    error = response.json()["error" if "/v3/" in path else "errors"]
    assert error["message"] if isinstance(error, dict) else error[0]["msg"], error


def test_hostile_texts_are_values_and_find_nothing(api: Api) -> None:
    hostile = "') OR 1=1 --"
    for asked in (
        {"service": hostile},
        {"operation": hostile},
        {"tag": f"a:{hostile}"},
        {"tags": json.dumps({hostile: hostile})},
        {"traceID": hostile},
    ):
        assert api.get("/api/traces", **ALL, **asked)["data"] == []
    assert api.get("/api/operations", service=hostile)["data"] == []
