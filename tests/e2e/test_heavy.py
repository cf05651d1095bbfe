"""Requests at OTLP's limits are stored completely, in bounded memory."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.stored import ask, wait_until_loaded

pytestmark = pytest.mark.slow  # half a minute each; test_receiving.py has what is a tenth of it

MEBIBYTE = 1 << 20
PEAK = 2000  # MiB of resident memory; measured: 1012 at most, for a trace of 100,000 spans


def new_request(service: str) -> tuple[ExportTraceServiceRequest, Any]:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    return request, resource.scope_spans.add().spans


def add(spans: Any, trace: int, number: int, parent: int = 0) -> Any:
    now = time.time_ns()
    return spans.add(
        trace_id=trace.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="part",
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        start_time_unix_nano=now, end_time_unix_nano=now + 10**6,
    )  # fmt: skip


def send(clew, request: ExportTraceServiceRequest) -> None:
    response = httpx.post(
        f"{clew.endpoints['otlp_http']}/v1/traces",
        content=request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
        timeout=120,
    )
    assert (response.status_code, response.content) == (200, b"")


def peak(clew) -> int:
    """The peak of the process's resident memory, in MiB."""
    with open(f"/proc/{clew.process.pid}/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def stored(clew, columns: str) -> dict[str, Any]:
    wait_until_loaded(clew.data)
    assert peak(clew) < PEAK
    assert clew.stop() == 0
    ((row,),) = ask(clew, f"SELECT {columns} FROM otel.otel_traces WHERE ServiceName != 'clew'")
    return row


def test_an_attribute_of_10_megabytes_and_forty_of_one(clew) -> None:
    request, spans = new_request("large")
    add(spans, 1, 1).attributes.add(key="filling").value.string_value = "x" * 10_000_000
    for number in range(2, 42):
        add(spans, 1, number, 1).attributes.add(key="filling").value.string_value = "ü" * (MEBIBYTE // 2)  # fmt: skip
    send(clew, request)
    wait_until_loaded(clew.data)
    row = stored(
        clew,
        "count() AS n, max(length(SpanAttributes['filling'])) AS longest, "
        "countIf(SpanAttributes['filling'] = repeat('ü', 524288)) AS whole",
    )
    assert row == {"n": 41, "longest": 10_000_000, "whole": 40}


def test_a_trace_of_100_000_spans(clew) -> None:
    request, spans = new_request("deep")
    for number in range(1, 100_001):
        add(spans, 1, number, number // 2)
    send(clew, request)
    wait_until_loaded(clew.data)
    trace = clew.get(f"/api/v1/traces/{1:032x}").json()
    assert trace["span_count"] == 100_000
    assert len(trace["spans"]) == 100_000
    assert trace["complete"]
    assert clew.get("/api/v1/traces").json()["traces"][0]["span_count"] == 100_000
    row = stored(clew, "count() AS n, uniqExact(SpanId) AS ids, uniqExact(TraceId) AS traces")
    assert row == {"n": 100_000, "ids": 100_000, "traces": 1}


def test_a_million_different_keys_in_one_body(clew) -> None:
    request, spans = new_request("keys")
    for number in range(1, 1001):
        span = add(spans, number, number)
        for key in range(1000):
            span.attributes.add(key=f"key.{number}.{key}").value.int_value = key
    send(clew, request)
    row = stored(
        clew,
        "count() AS n, sum(length(SpanAttributes)) AS pairs, uniqExactArray(mapKeys(SpanAttributes)) AS keys, "
        "sum(arraySum(arrayMap(v -> toUInt64(v), mapValues(SpanAttributes)))) AS total",
    )
    assert row == {"n": 1000, "pairs": 10**6, "keys": 10**6, "total": 1000 * 499_500}
