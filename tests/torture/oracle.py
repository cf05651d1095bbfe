"""The oracle of the torture suite: it compares what clients were answered with what is stored.

Every span, log record and data point has a number of its own, and a client records a request as
acknowledged only after it has read the success. At the end, for each request:

    LOST      copies that were acknowledged and are not stored
    DUP       copies that are stored although no client sent them: clew's own retries made them
    TORN      requests of which some items are stored more often than others
    FOREIGN   requests that nobody sent

A request without an answer may be stored, or not. A client that then sends it again, as SDKs do, may
cause a second copy: such copies are counted separately (`Verdict.repeated`). An attempt that was
refused (503, UNAVAILABLE) must not be stored.
"""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.processes import Clew
from support.stored import wait_until_loaded

SIGNALS = ("traces", "logs", "metrics")
PROTOBUF = {"content-type": "application/x-protobuf"}
EXPORT = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
ITEMS = 10  # in a request
RATE = 15.0  # requests per second of each of the six senders, at most
# The limit of the process's peak memory. Most of it is the engine's: 0.3 GB when it is open, 0.9 GB
# while it loads a segment of 64 MiB (docs/benchmarks.md).
MEMORY_CAP = 2 << 30


class Outcome:
    """What a client knows after an attempt; any other text is an unexpected response."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


@dataclass
class Book:
    """What the clients know of all requests of a test, by the requests' numbers."""

    acknowledged: dict[str, Counter[int]] = field(
        default_factory=lambda: {signal: Counter() for signal in SIGNALS}
    )
    unanswered: dict[str, Counter[int]] = field(
        default_factory=lambda: {signal: Counter() for signal in SIGNALS}
    )
    refused: int = 0
    unexpected: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def record(self, signal: str, number: int, outcome: str) -> None:
        """Record an attempt; to be called by the thread that sent it."""
        if outcome == Outcome.ACKNOWLEDGED:
            self.acknowledged[signal][number] += 1
        elif outcome == Outcome.UNANSWERED:
            self.unanswered[signal][number] += 1
        elif outcome == Outcome.REFUSED:
            self.refused += 1
        else:
            self.unexpected.append(outcome)

    def total(self) -> int:
        """The number of acknowledged attempts."""
        return sum(counter.total() for counter in self.acknowledged.values())


class Load:
    """Six senders, one for each signal over HTTP and over gRPC, at a bounded rate.

    Those over gRPC send a request again until it is acknowledged, as an SDK does; those over HTTP
    do not. A further thread checks the ledger's equation meanwhile."""

    def __init__(self, book: Book, clew: Clew, rate: float = RATE, make: Any = None) -> None:
        self.book = book
        self.answered_at = dict.fromkeys(SIGNALS, 0.0)
        self._clew = clew
        self._make = make or request
        self._pause = 1 / rate
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(signal, client))
            for signal in SIGNALS
            for client in (Http, Grpc)
        ]
        self._threads.append(threading.Thread(target=self._watch))
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, seconds: float) -> None:
        """Wait until a request of each signal is acknowledged, after so many seconds at least."""
        until = time.monotonic() + seconds
        wait_for(lambda: all(self.answered_at[signal] > until for signal in SIGNALS), seconds + 60)

    def _run(self, signal: str, client_type: type[Http] | type[Grpc]) -> None:
        chance = random.Random(f"{signal} {client_type.__name__}")
        client = client_type(self._clew)
        while not self._stop.is_set():
            number = next(self.book.numbers)
            body = self._make(signal, number)
            while True:
                outcome = client.send(signal, body)
                self.book.record(signal, number, outcome)
                if outcome == Outcome.ACKNOWLEDGED:
                    self.answered_at[signal] = time.monotonic()
                if outcome == Outcome.ACKNOWLEDGED or not client.repeats or self._stop.is_set():
                    break
                self._stop.wait(0.1)
            self._stop.wait(chance.uniform(0.5, 1.5) * self._pause)
        client.close()

    def _watch(self) -> None:
        while not self._stop.wait(0.3):
            try:
                self.book.unexpected += unequal(ledger(self._clew))
            except httpx.TransportError:
                continue  # it is down
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 503:  # 503: its server is down
                    self.book.unexpected.append(str(error))


class Http:
    """A client that sends every request once."""

    repeats = False

    def __init__(self, clew: Clew) -> None:
        self._clew = clew
        self._client = httpx.Client(timeout=30)

    def send(self, signal: str, body: bytes) -> str:
        """Send the request once. Returns an Outcome, or an unexpected response."""
        try:
            url = f"{self._clew.endpoints['otlp_http']}/v1/{signal}"
            answer = self._client.post(url, content=body, headers=PROTOBUF)
        except httpx.HTTPError:
            time.sleep(0.05)
            return Outcome.UNANSWERED
        if answer.status_code == 200:
            return Outcome.ACKNOWLEDGED
        if answer.status_code == 503:
            return Outcome.REFUSED
        return f"{answer.status_code} {answer.text}"

    def close(self) -> None:
        self._client.close()


class Grpc:
    """A client that sends every request until it is acknowledged."""

    repeats = True

    def __init__(self, clew: Clew) -> None:
        self._clew = clew
        self._target = ""
        self._channel: Any = None

    def send(self, signal: str, body: bytes) -> str:
        target = self._clew.endpoints["otlp_grpc"].removeprefix("http://")
        if target != self._target:
            self.close()
            self._target = target
            self._channel = grpc.insecure_channel(target)
        try:
            self._channel.unary_unary(EXPORT[signal])(body, timeout=30)
        except grpc.RpcError as error:
            # gRPC itself reports UNAVAILABLE when a connection breaks: only with details it comes
            # from clew.
            details = dict(error.trailing_metadata() or ())
            if "grpc-status-details-bin" in details:
                return Outcome.REFUSED
            if error.code() in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.CANCELLED,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            ):
                time.sleep(0.05)
                return Outcome.UNANSWERED
            return f"{error.code()} {error.details()}"
        return Outcome.ACKNOWLEDGED

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()


def request(signal: str, number: int, time_ns: int | None = None, items: int = ITEMS) -> bytes:
    """The body of a request; its items are numbered from number << 16 on, and have this time."""
    now = time.time_ns() if time_ns is None else time_ns
    numbers = range(number << 16, (number << 16) + items)
    if signal == "traces":
        traces = ExportTraceServiceRequest()
        resource = traces.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "torture"
        scope = resource.scope_spans.add()
        for item in numbers:
            span = scope.spans.add(
                trace_id=number.to_bytes(16, "big"), span_id=item.to_bytes(8, "big"),
                parent_span_id=b"" if item == numbers[0] else numbers[0].to_bytes(8, "big"),
                name=f"request {number % 50}", kind=2, start_time_unix_nano=now,
                end_time_unix_nano=min(now + 1000, 2**64 - 1),
            )  # fmt: skip
            if number % 7 == 0:  # a nested value, which the loader writes out
                span.attributes.add(key="list").value.array_value.values.add().int_value = item
        return bytes(traces.SerializeToString())
    if signal == "logs":
        logs = ExportLogsServiceRequest()
        scope = logs.resource_logs.add().scope_logs.add()
        for item in numbers:
            record = scope.log_records.add(
                time_unix_nano=now, span_id=item.to_bytes(8, "big"), trace_id=b"t" * 16
            )
            record.body.string_value = f"record {item}"
            if number % 11 == 0:
                record.body.kvlist_value.values.add(key="nested").value.int_value = item
        return bytes(logs.SerializeToString())
    metrics = ExportMetricsServiceRequest()
    scope = metrics.resource_metrics.add().scope_metrics.add()
    for index, item in enumerate(numbers):
        metric = scope.metrics.add(name=f"metric {index}", unit="1")
        kind = index % 5
        if kind < 2:
            points = (metric.gauge if kind else metric.sum).data_points
            points.add(time_unix_nano=now, as_double=float(item))
        else:
            points = (metric.histogram, metric.exponential_histogram, metric.summary)[kind - 2]
            points.data_points.add(time_unix_nano=now, sum=float(item), count=1)
    return bytes(metrics.SerializeToString())


@dataclass(frozen=True)
class Stored:
    """What is in the tables.

    `requests`: for each request the number of its distinct items, and how often the least and the
    most frequent of them are stored; `sides`: whether the side tables equal their base tables."""

    requests: dict[str, dict[int, tuple[int, int, int]]]
    rows: dict[str, int]
    sides: bool
    parts: int
    partitions: int

    @classmethod
    def read(cls, dsn: str) -> Stored:
        """Read the database at this DSN, in a process of its own."""
        process = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("count_stored.py")), dsn],
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        output = json.loads(process.stdout)
        requests = {
            signal: {number: (items, least, most) for number, items, least, most in counts}
            for signal, counts in output["requests"].items()
        }
        return cls(
            requests, **{name: output[name] for name in ("rows", "sides", "parts", "partitions")}
        )


@dataclass(frozen=True)
class Verdict:
    """What the oracle found. `repeated` counts copies that the clients caused: they are no fault."""

    acknowledged: int
    stored: int
    lost: list[tuple[str, int]]
    doubled: list[tuple[str, int]]
    torn: list[tuple[str, int]]
    foreign: list[tuple[str, int]]
    repeated: int
    sides: bool

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} requests acknowledged, {self.stored} copies stored: LOST "
            f"{len(self.lost)} DUP {len(self.doubled)} TORN {len(self.torn)} FOREIGN "
            f"{len(self.foreign)}; {self.repeated} copies caused by their clients"
        )

    @property
    def passed(self) -> bool:
        return self.sides and not (self.lost or self.doubled or self.torn or self.foreign)


def judge(book: Book, stored: Stored, items: int = ITEMS) -> Verdict:
    """Compare what is stored with what the clients were answered."""
    lost, doubled, torn, foreign = [], [], [], []
    repeated = copies = 0
    for signal in SIGNALS:
        acknowledged, unanswered = book.acknowledged[signal], book.unanswered[signal]
        for number in acknowledged:
            distinct, least, most = stored.requests[signal].get(number, (0, 0, 0))
            if distinct < items or least < acknowledged[number]:
                lost.append((signal, number))
        for number, (distinct, least, most) in stored.requests[signal].items():
            copies += least
            if number not in acknowledged and number not in unanswered:
                foreign.append((signal, number))
                continue
            if most > acknowledged[number] + unanswered[number]:
                doubled.append((signal, number))
            elif distinct != items or least != most:
                torn.append((signal, number))
            repeated += max(0, least - 1)
    return Verdict(book.total(), copies, lost, doubled, torn, foreign, repeated, stored.sides)


def segments(clew: Clew) -> list[str]:
    """The names of the spool's files: segments that are not in the tables or not in the ledger."""
    return [path.name for path in clew.data.glob("spool/*/*")]


def check(clew: Clew, book: Book, dsn: str = "", at_least: int = 1) -> Verdict:
    """The end of every torture test: everything is loaded, the ledger adds up, clew stops with status
    0, and the oracle finds no fault. clew must be running."""
    wait_until_loaded(clew.data, 600)
    accounts = ledger(clew)
    assert unequal(accounts) == []
    peak = peak_memory(clew.process.pid)
    assert clew.stop() == 0
    assert book.unexpected == []
    stored = Stored.read(dsn or f"chdb://{clew.data / 'db'}")
    verdict = judge(book, stored)
    print(verdict, f"memory {peak >> 20} MiB")
    assert verdict.passed, (verdict, verdict.lost[:5], verdict.doubled[:5], verdict.torn[:5])
    assert book.total() >= at_least
    assert peak < MEMORY_CAP
    for account in accounts:
        assert account["stored"] == stored.rows[account["signal"]], accounts
        assert (account["rejected"], account["pending"]) == (0, 0), accounts
    return verdict


def ledger(clew: Clew, wait: float | None = None) -> list[dict[str, Any]]:
    """The ledger of clew's API, one account for each signal; with `wait`, seconds that it may take
    until everything is loaded."""
    window: dict[str, Any] = {"start": "1970-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
    parameters = window if wait is None else window | {"wait": wait}
    response = httpx.get(f"{clew.endpoints['api']}/api/v1/ledger", params=parameters, timeout=20)
    response.raise_for_status()
    accounts: list[dict[str, Any]] = response.json()["signals"]
    return accounts


def unequal(accounts: list[dict[str, Any]]) -> list[str]:
    """A line for each account in which received = stored + rejected + pending does not hold."""
    return [
        f"the ledger does not add up: {account}" for account in accounts
        if account["received"] != account["stored"] + account["rejected"] + account["pending"]
    ]  # fmt: skip


def peak_memory(process: int) -> int:
    """The peak of the process's resident memory, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


def wait_for(condition: Callable[[], object], seconds: float = 60, pause: float = 0.05) -> None:
    """Wait until the condition is true; fails after so many seconds. Use a longer `pause` where the
    condition takes time of clew's."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(pause)


@contextmanager
def within_seconds(limit: float) -> Iterator[None]:
    """Fails if its block takes longer. For the few times that clew promises."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < limit
