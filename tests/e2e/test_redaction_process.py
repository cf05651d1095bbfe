"""`clew up --redact`: whatever way a secret comes in, no table and no file holds it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.processes import Clew
from support.stored import wait_until_loaded

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SECRET = "hunter2"


def span(number: int) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for key, value in {
        "service.name": "shop",
        "process.command": f"shop --password {SECRET}",
    }.items():
        group.resource.attributes.add(key=key).value.string_value = value
    now = time.time_ns()
    sent = group.scope_spans.add().spans.add(
        trace_id=bytes([number] * 16), span_id=bytes([number] * 8), name=f"work {number}",
        start_time_unix_nano=now, end_time_unix_nano=now + 1000,
    )  # fmt: skip
    for key, value in {
        "url.query": f"token={SECRET}&page={number}",
        "db.query.text": f"SELECT name FROM users WHERE password = '{SECRET}'",
        "iban": SECRET,
    }.items():
        sent.attributes.add(key=key).value.string_value = value
    return request


def log() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.time_unix_nano = time.time_ns()
    record.body.string_value = f"connecting to postgresql://anna:{SECRET}@db/shop"
    return request


def test_no_secret_is_stored(tmp_path: Path) -> None:
    clew = Clew(tmp_path / "data", "--redact", "iban")
    try:
        http = clew.endpoints["otlp_http"]
        protobuf = {"content-type": "application/x-protobuf"}
        answer = httpx.post(
            f"{http}/v1/traces", content=span(1).SerializeToString(), headers=protobuf
        )
        assert answer.content == b""
        document: Any = json_format.MessageToDict(span(2))
        (sent,) = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
        sent |= {"traceId": "02" * 16, "spanId": "02" * 8}
        assert httpx.post(f"{http}/v1/traces", json=document).json() == {}
        target = clew.endpoints["otlp_grpc"].removeprefix("http://")
        with grpc.insecure_channel(target) as channel:
            assert channel.unary_unary(EXPORT)(span(3).SerializeToString(), timeout=60) == b""
        httpx.post(f"{http}/v1/logs", content=log().SerializeToString(), headers=protobuf)
        ledger = clew.get("/api/v1/ledger").json()["signals"]
        counts = {row["signal"]: (row["received"], row["redacted"]) for row in ledger}
        assert (counts["traces"], counts["logs"]) == ((3, 3), (1, 1))
        wait_until_loaded(clew.data)
        for number in (1, 2, 3):
            trace = clew.get(f"/api/v1/traces/{number:02x}" + f"{number:02x}" * 15).json()
            (stored,) = trace["spans"]
            assert stored["attributes"] == {
                "url.query": f"token=REDACTED&page={number}",
                "db.query.text": "SELECT name FROM users WHERE password = ?",
                "iban": "REDACTED",
            }
            assert stored["resource"]["process.command"] == "shop --password REDACTED"
        (record,) = clew.get("/api/v1/logs").json()["logs"]
        assert record["body"] == "connecting to postgresql://REDACTED:REDACTED@db/shop"
    finally:
        assert clew.stop() == 0
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
