"""`query.filter` of Jaeger's API: a tree of conditions on one span, each about a level of attributes or a field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.storage import Ingest, Store
from support.any_values import any_value
from support.api_client import ApiClient
from support.loading import load
from support.traffic import SECOND

BEGAN = 1_780_308_000 * SECOND
MILLISECOND = 1_000_000
WINDOW = {
    "query.startTimeMin": "2026-06-01T09:00:00Z",
    "query.startTimeMax": "2026-06-01T11:00:00Z",
}
PORT_LINK = ("f" * 32, "e" * 16)

# One trace of one span each: where `zone` stands differs, and so does the type of `size`.
SPANS: dict[str, dict[str, Any]] = {
    "cart": {
        "service": "cart", "name": "GET /cart", "kind": 2, "ms": 4, "span": {"zone": "north", "size": 9, "code": 200},
        "resource": {"stage": "live"},
    },
    "pay": {
        "service": "pay", "name": "POST /pay/cart", "kind": 3, "ms": 1500, "status": 2, "message": "declined",
        "span": {"size": 11, "code": 500, "ratio": 0.5, "retried": True, "note": "Refund the order, please"},
        "resource": {"zone": "north", "stage": "live"},
        "events": [("exception", 70, {"zone": "east", "level": 3}), ("retry", 900, {"level": 1})],
    },
    "mail": {
        "service": "mail", "name": "send", "kind": 5, "ms": 40, "status": 1,
        "span": {"size": "09", "retried": "true"}, "scope": {"zone": "north"}, "resource": {"stage": "test"},
        "links": [(*PORT_LINK, {"zone": "west"})],
    },
    "find": {
        "service": "find", "name": "index.find", "kind": 1, "ms": 5, "parent": "a" * 16, "state": "a=1",
        "span": {"note": "order the refund"}, "events": [("hit", 1, {"level": 3}), ("exception", 2, {"level": 1})],
    },
}  # fmt: skip


def _request() -> bytes:
    request = ExportTraceServiceRequest()
    for number, span in enumerate(SPANS.values()):
        resource = request.resource_spans.add()
        scope = resource.scope_spans.add()
        scope.scope.name, scope.scope.version = f"lib.{span['service']}", "1.2"
        message = scope.spans.add(
            trace_id=bytes([number + 1] * 16), span_id=bytes([number + 1] * 8), name=span["name"], kind=span["kind"],
            parent_span_id=bytes.fromhex(span.get("parent", "")), trace_state=span.get("state", ""),
            start_time_unix_nano=BEGAN, end_time_unix_nano=BEGAN + span["ms"] * MILLISECOND,
        )  # fmt: skip
        message.status.code, message.status.message = span.get("status", 0), span.get("message", "")
        _put(resource.resource, {"service.name": span["service"]} | span.get("resource", {}))
        _put(scope.scope, span.get("scope", {}))
        _put(message, span.get("span", {}))
        for name, ms, attributes in span.get("events", ()):
            _put(message.events.add(time_unix_nano=BEGAN + ms * MILLISECOND, name=name), attributes)
        for trace, id, attributes in span.get("links", ()):
            _put(
                message.links.add(trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(id)),
                attributes,
            )
    return request.SerializeToString()


def _put(holder: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        holder.attributes.add(key=key).value.CopyFrom(any_value(value))


def attr(key: str, level: str = "") -> dict[str, Any]:
    return {"attr": {"key": key} | ({"level": level} if level else {})}


def field(level: str, name: str) -> dict[str, Any]:
    return {"field": {"name": name, "level": level}}


def scalar(value: str, type: str = "") -> dict[str, Any]:
    return {"scalar": {"value": value} | ({"type": type} if type else {})}


def values(*texts: str, type: str = "") -> dict[str, Any]:
    return {"list": {"values": list(texts)} | ({"type": type} if type else {})}


def call(op: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"op": op, "args": [{"call": each} if "op" in each else each for each in arguments]}


def zone(level: str, place: str = "north") -> dict[str, Any]:
    return call("eq", attr("zone", level), scalar(place))


SIZE, DURATION = attr("size", "span"), field("span", "duration")
LEVEL_3, EXCEPTION = (
    call("eq", attr("level", "event"), scalar("3")),
    call("eq", field("event", "name"), scalar("exception")),
)
EVENTS, LINKS = {"nested": {"level": "event"}}, {"nested": {"level": "link"}}

CASES: list[tuple[dict[str, Any], str]] = [
    # each level is its own
    (zone("span"), "cart"),
    (zone("resource"), "pay"),
    (zone("scope"), "mail"),
    (zone("event", "east"), "pay"),
    (zone("link", "west"), "mail"),
    (zone(""), "cart pay"),
    (call("exists", attr("zone")), "cart pay"),
    (call("exists", attr("nothing")), ""),
    # fields
    (call("eq", field("resource", "service"), scalar("pay")), "pay"),
    (call("in", field("resource", "service"), values("pay", "find")), "pay find"),
    (call("eq", field("span", "name"), scalar("GET /cart")), "cart"),
    (call("gt", field("span", "name"), scalar("i")), "mail find"),
    (call("eq", field("span", "kind"), scalar("consumer")), "mail"),
    (call("not_in", field("span", "kind"), values("consumer", "server")), "pay find"),
    (call("eq", field("span", "status"), scalar("error")), "pay"),
    (call("eq", field("span", "status"), scalar("ok")), "mail"),
    (call("eq", field("span", "status"), scalar("unset")), "cart find"),
    (call("eq", field("span", "statusMessage"), scalar("declined")), "pay"),
    (call("eq", field("span", "parentSpanID"), scalar("a" * 16)), "find"),
    (call("ne", field("span", "parentSpanID"), scalar("b" * 16)), "find"),  # roots have no parent
    (call("exists", field("span", "traceState")), "find"),
    (call("eq", field("span", "traceID"), scalar("02" * 16)), "pay"),
    (call("eq", field("scope", "name"), scalar("lib.mail")), "mail"),
    (call("eq", field("scope", "version"), scalar("1.2")), "cart pay mail find"),
    (call("eq", field("link", "traceID"), scalar(PORT_LINK[0])), "mail"),
    (EXCEPTION, "pay find"),
    # durations and times
    (call("eq", DURATION, scalar("40ms")), "mail"),
    (call("gt", DURATION, scalar("1s")), "pay"),
    (call("lt", scalar("1s"), DURATION), "pay"),
    (call("lte", DURATION, scalar("5ms")), "cart find"),
    (call("and", call("gte", DURATION, scalar("5ms")), call("lte", DURATION, scalar("40ms"))), "mail find"),
    (call("gt", field("span", "endTime"), scalar("2026-06-01T10:00:01Z")), "pay"),
    (call("eq", field("span", "startTime"), scalar("2026-06-01T10:00:00.000000000Z")), "cart pay mail find"),
    (call("gte", field("event", "timeSinceStart"), scalar("900ms")), "pay"),
    (call("lt", field("event", "time"), scalar("2026-06-01T10:00:00.002Z")), "find"),
    # types
    (call("eq", SIZE, scalar("11")), "pay"),
    (call("eq", SIZE, scalar("11", "int")), "pay"),
    (call("eq", SIZE, scalar("11", "string")), ""),
    (call("eq", SIZE, scalar("11", "double")), ""),
    (call("eq", SIZE, scalar("09", "string")), "mail"),
    (call("eq", SIZE, scalar("9")), "cart"),
    (call("gt", SIZE, scalar("10", "int")), "pay"),
    (call("gt", SIZE, scalar("10")), "pay"),
    (call("lt", SIZE, scalar("10")), "cart mail"),  # "09" as a text
    (call("eq", attr("retried"), scalar("true", "bool")), "pay"),
    (call("eq", attr("retried"), scalar("true", "string")), "mail"),
    (call("eq", attr("retried"), scalar("true")), "pay mail"),
    (call("lt", attr("ratio"), scalar("0.75", "double")), "pay"),
    (call("in", SIZE, values("9", "11", type="int")), "cart pay"),
    (call("not_in", SIZE, values("9", type="int")), "pay mail"),
    (call("ne", attr("code", "span"), scalar("200")), "pay"),
    # texts
    (call("regex", field("span", "name"), scalar("cart")), "cart pay"),
    (call("regex", attr("code"), scalar("5..")), "pay"),
    (call("fulltext", attr("note"), values("refund", "order")), "pay find"),
    (call("phrase", attr("note"), values("The", "order")), "pay"),
    # combinations
    (call("or", zone("span"), zone("scope")), "cart mail"),
    (call("and", call("eq", attr("stage", "resource"), scalar("live")), call("not", zone("span"))), "pay"),
    (call("not", call("eq", attr("code"), scalar("200"))), "pay mail find"),
    (call("and", LEVEL_3, EXCEPTION), "pay find"),
    (call("some", EVENTS, call("and", LEVEL_3, EXCEPTION)), "pay"),
    (call("not", call("some", EVENTS, call("not", EXCEPTION))), "cart mail"),
    (call("some", EVENTS, call("ne", attr("level", "event"), scalar("3"))), "pay find"),
    (call("ne", attr("level", "event"), scalar("3")), ""),
    (call("some", EVENTS, call("and", LEVEL_3, call("eq", field("resource", "service"), scalar("find")))), "find"),
    (call("some", LINKS, call("eq", field("link", "spanID"), scalar(PORT_LINK[1]))), "mail"),
]  # fmt: skip


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> ApiClient:
    store = emptied()
    load(Ingest(store), tmp_path_factory.mktemp("filter"), ("traces", _request()))
    return ApiClient(store)


def _found(api: ApiClient, filter: Any) -> set[str]:
    answer = api.get("/api/v3/trace-summaries", **WINDOW, **{"query.filter": json.dumps(filter)})
    return {summary["rootServiceName"] or "find" for summary in answer["summaries"]}


@pytest.mark.parametrize(("filter", "expected"), CASES, ids=lambda case: json.dumps(case)[:90])
def test_a_filter_selects_the_spans_that_meet_it(
    api: ApiClient, filter: dict[str, Any], expected: str
) -> None:
    assert _found(api, filter) == set(expected.split())


def test_all_conditions_hold_of_one_span_and_traces_are_returned_too(api: ApiClient) -> None:
    filter = call("and", zone(""), call("eq", field("span", "kind"), scalar("client")))
    answer = api.get("/api/v3/traces", **WINDOW, **{"query.filter": json.dumps(filter)})
    (resource,) = answer["result"]["resourceSpans"]
    assert resource["scopeSpans"][0]["spans"][0]["name"] == "POST /pay/cart"


MALFORMED: list[Any] = [
    "{",
    "[1]",
    "7",
    "[" * 20_000,
    *map(
        json.dumps,
        [
            {},
            {"op": "eq"},
            {"op": "eq", "args": {}},
            {"op": 5, "args": []},
            {"op": "eq", "args": [], "more": 1},
            call("like", attr("a"), scalar("b")),
            call("eq", attr("a")),
            call("eq", attr(""), scalar("b")),
            call("eq", attr("a", "pod"), scalar("b")),
            call("eq", {"ref": {"name": "a"}}, scalar("b")),
            call("eq", {"attr": {"key": 5}}, scalar("b")),
            call("eq", {}, scalar("b")),
            call("eq", EVENTS, scalar("b")),
            call("eq", attr("a"), scalar("\ud800")),
            call("eq", field("span", "colour"), scalar("b")),
            call("eq", field("span", "kind"), scalar("servers")),
            call("gt", field("span", "status"), scalar("ok")),
            call("gt", DURATION, scalar("banana")),
            call("gt", DURATION, scalar("5", "int")),
            call("gt", field("span", "startTime"), scalar("yesterday")),
            call("eq", field("span", "name"), scalar("5", "int")),
            call("eq", attr("a"), scalar("x", "int")),
            call("eq", attr("a"), scalar(str(2**63), "int")),
            call("eq", attr("a"), scalar("nan", "double")),
            call("eq", attr("a"), scalar("yes", "bool")),
            call("gt", attr("a"), scalar("true", "bool")),
            call("eq", attr("a"), scalar("x", "text")),
            call("in", attr("a"), values()),
            call("in", attr("a"), scalar("x")),
            call("in", attr("a"), {"list": {"values": [5]}}),
            call("and", zone("")),
            call("and", zone(""), attr("a")),
            call("not", zone(""), zone("")),
            call("regex", DURATION, scalar("5")),
            call("regex", attr("a"), scalar("(")),
            call("regex", attr("a"), scalar("(?=x)")),
            call("phrase", field("span", "name"), values("x")),
            call("phrase", attr("a"), values("x y")),
            call("some", EVENTS, call("some", EVENTS, EXCEPTION)),
            call("some", {"nested": {"level": "span"}}, zone("")),
            call("some", attr("a"), zone("")),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:80])
def test_a_malformed_filter_is_status_400(api: ApiClient, text: str) -> None:
    response = api.response("/api/v3/trace-summaries", **WINDOW, **{"query.filter": text})
    assert response.status_code == 400, response.text
    assert "query.filter" in response.json()["error"]["message"]


def test_a_filter_that_is_too_large_is_status_400(api: ApiClient) -> None:
    deep = zone("")
    for _ in range(60):
        deep = call("not", deep)
    for filter in (deep, call("or", *[zone("")] * 201)):
        response = api.response("/api/v3/traces", **WINDOW, **{"query.filter": json.dumps(filter)})
        assert response.status_code == 400, response.text


@pytest.mark.parametrize(
    "filter",
    [
        call("eq", field("resource", "schemaURL"), scalar("x")),
        call("gt", attr("a"), attr("b")),
        call("lt", field("span", "startTime"), field("span", "endTime")),
    ],
    ids=str,
)
def test_what_cannot_be_evaluated_is_status_501(api: ApiClient, filter: dict[str, Any]) -> None:
    response = api.response("/api/v3/traces", **WINDOW, **{"query.filter": json.dumps(filter)})
    assert (response.status_code, response.json()["error"]["httpCode"]) == (501, 501), response.text


def test_a_filter_stands_alone(api: ApiClient) -> None:
    for other in ("query.serviceName", "query.operationName", "query.durationMin"):
        parameters = {other: "5ms", "query.filter": json.dumps(zone(""))}
        assert api.response("/api/v3/traces", **WINDOW, **parameters).status_code == 400


def test_hostile_texts_are_values_that_match_nothing(api: ApiClient) -> None:
    hostile = "') OR 1=1 --{filter_0:String}/*filters*/"
    for filter in (
        call("eq", attr(hostile), scalar("x")),
        call("eq", attr("zone"), scalar(hostile)),
        call("in", attr("zone"), values(hostile)),
        call("eq", field("span", "name"), scalar(hostile)),
        call("some", EVENTS, call("eq", attr(hostile, "event"), scalar(hostile))),
    ):
        assert _found(api, filter) == set()


def test_of_rows_without_types_each_value_is_read_as_the_type(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    # The last test, because it empties the tables that the others share.
    load(ingest, tmp_path, ("traces", _request()))
    with store.client() as client:
        client.command(
            "ALTER TABLE otel.otel_traces UPDATE AttributeTypes = '' WHERE 1 SETTINGS mutations_sync = 2"
        )
    api = ApiClient(store)
    assert _found(api, call("gt", SIZE, scalar("10", "int"))) == {"pay"}
    assert _found(api, call("eq", attr("retried"), scalar("true", "bool"))) == {"pay", "mail"}
    assert _found(api, call("eq", attr("level", "event"), scalar("1", "int"))) == {"pay", "find"}
