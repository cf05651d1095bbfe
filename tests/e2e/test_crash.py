"""kill -9 under load: what was acknowledged is stored exactly once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stored import wait_until_loaded

SENDERS = 3
SPANS = 40  # in a request
PROTOBUF = {"content-type": "application/x-protobuf"}


class Load:
    """Senders that write down a request's number only after its success was answered.

    A request whose answer never came is sent no second time: it may be stored, or not."""

    def __init__(self, url: str) -> None:
        self.acknowledged: set[int] = set()
        self.unanswered: set[int] = set()
        self._number = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._url = url
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def aim_at(self, url: str) -> None:
        self._url = url

    def _send(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._number += 1
                number = self._number
            try:
                url = f"{self._url}/v1/traces"
                answer = httpx.post(url, content=traces(number), headers=PROTOBUF, timeout=10)
            except httpx.HTTPError:
                self.unanswered.add(number)
                time.sleep(0.05)
                continue
            assert answer.status_code in (200, 503), answer.text
            if answer.status_code == 200:
                self.acknowledged.add(number)


def traces(number: int) -> bytes:
    """One request; its number is in every span's id and name."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "crash"
    scope = resource.scope_spans.add()
    now = time.time_ns()
    for index in range(SPANS):
        span = scope.spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=(number << 16 | index).to_bytes(8, "big"),
            parent_span_id=b"" if index == 0 else (number << 16).to_bytes(8, "big"), name=f"request {number % 50}",
            start_time_unix_nano=now, end_time_unix_nano=now + 1000,
        )  # fmt: skip
        if number % 7 == 0:
            span.attributes.add(key="list").value.array_value.values.add().int_value = index
    return request.SerializeToString()


def check(clew, load: Load) -> None:
    """LOST 0, DUP 0, and the side tables say what the base says. The engine is opened here, so clew
    must have been stopped."""
    import subprocess
    import sys

    script = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent.parent / "integration")!r})
from clew.storage import Store
from loading import rows, sides_equal_their_base
store = Store("chdb://{clew.data / "db"}")
spans = rows(store, "SELECT SpanId, count() AS n FROM otel.otel_traces GROUP BY SpanId")
print(json.dumps([[int(row["SpanId"], 16), row["n"]] for row in spans]))
print(json.dumps(sides_equal_their_base(store)))
"""
    import json

    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    spans, sides = map(json.loads, answer.stdout.splitlines())
    stored = Counter(span >> 16 for span, _ in spans)
    assert [span for span, times in spans if times > 1] == []
    assert {number for number in load.acknowledged if stored[number] != SPANS} == set()
    assert {number for number in stored if stored[number] != SPANS} == set()
    assert set(stored) <= load.acknowledged | load.unanswered
    assert sides


@pytest.mark.parametrize("cycles", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_under_load(clew, cycles: int) -> None:
    chance = random.Random(cycles)
    load = Load(clew.endpoints["otlp_http"])
    for _ in range(cycles):
        time.sleep(chance.uniform(0.2, 2.0))
        clew.kill()
        clew.start()
        load.aim_at(clew.endpoints["otlp_http"])
    time.sleep(0.5)
    load.stop()
    wait_until_loaded(clew.data)
    assert clew.stop() == 0
    assert len(load.acknowledged) > 10 * cycles
    check(clew, load)


def test_killed_while_it_recovers(clew) -> None:
    load = Load(clew.endpoints["otlp_http"])
    time.sleep(1.5)
    clew.kill()
    load.stop()
    for pause in (0.9, 1.2, 1.5, 1.8, 2.1):
        clew.start_without_waiting()
        time.sleep(pause)
        clew.kill()
    clew.start()
    wait_until_loaded(clew.data)
    assert clew.stop() == 0
    check(clew, load)


def test_terminated_under_load(clew) -> None:
    load = Load(clew.endpoints["otlp_http"])
    time.sleep(1.5)
    assert clew.stop() == 0
    load.stop()
    assert load.acknowledged
    clew.start()
    wait_until_loaded(clew.data)
    assert clew.stop() == 0
    check(clew, load)


def test_answers_the_specification_wants(clew) -> None:
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


def test_a_log_and_a_metric_by_grpc_and_http_are_there_at_once(clew) -> None:
    """Both ways end in the same rows."""
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
        with pytest.raises(grpc.RpcError) as refused:
            export(b"garbage")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    wait_until_loaded(clew.data)
    logs = clew.get("/api/v1/logs", service="both").json()["logs"]
    assert [log["body"] for log in logs] == ["the same record"] * 2
