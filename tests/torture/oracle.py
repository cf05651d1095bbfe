"""The oracle of the torture suite: what clients know they were told, against what is stored.

Every span, log record and data point that is sent has a number of its own, and a client writes a
request down as acknowledged only after it has read a success. At the end, for each request:

    LOST      copies that were acknowledged and are not stored
    DUP       copies that are stored, and no client sent: clew's own retries made them
    TORN      requests of which some items are stored more often than others
    FOREIGN   requests that nobody sent

A client that got no answer cannot know: its request may be stored, or not. A client that then sends
it again, as SDKs do, may end up with both: so many copies are its own, and counted apart
(`Verdict.repeated`). A request that was refused (503, UNAVAILABLE) must not be stored for that.
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
RATE = 15.0  # requests a second and sender, at most; there are six senders
# What the process may have held at its fullest. The engine is the most of it: 0.3 GB when it is
# open, 0.9 GB with a segment of 64 MiB being loaded (docs/benchmarks.md).
MEMORY_CAP = 2 << 30


class Answer:
    """What a client knows of an attempt; anything else is an answer that should not have come."""

    YES = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unanswered"


@dataclass
class Book:
    """What the clients know. One number for each request, over all of a test's loads."""

    acknowledged: dict[str, Counter[int]] = field(
        default_factory=lambda: {signal: Counter() for signal in SIGNALS}
    )
    unanswered: dict[str, Counter[int]] = field(
        default_factory=lambda: {signal: Counter() for signal in SIGNALS}
    )
    refused: int = 0
    unexpected: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def note(self, signal: str, number: int, answer: str) -> None:
        """Called once for each attempt, by the one thread that has this number."""
        if answer == Answer.YES:
            self.acknowledged[signal][number] += 1
        elif answer == Answer.UNKNOWN:
            self.unanswered[signal][number] += 1
        elif answer == Answer.REFUSED:
            self.refused += 1
        else:
            self.unexpected.append(answer)

    def total(self) -> int:
        """How many requests were acknowledged."""
        return sum(counter.total() for counter in self.acknowledged.values())


class Load:
    """Six senders, each of the signals over HTTP and over gRPC, at a bounded rate.

    Those over gRPC send a request again until it is answered, as an SDK does; those over HTTP do
    not. Meanwhile the ledger's equation is watched."""

    def __init__(self, book: Book, clew: Clew, rate: float = RATE, make: Any = None) -> None:
        self.book = book
        self.answered_at = dict.fromkeys(SIGNALS, 0.0)
        self._clew = clew
        self._make = make or request
        self._pause = 1 / rate
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(signal, over))
            for signal in SIGNALS
            for over in (Http, Grpc)
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
        """Until each signal was acknowledged later than so many seconds from now."""
        until = time.monotonic() + seconds
        wait_for(lambda: all(self.answered_at[signal] > until for signal in SIGNALS), seconds + 60)

    def _run(self, signal: str, over: type[Http] | type[Grpc]) -> None:
        chance = random.Random(f"{signal} {over.__name__}")
        client = over(self._clew)
        while not self._stop.is_set():
            number = next(self.book.numbers)
            body = self._make(signal, number)
            while True:
                answer = client.send(signal, body)
                self.book.note(signal, number, answer)
                if answer == Answer.YES:
                    self.answered_at[signal] = time.monotonic()
                if answer == Answer.YES or not over.repeats or self._stop.is_set():
                    break
                self._stop.wait(0.1)
            self._stop.wait(chance.uniform(0.5, 1.5) * self._pause)
        client.close()

    def _watch(self) -> None:
        while not self._stop.wait(0.3):
            try:
                self.book.unexpected += unequal(ledger(self._clew))
            except httpx.TransportError:
                continue  # it is down just now
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 503:  # so is its server
                    self.book.unexpected.append(str(error))


class Http:
    """A client that sends a request once."""

    repeats = False

    def __init__(self, clew: Clew) -> None:
        self._clew = clew
        self._client = httpx.Client(timeout=30)

    def send(self, signal: str, body: bytes) -> str:
        """One attempt; what the client knows after it."""
        try:
            url = f"{self._clew.endpoints['otlp_http']}/v1/{signal}"
            answer = self._client.post(url, content=body, headers=PROTOBUF)
        except httpx.HTTPError:
            time.sleep(0.05)
            return Answer.UNKNOWN
        if answer.status_code == 200:
            return Answer.YES
        if answer.status_code == 503:
            return Answer.REFUSED
        return f"{answer.status_code} {answer.text}"

    def close(self) -> None:
        self._client.close()


class Grpc:
    """A client that sends a request until it is answered."""

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
            # UNAVAILABLE is also what gRPC itself says of a connection that broke: only with
            # details is it clew's word that nothing was kept.
            details = dict(error.trailing_metadata() or ())
            if "grpc-status-details-bin" in details:
                return Answer.REFUSED
            if error.code() in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.CANCELLED,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            ):
                time.sleep(0.05)
                return Answer.UNKNOWN
            return f"{error.code()} {error.details()}"
        return Answer.YES

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()


def request(signal: str, number: int, at: int | None = None, items: int = ITEMS) -> bytes:
    """Request `number`: its items are numbered number << 16, and up. `at` is their time."""
    now = time.time_ns() if at is None else at
    numbers = range(number << 16, (number << 16) + items)
    if signal == "traces":
        traces = ExportTraceServiceRequest()
        resource = traces.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "torture"
        scope = resource.scope_spans.add()
        for each in numbers:
            span = scope.spans.add(
                trace_id=number.to_bytes(16, "big"), span_id=each.to_bytes(8, "big"),
                parent_span_id=b"" if each == numbers[0] else numbers[0].to_bytes(8, "big"),
                name=f"request {number % 50}", kind=2, start_time_unix_nano=now,
                end_time_unix_nano=min(now + 1000, 2**64 - 1),
            )  # fmt: skip
            if number % 7 == 0:  # what the loader has to write out
                span.attributes.add(key="list").value.array_value.values.add().int_value = each
        return bytes(traces.SerializeToString())
    if signal == "logs":
        logs = ExportLogsServiceRequest()
        scope = logs.resource_logs.add().scope_logs.add()
        for each in numbers:
            record = scope.log_records.add(
                time_unix_nano=now, span_id=each.to_bytes(8, "big"), trace_id=b"t" * 16
            )
            record.body.string_value = f"record {each}"
            if number % 11 == 0:
                record.body.kvlist_value.values.add(key="nested").value.int_value = each
        return bytes(logs.SerializeToString())
    metrics = ExportMetricsServiceRequest()
    scope = metrics.resource_metrics.add().scope_metrics.add()
    for index, each in enumerate(numbers):
        metric = scope.metrics.add(name=f"metric {index}", unit="1")
        kind = index % 5
        if kind < 2:
            points = (metric.gauge if kind else metric.sum).data_points
            points.add(time_unix_nano=now, as_double=float(each))
        else:
            of_kind = (metric.histogram, metric.exponential_histogram, metric.summary)[kind - 2]
            of_kind.data_points.add(time_unix_nano=now, sum=float(each), count=1)
    return bytes(metrics.SerializeToString())


@dataclass(frozen=True)
class Stored:
    """What is in the tables: of each request how many different items, and how often the least and
    the most frequent of them; how many rows; whether the side tables say what their base says; how
    many parts there are, in how many partitions."""

    requests: dict[str, dict[int, tuple[int, int, int]]]
    rows: dict[str, int]
    sides: bool
    parts: int
    partitions: int

    @classmethod
    def behind(cls, dsn: str) -> Stored:
        """Opens the database in a process of its own."""
        ran = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("count_stored.py")), dsn],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        answer = json.loads(ran.stdout)
        requests = {
            signal: {number: (items, least, most) for number, items, least, most in each}
            for signal, each in answer["requests"].items()
        }
        return cls(
            requests, **{name: answer[name] for name in ("rows", "sides", "parts", "partitions")}
        )


@dataclass(frozen=True)
class Verdict:
    """What the oracle found. `repeated` is no fault: copies that clients themselves made."""

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
            f"{len(self.foreign)}; {self.repeated} copies are their clients' own"
        )

    @property
    def passed(self) -> bool:
        return self.sides and not (self.lost or self.doubled or self.torn or self.foreign)


def judge(book: Book, stored: Stored, items: int = ITEMS) -> Verdict:
    """Compare what is stored with what the clients know."""
    lost, doubled, torn, foreign = [], [], [], []
    repeated = copies = 0
    for signal in SIGNALS:
        sent, open_ = book.acknowledged[signal], book.unanswered[signal]
        for number in sent:
            there, least, most = stored.requests[signal].get(number, (0, 0, 0))
            if there < items or least < sent[number]:
                lost.append((signal, number))
        for number, (there, least, most) in stored.requests[signal].items():
            copies += least
            if number not in sent and number not in open_:
                foreign.append((signal, number))
                continue
            if most > sent[number] + open_[number]:
                doubled.append((signal, number))
            elif there != items or least != most:
                torn.append((signal, number))
            repeated += max(0, least - 1)
    return Verdict(book.total(), copies, lost, doubled, torn, foreign, repeated, stored.sides)


def segments(clew: Clew) -> list[str]:
    """The files that hold what is not in the tables, or not in the ledger."""
    return [path.name for path in clew.data.glob("spool/*/*")]


def check(clew: Clew, book: Book, dsn: str = "", at_least: int = 1) -> Verdict:
    """What every torture ends with: all is loaded, the ledger agrees, clew stops with status 0, and
    the oracle finds nothing. clew must be running."""
    wait_until_loaded(clew.data, 600)
    told = ledger(clew)
    assert unequal(told) == []
    peak = peak_memory(clew.process.pid)
    assert clew.stop() == 0
    assert book.unexpected == []
    stored = Stored.behind(dsn or f"chdb://{clew.data / 'db'}")
    verdict = judge(book, stored)
    print(verdict, f"memory {peak >> 20} MiB")
    assert verdict.passed, (verdict, verdict.lost[:5], verdict.doubled[:5], verdict.torn[:5])
    assert book.total() >= at_least
    assert peak < MEMORY_CAP
    for line in told:
        assert line["stored"] == stored.rows[line["signal"]], told
        assert (line["rejected"], line["pending"]) == (0, 0), told
    return verdict


def ledger(clew: Clew) -> list[dict[str, Any]]:
    """The ledger's line of each signal, as clew tells it."""
    ever = {"start": "1970-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
    answer = httpx.get(f"{clew.endpoints['api']}/api/v1/ledger", params=ever, timeout=10)
    answer.raise_for_status()
    lines: list[dict[str, Any]] = answer.json()["signals"]
    return lines


def unequal(lines: list[dict[str, Any]]) -> list[str]:
    """The lines in which received = stored + rejected + pending does not hold."""
    return [
        f"the ledger does not add up: {line}" for line in lines
        if line["received"] != line["stored"] + line["rejected"] + line["pending"]
    ]  # fmt: skip


def peak_memory(process: int) -> int:
    """The most bytes that the process had resident so far."""
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


def wait_for(what: Callable[[], object], seconds: float = 60, pause: float = 0.05) -> None:
    """Until `what` is true; with a longer pause where asking costs clew time."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(pause)


@contextmanager
def taking_seconds(most: float) -> Iterator[None]:
    """For the few things that clew promises to be done within a time."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < most
