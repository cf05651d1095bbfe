"""An answer contains what was acknowledged before it was asked, or says how much is pending: for every
kind of read, for many readers at once, during backups, and while segments fail."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import FaultyClew

from support.processes import CLEW
from support.traffic import (
    CLIENT,
    MILLISECOND,
    SERVER,
    Log,
    Point,
    Process,
    Span,
    logs_request,
    metrics_request,
    spans_request,
)

DEFINITION = """
transactions:
  - name: Order
    match: {operation: POST /orders}
    key: order.id
"""
SPANS, LOGS, POINTS = 3, 2, 4
ITEMS = {"traces": SPANS, "logs": LOGS, "metrics": POINTS}
READERS = 8


@dataclass(frozen=True)
class Sent:
    """What was acknowledged together: a trace of two services with these names, its log records and
    points. `acknowledged`: when, in seconds since 1970."""

    name: str
    trace: str
    acknowledged: float


@dataclass(frozen=True)
class Kind:
    """A read. `signal`: of the items without which `has` is false; `has` takes the document and
    what was sent. `settled`: it rests on settled traces too."""

    path: str
    signal: str
    has: Callable[[Any, Sent], bool]
    settled: bool = False
    parameters: tuple[tuple[str, str], ...] = ()


def _all(member: str, number: int, **fields: str) -> Callable[[Any, Sent], bool]:
    """Whether there are so many rows with these fields, in which `{name}` is the service's."""

    def has(document: Any, sent: Sent) -> bool:
        wanted = {key: value.format(name=sent.name) for key, value in fields.items()}
        rows = [row for row in document.get(member, ()) if wanted.items() <= row.items()]
        return len(rows) == number

    return has


BY_SERVICE = (("service", "{name}"),)
KINDS = (
    Kind("/api/v1/traces", "traces", _all("traces", 1), parameters=BY_SERVICE),
    Kind("/api/v1/traces/{trace}", "traces", _all("spans", SPANS)),
    Kind("/api/v1/traces/{trace}/spans", "traces", _all("spans", 1), parameters=(("rows", "2"),)),
    Kind("/api/v1/traces/{trace}/logs", "logs", _all("logs", LOGS)),
    Kind("/api/v1/logs", "logs", _all("logs", LOGS), parameters=BY_SERVICE),
    Kind("/api/v1/metrics", "metrics", _all("metrics", 1), parameters=BY_SERVICE),
    Kind("/api/v1/services", "traces", _all("services", 1, service="{name}")),
    Kind(
        "/api/v1/transactions", "traces", _all("transactions", 1, service="{name}"), settled=True,
        parameters=(("limit", "1000"),),
    ),
    Kind(
        "/api/v1/transactions/order/instances", "traces", _all("instances", 1, key="{name}"),
        settled=True, parameters=(("limit", "1000"),),
    ),
    Kind(
        "/api/v1/transactions/order/instances/{name}", "traces",
        lambda document, sent: document.get("instance", {}).get("span_count") == SPANS,
        settled=True,
    ),
    Kind("/api/v1/services/map", "traces", _all("edges", 1, source="service:{name}"), settled=True),
    Kind("/api/traces", "traces", _all("data", 1), parameters=BY_SERVICE),
    Kind("/api/traces/{trace}", "traces", _all("data", 1)),
)  # fmt: skip


class Shop:
    """A clew, and its clients."""

    def __init__(self, clew: FaultyClew) -> None:
        self.clew = clew
        self._chance = random.Random(1)
        self._lock = threading.Lock()

    def send(self) -> Sent:
        """Returns once all of it is acknowledged."""
        with self._lock:
            name, trace = self._chance.randbytes(6).hex(), self._chance.randbytes(16).hex()
        start = time.time_ns() - 20 * MILLISECOND
        web, peer = Process(name, "1"), Process(f"{name}-peer", "1")
        order = {"order.id": name}
        chain = (
            (web, "POST /orders", SERVER, order),
            (web, "POST", CLIENT, {}),
            (peer, "POST /", SERVER, {}),
        )
        spans = [
            Span(
                trace, f"{number + 1:016x}", f"{number:016x}" if number else "", process, operation,
                kind, start + number, start + 9 * MILLISECOND - number, attributes=attributes,
            )
            for number, (process, operation, kind, attributes) in enumerate(chain)
        ]  # fmt: skip
        logs = [Log(start + n, web, "INFO", "ordered", trace=trace) for n in range(LOGS)]
        points = [Point("orders", "1", "gauge", web, start + n, float(n)) for n in range(POINTS)]
        requests = {
            "traces": spans_request(spans), "logs": logs_request(logs),
            "metrics": metrics_request(points),
        }  # fmt: skip
        for signal, request in requests.items():
            httpx.post(
                f"{self.clew.endpoints['otlp_http']}/v1/{signal}",
                content=request.SerializeToString(),
                headers={"content-type": "application/x-protobuf"},
                timeout=60,
            ).raise_for_status()
        return Sent(name, trace, time.time())

    def check(self, kind: Kind, sent: Sent, **parameters: Any) -> bool:
        """Ask, and check what the answer says; returns whether it has what was sent."""
        values = {"name": sent.name, "trace": sent.trace}
        query = {key: value.format(**values) for key, value in kind.parameters}
        answer = self.clew.get(kind.path.format(**values), **query, **parameters)
        assert answer.status_code in (200, 404), answer.text
        document = answer.json()
        pending = int(answer.headers["x-clew-pending"])
        if not kind.path.startswith("/api/v1/") or answer.status_code == 404:
            document = {**document, "pending": pending}
        assert document["pending"] == pending
        has = answer.status_code == 200 and kind.has(document, sent)
        is_late = kind.settled and answer.status_code == 404
        if kind.settled and answer.status_code == 200:
            until = document["settled_until"]
            is_late = until is None or _seconds(until) < sent.acknowledged
        assert has or is_late or pending >= ITEMS[kind.signal], (kind.path, document, sent)
        return has

    def count(self, sent: Sent, **parameters: Any) -> bool:
        """The same of the ClickHouse port."""
        sql = f"SELECT count() FROM otel.otel_traces WHERE TraceId = '{sent.trace}'"
        url = self.clew.endpoints["clickhouse"]
        answer = httpx.get(url, params={"query": sql, **parameters}, timeout=60)
        has = int(answer.text) == SPANS
        assert has or int(answer.headers["x-clew-pending"]) >= SPANS
        return has


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("writes")
    definitions = directory / "definitions.yaml"
    definitions.write_text(DEFINITION)
    flags = ("--clickhouse", "127.0.0.1:0", "--transactions", str(definitions))
    clew = FaultyClew(directory / "data", *flags)
    yield Shop(clew)
    clew.switch_off("failing", "slow")
    assert clew.stop() == 0
    assert "Traceback" not in clew.log.read_text()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path)
def test_a_read_that_may_wait_has_what_was_acknowledged(shop: Shop, kind: Kind) -> None:
    assert shop.check(kind, shop.send(), wait=10)


def test_the_clickhouse_port_has_what_was_acknowledged(shop: Shop) -> None:
    assert shop.count(shop.send(), wait=10)
    url = shop.clew.endpoints["clickhouse"]
    assert "x-clew-pending" not in httpx.get(url, params={"query": "SELECT 1"}).headers


def test_readers_at_once_and_a_backup(shop: Shop, tmp_path: Path) -> None:
    """Each asks in an order of its own, right after it sent; at the end everything is there."""

    def read(number: int) -> list[Sent]:
        kinds = random.Random(number).sample(KINDS, len(KINDS))
        acknowledged = []
        for kind in kinds[:2]:
            acknowledged.append(shop.send())
            shop.check(kind, acknowledged[-1])
            shop.count(acknowledged[-1])
        return acknowledged

    command = [*CLEW, "backup", str(tmp_path / "backup.tar"), "--data", str(shop.clew.data)]
    with ThreadPoolExecutor(READERS) as readers, subprocess.Popen(command) as backup:
        everything = [sent for batch in readers.map(read, range(READERS)) for sent in batch]
        assert backup.wait(60) == 0
    for kind in KINDS:
        assert shop.check(kind, everything[-1], wait=10)


def test_while_segments_fail_answers_say_what_is_pending(shop: Shop) -> None:
    shop.clew.switch_on("failing", 1)
    sent = shop.send()
    for kind in KINDS:
        assert not shop.check(kind, sent)
    assert not shop.count(sent)
    shop.clew.switch_off("failing")
    deadline = time.monotonic() + 60
    while not all(shop.check(kind, sent, wait=5) for kind in KINDS):
        assert time.monotonic() < deadline
        time.sleep(0.1)
