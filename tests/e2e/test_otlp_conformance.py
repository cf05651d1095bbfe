"""Every field of OTLP, in by every way, comes out as the exporter would have stored it."""

from __future__ import annotations

import base64
import json
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format

from support import every_field
from support.stored import read, wait_until_loaded

PROTOBUF, JSON = "application/x-protobuf", "application/json"
SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
IDS = {"traceId", "spanId", "parentSpanId"}
NUMBERS = {"intValue", "asInt", "count", "zeroCount", "bucketCounts"}


@pytest.mark.parametrize("signal", every_field.REQUESTS)
def test_every_field_is_set(signal: str) -> None:
    request = every_field.REQUESTS[signal]("s")
    assert every_field.fields_set(request) == every_field.fields(request.DESCRIPTOR)


def as_json(request: Any) -> dict[str, Any]:
    """The specification's mapping: protobuf's own, but enumerations are numbers and ids in hex."""

    def with_hex_ids(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: base64.b64decode(value).hex() if key in IDS else with_hex_ids(value)
                for key, value in node.items()
            }
        return [with_hex_ids(item) for item in node] if isinstance(node, list) else node

    document: dict[str, Any] = with_hex_ids(
        json_format.MessageToDict(request, use_integers_for_enums=True)
    )
    return document


def written_otherwise(node: Any) -> Any:
    """What a receiver must take as well: 64-bit integers as numbers, ids in capitals, and fields
    that nobody knows."""
    if isinstance(node, list):
        return [written_otherwise(item) for item in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {"unknownField": {"deep": [1, None]}}
    for key, value in node.items():
        if key in IDS:
            made[key] = value.upper()
        elif key in NUMBERS or key.endswith("UnixNano"):
            made[key] = [int(one) for one in value] if isinstance(value, list) else int(value)
        else:
            made[key] = written_otherwise(value)
    return made


def by_http(clew, signal: str, body: bytes, content_type: str, **headers: str) -> None:
    answer = httpx.post(
        f"{clew.endpoints['otlp_http']}/v1/{signal}",
        content=body,
        headers={"content-type": content_type, **headers},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert answer.content == (b"{}" if content_type == JSON else b"")


def by_grpc(clew, signal: str, body: bytes) -> None:
    with grpc.insecure_channel(clew.endpoints["otlp_grpc"].removeprefix("http://")) as channel:
        assert channel.unary_unary(f"/{SERVICES[signal]}/Export")(body, timeout=60) == b""


WAYS = {
    "http-protobuf": lambda clew, signal, request: by_http(
        clew, signal, request.SerializeToString(), PROTOBUF
    ),
    "grpc": lambda clew, signal, request: by_grpc(clew, signal, request.SerializeToString()),
    "http-json": lambda clew, signal, request: by_http(
        clew, signal, json.dumps(as_json(request)).encode(), JSON
    ),
    "http-json-otherwise": lambda clew, signal, request: by_http(
        clew, signal, json.dumps(written_otherwise(as_json(request))).encode(), JSON
    ),
}


def test_every_field_by_every_way(clew) -> None:
    for way, send in WAYS.items():
        for signal, request in every_field.REQUESTS.items():
            send(clew, signal, request(way))
    wait_until_loaded(clew.data)
    assert clew.stop() == 0
    found = read(clew)
    assert set(found) == set(WAYS)
    for way in WAYS:
        for table, row in every_field.expected(way).items():
            assert found[way][table] == [row], (way, table)


def test_the_specifications_json() -> None:
    """The mapping above is the specification's: what one knows of it by heart is so."""
    span = as_json(every_field.traces("s"))["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert span["traceId"] == "000102030405060708090a0b0c0d0e0f"
    assert span["kind"] == 2
    assert span["startTimeUnixNano"] == "1763781234123456789"
    values = {item["key"]: item["value"] for item in span["attributes"]}
    assert values["int"] == {"intValue": "-9223372036854775808"}
    assert values["bytes"] == {"bytesValue": "AP8Q"}
    assert values["array"]["arrayValue"]["values"][0] == {"intValue": "1"}
    assert values["none"] == {}
