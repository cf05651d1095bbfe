"""The ledger's equation, received = stored + rejected + pending, at every moment and across kills."""

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


def ledger(clew: Any, **parameters: object) -> dict[str, dict[str, Any]]:
    """The ledger by signal. The equation is checked for every signal and every minute."""
    document = clew.get("/api/v1/ledger", **parameters).json()
    for signal in document["signals"]:
        for account in (signal, *signal["series"]):
            assert (
                account["received"] == account["stored"] + account["rejected"] + account["pending"]
            ), account
            assert account["rejected"] == sum(account["reasons"].values())
            assert account["stored"] == sum(service["stored"] for service in account["services"])
        for name in ("received", "stored", "rejected", "pending", "late"):
            assert signal[name] == sum(minute[name] for minute in signal["series"])
    return {signal["signal"]: signal for signal in document["signals"]}


def loaded(clew: Any) -> dict[str, dict[str, Any]]:
    """The ledger by signal, once nothing is pending."""
    deadline = time.monotonic() + 30
    while any(signal["pending"] for signal in ledger(clew, wait=5).values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return ledger(clew)


def test_every_item_is_counted_and_counts_survive_a_restart(clew: Any) -> None:
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
    accounts = loaded(clew)
    traces = accounts["traces"]
    assert (traces["received"], traces["stored"], traces["late"]) == (10, 9, 4)
    assert traces["reasons"] == {"invalid_trace_id": 1}
    assert traces["services"] == [
        {"service": "", "stored": 2, "late": 1},
        {"service": "shop", "stored": 7, "late": 3},
    ]
    assert [accounts[signal]["stored"] for signal in ("logs", "metrics")] == [30, 7]
    assert clew.get("/api/v1/ledger").json()["unreadable_requests"] == 2
    assert clew.stop() == 0
    clew.start()
    assert ledger(clew) == accounts
    assert clew.get("/api/v1/ledger").json()["unreadable_requests"] == 2
    assert not [path for path in (clew.data / "spool").rglob("*") if path.is_file()]


@pytest.mark.slow  # the torture suite checks it too
def test_the_equation_holds_at_every_moment_and_across_kills(clew: Any) -> None:
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
            deadline = time.monotonic() + 2
            while time.monotonic() < deadline:
                sent = acknowledged[0]
                assert ledger(clew)["traces"]["received"] >= sent
            clew.kill()
            clew.start()
            sent = acknowledged[0]  # the sender continues meanwhile
            assert ledger(clew)["traces"]["received"] >= sent
    finally:
        stop.set()
        sending.join()
    assert loaded(clew)["traces"]["stored"] >= acknowledged[0] > 0


def test_dead_letters_are_listed_and_replayed(clew: Any) -> None:
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
    replayed = replay()
    assert (replayed.returncode, replayed.stdout.split()[-1]) == (0, "taken")
    assert not list(folder.iterdir())
    assert loaded(clew)["traces"]["services"] == [{"service": "late", "stored": 1, "late": 0}]
    clew.stop()
    failed = replay()
    assert failed.returncode == 2
    assert "no clew runs on" in failed.stderr
