"""received = stored + rejected + pending, whenever it is asked, across kills and restarts."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.processes import CLEW

PROTOBUF = {"content-type": "application/x-protobuf"}


def spans(service: str, *starts: int, ids: tuple[bytes, ...] = (b"t" * 16,)) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    if service:
        resource.resource.attributes.add(key="service.name").value.string_value = service
    scope = resource.scope_spans.add()
    for number, start in enumerate(starts):
        scope.spans.add(trace_id=ids[number % len(ids)], span_id=(number + 1).to_bytes(8, "big"), name="s",
                        start_time_unix_nano=start, end_time_unix_nano=start)  # fmt: skip
    return request.SerializeToString()


def logs(count: int) -> bytes:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for _ in range(count):
        scope.log_records.add(time_unix_nano=time.time_ns())
    return request.SerializeToString()


def points(count: int) -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for value in range(count):
        metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_int=value)
    return request.SerializeToString()


def post(clew: Any, signal: str, body: bytes) -> httpx.Response:
    return httpx.post(f"{clew.endpoints['otlp_http']}/v1/{signal}", content=body, headers=PROTOBUF)


def ledger(clew: Any) -> dict[str, dict[str, Any]]:
    """The ledger by signal; its equation is checked for each of them, and for each minute."""
    answer = clew.get("/api/v1/ledger").json()
    for signal in answer["signals"]:
        for account in (signal, *signal["series"]):
            assert (
                account["received"] == account["stored"] + account["rejected"] + account["pending"]
            ), account
            assert account["rejected"] == sum(account["reasons"].values())
            assert account["stored"] == sum(each["stored"] for each in account["services"])
        for word in ("received", "stored", "rejected", "pending", "late"):
            assert signal[word] == sum(minute[word] for minute in signal["series"])
    return {signal["signal"]: signal for signal in answer["signals"]}


def settled(clew: Any) -> dict[str, dict[str, Any]]:
    deadline = time.monotonic() + 30
    while any(signal["pending"] for signal in ledger(clew).values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return ledger(clew)


def test_what_was_sent_and_what_became_of_it(clew: Any) -> None:
    now = time.time_ns()
    hour = 3600 * 10**9
    assert post(clew, "traces", spans("shop", now, now, 1, now - 2 * hour, 2**63 + 5)).is_success
    assert post(clew, "traces", spans("", now, now + 2 * hour)).is_success
    assert post(clew, "traces", spans("shop", now, now, now, ids=(b"t" * 16, b"short"))).is_success
    assert post(clew, "logs", logs(30)).is_success
    assert post(clew, "metrics", points(7)).is_success
    assert post(clew, "traces", b"garbage").status_code == 400
    assert post(clew, "logs", b"garbage").status_code == 400
    assert ledger(clew)["traces"]["received"] == 10
    done = settled(clew)
    traces = done["traces"]
    assert (traces["received"], traces["stored"], traces["late"]) == (10, 9, 4)
    assert traces["reasons"] == {"invalid_trace_id": 1}
    assert traces["services"] == [
        {"service": "", "stored": 2, "late": 1},
        {"service": "shop", "stored": 7, "late": 3},
    ]
    assert [done[signal]["stored"] for signal in ("logs", "metrics")] == [30, 7]
    assert clew.get("/api/v1/ledger").json()["unreadable_requests"] == 2
    assert clew.stop() == 0
    clew.start()
    assert ledger(clew) == done
    assert clew.get("/api/v1/ledger").json()["unreadable_requests"] == 2
    assert not [path for path in (clew.data / "spool").rglob("*") if path.is_file()]


@pytest.mark.slow  # the torture suite watches it too
def test_the_equation_holds_at_every_moment_and_through_kills(clew: Any) -> None:
    stop = threading.Event()
    acknowledged = [0]

    def send() -> None:
        while not stop.is_set():
            try:
                if post(clew, "traces", spans("shop", *[time.time_ns()] * 50)).is_success:
                    acknowledged[0] += 50
            except httpx.HTTPError:
                time.sleep(0.05)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        for _ in range(2):
            until = time.monotonic() + 2
            while time.monotonic() < until:
                before = acknowledged[0]
                assert ledger(clew)["traces"]["received"] >= before
            clew.kill()
            clew.start()
            before = acknowledged[0]  # the sender goes on
            assert ledger(clew)["traces"]["received"] >= before
    finally:
        stop.set()
        sending.join()
    assert settled(clew)["traces"]["stored"] >= acknowledged[0] > 0


def test_what_was_set_aside_is_listed_and_replayed(clew: Any) -> None:
    folder = clew.data / "dead-letter" / "traces"
    folder.mkdir(parents=True)
    letter = folder / f"{1:020}-0123456789abcdef.binpb"
    letter.write_bytes(spans("late", time.time_ns()))
    letter.with_suffix(".json").write_text(
        json.dumps({"signal": "traces", "items": 1, "received": "", "reason": "Code: 444. why"})
    )

    def replay(*flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CLEW, "replay", "--data", str(clew.data), *flags], capture_output=True, text=True
        )

    assert "1 traces  Code: 444. why" in replay("--list").stdout
    assert letter.exists()
    done = replay()
    assert (done.returncode, done.stdout.split()[-1]) == (0, "taken")
    assert not list(folder.iterdir())
    assert settled(clew)["traces"]["services"] == [{"service": "late", "stored": 1, "late": 0}]
    clew.stop()
    nobody = replay()
    assert nobody.returncode == 2
    assert "no clew runs on" in nobody.stderr
