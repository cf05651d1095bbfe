"""The receivers as clients see them: their responses, and large requests."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.processes import Clew
from support.stored import wait_until_loaded

NOBODYS = b"nobody's" * 2
PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def clew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clew]:
    """One clew for all of these tests; every test sends its own items."""
    running = Clew(tmp_path_factory.mktemp("receiving") / "data")
    yield running
    assert running.stop() == 0


def test_responses_follow_the_specification(clew) -> None:
    url = f"{clew.endpoints['otlp_http']}/v1/traces"

    def post(
        body: bytes, content_type: str = "application/x-protobuf", **headers: str
    ) -> httpx.Response:
        return httpx.post(
            url, content=body, headers={"content-type": content_type, **headers}, timeout=60
        )

    empty = post(b"")
    assert (empty.status_code, empty.content) == (200, b"")
    assert empty.headers["content-type"] == "application/x-protobuf"
    assert post(b"{}", "application/json").json() == {}
    garbage = post(b"garbage")
    assert garbage.status_code == 400
    assert garbage.headers["content-type"] == "application/x-protobuf"
    assert garbage.content.startswith(b"\x08\x03\x12")
    assert post(b"{", "application/json; charset=utf-8").json()["code"] == 3
    assert post(b"", "text/plain").status_code == 415
    assert post(b"", "application/json", **{"content-encoding": "br"}).status_code == 415
    assert post(b"\0" * (64 << 20) + b"\0").status_code == 413
    assert httpx.get(url).status_code == 405
    assert httpx.post(f"{url}x", content=b"").status_code == 404


def test_a_body_of_60_mib_and_a_trace_of_10_000_spans(clew) -> None:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "large"
    scope = resource.scope_spans.add()
    now = time.time_ns()
    for index in range(10_000):
        span = scope.spans.add(
            trace_id=b"large" + b"\0" * 11, span_id=(index + 1).to_bytes(8, "big"), name="part",
            parent_span_id=b"" if index == 0 else (index // 10 + 1).to_bytes(8, "big") if index >= 10 else (1).to_bytes(8, "big"),
            start_time_unix_nano=now + index, end_time_unix_nano=now + 10**9 - index,
        )  # fmt: skip
        span.attributes.add(key="filling").value.string_value = "x" * 6200
    body = request.SerializeToString()
    assert 58 << 20 < len(body) < 64 << 20
    url = f"{clew.endpoints['otlp_http']}/v1/traces"
    assert httpx.post(url, content=body, headers=PROTOBUF, timeout=60).status_code == 200
    wait_until_loaded(clew.data)
    trace = clew.get(f"/api/v1/traces/{(b'large' + bytes(11)).hex()}").json()
    assert trace["span_count"] == len(trace["spans"]) == 10_000
    assert trace["complete"]
    assert trace["truncated"] is False
    assert trace["duration_ms"] == 1000.0


def test_the_same_request_over_http_and_grpc_becomes_the_same_rows(clew) -> None:
    import grpc

    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "both"
    record = resource.scope_logs.add().log_records.add(time_unix_nano=time.time_ns())
    record.body.string_value = "the same record"
    body = request.SerializeToString()
    url = f"{clew.endpoints['otlp_http']}/v1/logs"
    assert httpx.post(url, content=body, headers=PROTOBUF).status_code == 200
    with grpc.insecure_channel(clew.endpoints["otlp_grpc"].removeprefix("http://")) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")
        assert export(body) == b""
        with pytest.raises(grpc.RpcError) as error:
            export(b"garbage")
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    wait_until_loaded(clew.data)
    logs = clew.get("/api/v1/logs", service="both").json()["logs"]
    assert [log["body"] for log in logs] == ["the same record"] * 2


def test_spans_without_a_service(clew) -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    now = time.time_ns()
    for number in (1, 2):
        scope.spans.add(
            trace_id=NOBODYS, span_id=number.to_bytes(8, "big"), name="part",
            parent_span_id=(1).to_bytes(8, "big") if number == 2 else b"",
            start_time_unix_nano=now, end_time_unix_nano=now + 10**6,
        )  # fmt: skip
    url = f"{clew.endpoints['otlp_http']}/v1/traces"
    answer = httpx.post(url, content=request.SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, answer.content) == (200, b"")
    wait_until_loaded(clew.data)
    trace = clew.get(f"/api/v1/traces/{NOBODYS.hex()}").json()
    assert [span["service"] for span in trace["spans"]] == ["", ""]
    assert trace["services"] == [""]
    listed = clew.get("/api/v1/transactions", environment="").json()["transactions"]
    (transaction,) = (row for row in listed if row["service"] == "")
    assert (transaction["name"], transaction["count"]) == (": part", 1)
    view = clew.get(f"/api/v1/transactions/{transaction['id']}").json()
    assert [trace["trace_id"] for trace in view["traces"]["slowest"]] == [NOBODYS.hex()]
