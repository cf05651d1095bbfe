"""Jaeger's query API over generated traces, compared with plain Python."""

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
from support.any_values import any_value
from support.api_client import ApiClient
from support.loading import load, make_edges
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
    spans_request,
)

BEGAN = 1_780_308_000 * SECOND
SHOP = Process("shop", "shop-1")
STOCK = Process("stock/eu", "stock-1")
BILLING = Process("billing", "billing-1")
TAG_TYPES = {bool: "bool", int: "int64", float: "float64", str: "string"}
ALL = {"start": BEGAN // MICROSECOND, "end": (BEGAN + 3600 * SECOND) // MICROSECOND}


def _spans() -> list[Span]:
    generator = Generator(11, (SHOP, STOCK, BILLING))
    spans = [
        span
        for number in range(40)
        for span in generator.trace(SHOP, "POST /orders", BEGAN + number * SECOND)
    ]
    span = generator.trace(SHOP, 'GET "<ü>"', BEGAN + 100 * SECOND, kind=CONSUMER)[0]
    return [
        *spans,
        replace(
            span,
            status=ERROR,
            status_message="it's \\ broken",
            attributes={
                "quote": '"',
                "text": "42",
                "true": "true",
                "many": 2**53 - 1,
                "ratio": 72.0,
            },
            events=(
                Event(span.start + 5, "exception", {"exception.type": "KeyError", "attempt": 2}),
                Event(span.start + 6, "retry", {}),
                Event(span.start + 7, "retry", {"ok": True, "wait": 0.5, "code": "7"}),
            ),
            links=((spans[0].trace, spans[0].id),),
        ),
    ]


@pytest.fixture(scope="module")
def spans() -> list[Span]:
    return _spans()


@pytest.fixture
def api(store: Store, ingest: Ingest, tmp_path: Path, spans: list[Span]) -> ApiClient:
    loader = Loader(ingest, tmp_path)
    loader.spans(spans[::2])
    loader.spans(spans[1::2])
    return ApiClient(store)


def test_services_and_operations(api: ApiClient, spans: list[Span]) -> None:
    services = sorted({span.service for span in spans})
    assert api.get("/api/services") == {
        "data": services, "total": len(services), "limit": 0, "offset": 0, "errors": None,
    }  # fmt: skip
    assert api.get("/api/v3/services") == {"services": services}
    for service in services:
        expected_spans = {
            (span.name, KIND_NAMES[span.kind].lower()) for span in spans if span.service == service
        }
        expected = [{"name": name, "spanKind": kind} for name, kind in sorted(expected_spans)]
        assert api.get("/api/operations", service=service)["data"] == expected
        assert api.get("/api/v3/operations", service=service) == {"operations": expected}
        path = f"/api/services/{service.replace('/', '%2F')}/operations"
        assert api.get(path)["data"] == sorted({name for name, _ in expected_spans})
        servers = [row for row in expected if row["spanKind"] == "server"]
        assert api.get("/api/operations", service=service, spanKind="server")["data"] == servers


def test_a_trace_in_jaegers_format(api: ApiClient, spans: list[Span]) -> None:
    for trace_id in (spans[0].trace, spans[-1].trace):
        expected_spans = {span.id: span for span in spans if span.trace == trace_id}
        answer = api.get(f"/api/traces/{trace_id}")
        (trace,) = answer["data"]
        assert trace["traceID"] == trace_id
        assert {span["spanID"] for span in trace["spans"]} == expected_spans.keys()
        assert [span["startTime"] for span in trace["spans"]] == sorted(
            span["startTime"] for span in trace["spans"]
        )
        for jaeger_span in trace["spans"]:
            _check_span(jaeger_span, expected_spans[jaeger_span["spanID"]], trace["processes"])


def _check_span(jaeger_span: dict[str, Any], span: Span, processes: dict[str, Any]) -> None:
    assert jaeger_span["operationName"] == span.name
    assert jaeger_span["startTime"] == span.start // MICROSECOND
    assert jaeger_span["duration"] == span.duration // MICROSECOND
    parents = [("CHILD_OF", span.trace, span.parent)] if span.parent else []
    links = [("FOLLOWS_FROM", *link) for link in span.links]
    assert jaeger_span["references"] == [
        {"refType": kind, "traceID": trace, "spanID": id} for kind, trace, id in parents + links
    ]
    expected = span.attributes | {
        "span.kind": KIND_NAMES[span.kind].lower(),
        "otel.scope.name": "traffic",
    }
    if span.status:
        expected["otel.status_code"] = STATUS_NAMES[span.status].upper()
    if span.status_message:
        expected["otel.status_description"] = span.status_message
    if span.is_error:
        expected["error"] = True
    assert {tag["key"]: tag["value"] for tag in jaeger_span["tags"]} == expected
    for tag in jaeger_span["tags"]:
        assert tag["type"] == TAG_TYPES[type(expected[tag["key"]])]
    assert jaeger_span["logs"] == [
        {
            "timestamp": event.time // MICROSECOND,
            "fields": [
                {"key": "event", "type": "string", "value": event.name},
                *(
                    {"key": key, "type": TAG_TYPES[type(value)], "value": value}
                    for key, value in event.attributes.items()
                ),
            ],
        }
        for event in span.events
    ]
    process = processes[jaeger_span["processID"]]
    assert process["serviceName"] == span.service
    tags = {tag["key"]: tag["value"] for tag in process["tags"]}
    assert tags == span.process.resource


def test_ids_without_leading_zeros_and_unknown_ids(api: ApiClient, spans: list[Span]) -> None:
    response = api.response("/api/traces/abc")
    assert response.status_code == 404
    assert response.json()["errors"] == [{"code": 404, "msg": "trace not found"}]
    unknown = api.response("/api/v3/traces/abc")
    assert (unknown.status_code, unknown.json()["error"]["httpCode"]) == (404, 404)
    upper = spans[0].trace.upper()
    assert api.get(f"/api/traces/{upper}")["data"][0]["traceID"] == spans[0].trace


def test_a_search_finds_traces_with_one_span_that_matches_all_filters(
    api: ApiClient, spans: list[Span]
) -> None:
    by_trace = defaultdict(list)
    for span in spans:
        by_trace[span.trace].append(span)

    def expected(matches: Any) -> set[str]:
        return {trace for trace, trace_spans in by_trace.items() if any(map(matches, trace_spans))}

    def search(**parameters: Any) -> set[str]:
        return {
            trace["traceID"]
            for trace in api.get("/api/traces", **ALL, limit=100, **parameters)["data"]
        }

    assert search(service="shop") == by_trace.keys()
    assert search(service="billing", operation="POST /charges") == expected(
        lambda span: (span.service, span.name) == ("billing", "POST /charges")
    )
    threshold = 30_000_000
    assert search(service="billing", minDuration="30ms") == expected(
        lambda span: span.service == "billing" and span.duration >= threshold
    )
    assert search(service="billing", minDuration="1us", maxDuration="30ms") == expected(
        lambda span: span.service == "billing" and 1000 <= span.duration <= threshold
    )
    assert search(service="shop", tags='{"error":true}') == expected(
        lambda span: span.service == "shop" and span.is_error
    )
    assert search(tag=["http.response.status_code:500", "span.kind:server"]) == expected(
        lambda span: span.attributes.get("http.response.status_code") == 500 and span.kind == SERVER
    )
    # Every tag that is shown can be searched for.
    last = spans[-1]
    for tags in (
        {"otel.status_code": "ERROR", "otel.status_description": "it's \\ broken"},
        {"otel.scope.name": "traffic", "quote": '"'},
        {"event": "exception", "exception.type": "KeyError"},
    ):
        assert search(service="shop", tags=json.dumps(tags)) == {last.trace}, tags
    assert search(tags='{"otel.status_code":"ERROR"}') == expected(lambda span: span.is_error)
    assert search(tags='{"error":"told"}') == set()
    newest = api.get("/api/traces", **ALL, limit=3, service="shop")["data"]
    starts = sorted(
        (min(span.start for span in trace_spans), trace) for trace, trace_spans in by_trace.items()
    )
    assert [trace["traceID"] for trace in newest] == [trace for _, trace in starts[:-4:-1]]
    two = [spans[0].trace, spans[-1].trace]
    assert {trace["traceID"] for trace in api.get("/api/traces", traceID=two)["data"]} == set(two)


def _summary(trace_id: str, trace: list[Span]) -> dict[str, Any]:
    root = min(
        (span for span in trace if not span.parent), key=lambda span: span.start, default=None
    )
    ids = {span.id for span in trace}
    return {
        "traceId": trace_id,
        "rootServiceName": root.service if root else "",
        "rootOperationName": root.name if root else "",
        "minStartTimeUnixNano": str(min(span.start for span in trace)),
        "maxEndTimeUnixNano": str(max(span.ended for span in trace)),
        "spanCount": len(trace),
        "errorSpanCount": sum(span.is_error for span in trace),
        "orphanSpanCount": sum(bool(span.parent) and span.parent not in ids for span in trace),
        "services": [
            {
                "name": name,
                "spanCount": len(group),
                "errorSpanCount": sum(span.is_error for span in group),
            }
            for name in sorted({span.service for span in trace})
            for group in [[span for span in trace if span.service == name]]
        ],
    }


def test_summaries_of_a_search(
    store: Store, ingest: Ingest, tmp_path: Path, spans: list[Span]
) -> None:
    """The list of traces of Jaeger's UI: with and without a service, as its version 2.20 asks."""
    # Two traces are incomplete: one lacks its root, one the parents of some spans.
    lost = {
        spans[0].id,
        *(span.id for span in spans if span.trace == spans[-2].trace and span.parent),
    }
    stored = [
        span
        for span in spans
        if span.id not in lost or (span.trace != spans[0].trace and int(span.id, 16) % 2)
    ]
    Loader(ingest, tmp_path).spans(stored)
    api = ApiClient(store)
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in stored:
        traces[span.trace].append(span)
    window = {
        "query.startTimeMin": "2026-06-01T10:00:00.000Z",
        "query.startTimeMax": "2026-06-01T11:00:00.000Z",
        "query.searchDepth": 100,
    }
    expected = {trace_id: _summary(trace_id, trace) for trace_id, trace in traces.items()}
    answer = api.get("/api/v3/trace-summaries", **window)
    assert {summary["traceId"]: summary for summary in answer["summaries"]} == expected
    assert len(answer["summaries"]) == len(expected)
    assert any(summary["orphanSpanCount"] for summary in expected.values())
    parameters = {
        "query.serviceName": "billing",
        "query.operationName": "POST /charges",
        "query.durationMin": "10ms",
        "query.attributes": '{"error":"false"}',
    }
    found = api.get("/api/v3/trace-summaries", **window, **parameters)["summaries"]
    assert {summary["traceId"] for summary in found} == {
        span.trace
        for span in stored
        if (span.service, span.name) == ("billing", "POST /charges")
        and span.duration >= 10 * 1000 * MICROSECOND
        and not span.is_error
    }
    newest = api.get("/api/v3/trace-summaries", **window | {"query.searchDepth": 3})["summaries"]
    assert [summary["traceId"] for summary in newest] == [
        summary["traceId"] for summary in answer["summaries"][:3]
    ]
    assert api.get(
        "/api/v3/trace-summaries", **window, **{"query.serviceName": "nobody"}
    ) == {"summaries": []}  # fmt: skip


def test_version_3_returns_the_otlp_that_was_sent(api: ApiClient, spans: list[Span]) -> None:
    times = {
        "query.start_time_min": "2026-06-01T00:00:00Z",
        "query.startTimeMax": "2026-06-02T00:00:00Z",
    }
    search = {**times, "query.service_name": "shop", "query.search_depth": 100}
    for path, parameters in (
        ("/api/v3/traces", search),
        (f"/api/v3/traces/{spans[-1].trace}", {}),
    ):
        answer = api.get(path, **parameters)
        expected = spans if parameters else spans[-1:]
        assert _as_set(decode_json("traces", json.dumps(answer["result"]).encode()).body) == (
            _as_set(spans_request(expected).SerializeToString())
        )


def _as_set(body: bytes) -> set[tuple[Any, ...]]:
    """The spans of a request as a set."""
    return {
        (
            frozenset(_typed(resource.resource.attributes).items()),
            scope.scope.name,
            *(span.trace_id, span.span_id, span.parent_span_id, span.name, span.kind),
            *(span.start_time_unix_nano, span.end_time_unix_nano),
            frozenset(_typed(span.attributes).items()),
            *(
                (event.time_unix_nano, event.name, frozenset(_typed(event.attributes).items()))
                for event in span.events
            ),
            *((link.trace_id, link.span_id) for link in span.links),
            *(span.status.code, span.status.message),
        )
        for resource in TracesData.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def _typed(attributes: Any) -> dict[str, tuple[str, Any]]:
    return {
        attribute.key: (kind, getattr(attribute.value, kind))
        for attribute in attributes
        for kind in [attribute.value.WhichOneof("value")]
    }


def _send(store: Store, ingest: Ingest, tmp_path: Path, request: Any) -> ApiClient:
    load(ingest, tmp_path, ("traces", request.SerializeToString()))
    return ApiClient(store)


def _request_with_values(values: dict[str, Any]) -> Any:
    """One span that has the attributes in every place: resource, scope, span, event and link."""
    span = Span("a" * 32, "b" * 16, "", SHOP, "GET /", SERVER, BEGAN, BEGAN + SECOND)
    request = spans_request(
        [replace(span, events=(Event(BEGAN, "e", {}),), links=(("c" * 32, "d" * 16),))]
    )
    resource = request.resource_spans[0]
    scope = resource.scope_spans[0]
    message = scope.spans[0]
    for holder in (resource.resource, scope.scope, message, message.events[0], message.links[0]):
        for key, value in values.items():
            holder.attributes.add(key=key).value.CopyFrom(any_value(value))
    return request


def test_the_type_of_a_value_is_kept_wherever_it_stands(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    values = {
        "yes": True, "no": False, "int": -42, "int text": "42", "max": 2**63 - 1, "min": -(2**63), "double": 1.5,
        "whole": 72.0, "tiny": 5e-324, "nan": float("nan"), "infinite": float("-inf"), "bytes": b"\x00\xff",
        "list": [1, "x"], "none": None, "empty": "",
    }  # fmt: skip
    api = _send(store, ingest, tmp_path, _request_with_values(values))
    otlp = {
        "yes": {"boolValue": True}, "no": {"boolValue": False}, "int": {"intValue": "-42"},
        "int text": {"stringValue": "42"}, "max": {"intValue": str(2**63 - 1)}, "min": {"intValue": str(-(2**63))},
        "double": {"doubleValue": 1.5}, "whole": {"doubleValue": 72}, "tiny": {"doubleValue": 5e-324},
        "nan": {"doubleValue": "NaN"}, "infinite": {"doubleValue": "-Infinity"}, "bytes": {"bytesValue": "AP8="},
        "list": {"stringValue": '[1,"x"]'}, "none": {"stringValue": ""}, "empty": {"stringValue": ""},
    }  # fmt: skip
    (resource,) = api.get(f"/api/v3/traces/{'a' * 32}")["result"]["resourceSpans"]
    (scope,) = resource["scopeSpans"]
    (span,) = scope["spans"]
    for place in (resource["resource"], scope["scope"], span, span["events"][0], span["links"][0]):
        attributes = {pair["key"]: pair["value"] for pair in place["attributes"]}
        assert {key: attributes[key] for key in otlp} == otlp
    tags = {
        "yes": ("bool", True), "no": ("bool", False), "int": ("int64", -42), "int text": ("string", "42"),
        "max": ("int64", str(2**63 - 1)), "min": ("int64", str(-(2**63))), "double": ("float64", 1.5),
        "whole": ("float64", 72), "tiny": ("float64", 5e-324), "nan": ("float64", "NaN"),
        "infinite": ("float64", "-Infinity"), "bytes": ("binary", "AP8="), "list": ("string", '[1,"x"]'),
        "none": ("string", ""), "empty": ("string", ""),
    }  # fmt: skip
    (trace,) = api.get(f"/api/traces/{'a' * 32}")["data"]
    (jaeger_span,) = trace["spans"]
    for fields in (
        jaeger_span["tags"],
        jaeger_span["logs"][0]["fields"],
        trace["processes"][jaeger_span["processID"]]["tags"],
    ):
        pairs = {tag["key"]: (tag["type"], tag["value"]) for tag in fields}
        assert {key: pairs[key] for key in tags} == tags


def test_of_rows_of_another_writer_every_value_is_a_text(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    """What the exporter's table holds is text: a 42 may have been a string as well."""
    api = _send(store, ingest, tmp_path, _request_with_values({"int": 42}))
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_traces (* EXCEPT (AttributeTypes)) SELECT * EXCEPT (AttributeTypes) "
            "REPLACE (repeat('e', 32) AS TraceId, mapFilter((key, value) -> key = 'int', ResourceAttributes) "
            "AS ResourceAttributes) FROM otel.otel_traces"
        )
    (resource,) = api.get(f"/api/v3/traces/{'e' * 32}")["result"]["resourceSpans"]
    assert resource["resource"]["attributes"] == [{"key": "int", "value": {"stringValue": "42"}}]
    (trace,) = api.get(f"/api/traces/{'e' * 32}")["data"]
    assert {"key": "int", "type": "string", "value": "42"} in trace["spans"][0]["tags"]


def test_types_do_not_move_to_other_attributes_when_one_is_removed(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    api = _send(store, ingest, tmp_path, _request_with_values({"card": 4111, "text": "7"}))
    with store.client() as client:
        client.command(
            "ALTER TABLE otel.otel_traces UPDATE SpanAttributes = "
            "mapFilter((key, value) -> key != 'card', SpanAttributes) WHERE 1 SETTINGS mutations_sync = 2"
        )
    (resource,) = api.get(f"/api/v3/traces/{'a' * 32}")["result"]["resourceSpans"]
    (span,) = resource["scopeSpans"][0]["spans"]
    assert span["attributes"] == [{"key": "text", "value": {"stringValue": "7"}}]


def test_dependencies_are_the_calls_between_services(
    api: ApiClient, store: Store, spans: list[Span]
) -> None:
    settling = Settling(store)
    for chunk in settling.plan_chunks(Window(0, LAST_SECOND, 0, LAST_SECOND)):
        settling.settle(chunk)
    make_edges(settling)
    by_id = {(span.trace, span.id): span for span in spans}
    calls: dict[tuple[str, str], int] = defaultdict(int)
    for span in spans:
        parent = by_id.get((span.trace, span.parent))
        if parent is not None and parent.service != span.service:
            calls[parent.service, span.service] += 1
    parameters = {"endTs": ALL["end"] // 1000, "lookback": 7_200_000}
    answer = api.get("/api/dependencies", **parameters)["data"]
    services = {span.service for span in spans}
    assert {
        (row["parent"], row["child"]): row["callCount"]
        for row in answer
        if row["child"] in services
    } == calls


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/api/traces", {"minDuration": "fast"}),
        ("/api/traces", {"start": "yesterday"}),
        ("/api/traces", {"tags": "[1"}),
        ("/api/traces", {"tag": "key"}),
        ("/api/traces", {"tag": "otel.status_code:FINE"}),
        ("/api/traces", {"limit": "-1"}),
        ("/api/operations", {}),
        ("/api/dependencies", {"endTs": "x"}),
        ("/api/v3/traces", {}),
        ("/api/v3/traces", {"query.start_time_min": "x", "query.start_time_max": "y"}),
    ],
)
def test_a_malformed_parameter_is_status_400(
    api: ApiClient, path: str, parameters: dict[str, str]
) -> None:
    response = api.response(path, **parameters)
    assert response.status_code == 400, response.text
    error = response.json()["error" if "/v3/" in path else "errors"]
    assert error["message"] if isinstance(error, dict) else error[0]["msg"], error


def test_hostile_texts_are_values_that_match_nothing(api: ApiClient) -> None:
    hostile = "') OR 1=1 --"
    for parameters in (
        {"service": hostile},
        {"operation": hostile},
        {"tag": f"a:{hostile}"},
        {"tags": json.dumps({hostile: hostile})},
        {"traceID": hostile},
    ):
        assert api.get("/api/traces", **ALL, **parameters)["data"] == []
    assert api.get("/api/operations", service=hostile)["data"] == []
