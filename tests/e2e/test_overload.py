"""At the limit of bytes in flight, requests are refused for now; smaller ones are accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.processes import Clew

PROTOBUF = {"content-type": "application/x-protobuf"}


def spans(count: int, filling: int) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(count):
        scope.spans.add(
            trace_id=b"t" * 16, span_id=(number + 1).to_bytes(8, "big"), name="x" * filling,
            start_time_unix_nano=1, end_time_unix_nano=1,
        )  # fmt: skip
    return request.SerializeToString()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Clew]:
    running = Clew(tmp_path / "data", "--in-flight-limit", "1")
    yield running
    running.stop()


def test_requests_above_the_limit_in_flight_are_refused_for_now(small: Clew) -> None:
    large, little = spans(2, 600_000), spans(2, 10)
    url = f"{small.endpoints['otlp_http']}/v1/traces"
    refused = httpx.post(url, content=large, headers=PROTOBUF)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert Status.FromString(refused.content).code == 14
    as_json = httpx.post(url, content=large, headers={"content-type": "application/json"})
    assert as_json.json()["code"] == 14
    target = small.endpoints["otlp_grpc"].removeprefix("http://")
    with grpc.insecure_channel(target) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.RpcError) as error:
            export(large)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        details = dict(error.value.trailing_metadata())["grpc-status-details-bin"]
        retry = RetryInfo()
        assert Status.FromString(details).details[0].Unpack(retry)
        assert retry.retry_delay.seconds == 1
        assert export(little) == b""
        with pytest.raises(grpc.RpcError) as error:
            export(b"\0" * ((64 << 20) + 1))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for _ in range(20):
        assert httpx.post(url, content=little, headers=PROTOBUF).status_code == 200
