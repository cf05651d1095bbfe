"""Half an hour of a shop's telemetry: few rows, and some for every panel of the dashboards."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from clew.analysis import Occurrences, Registry
from clew.analysis.events import Events, PostedEvent
from clew.analysis.steps import Interval
from clew.analysis.traces.attributes import Attributes
from clew.analysis.traces.settling import Settling
from clew.analysis.traces.times import LAST_SECOND
from clew.analysis.transactions.definitions import read
from clew.collector.telemetry import DURATION_BOUNDS
from clew.storage import Ingest, Store
from clew.storage.ledger import LedgerRow, write_rows
from clew.storage.statements import Statements
from support import problems
from support.loading import Running, settle
from support.repeated import load_findings
from support.traffic import (
    CALL_TARGETS,
    CLIENT,
    ERROR,
    INTERNAL,
    MINUTE,
    SECOND,
    SERVER,
    Generator,
    Loader,
    Log,
    Point,
    Process,
    Span,
    exception,
)
from support.traffic import Attributes as Values

MINUTES = 30
TRACES = 200
OPERATIONS = ("POST /checkout", "GET /cart", "GET /it's")
EXPIRED = ("Table", "Partition", "Rows", "Bytes", "Reason")
CHECKOUT = b"""
transactions:
  - name: Checkout
    match: {service: storefront, operation: POST /checkout}
    value: amount
    steps: [{name: pay, match: {service: payments}}, {name: stock, match: {service: inventory}}]
    slo: {latency_ms: 500, objective: 0.9}
    kpi: [{name: revenue, sum: amount}]
"""


@dataclass(frozen=True)
class Hosted(Process):
    """A process on a host."""

    host: str = "host-1"

    @property
    def resource(self) -> Values:
        return super().resource | {"host.name": self.host}


def processes(version: str) -> list[Hosted]:
    names = ("storefront", "payments", "inventory")
    return [
        Hosted(name, f"{name}-{version}", version=version, host=f"host-{number}")
        for number, name in enumerate(names)
    ]


@dataclass(frozen=True)
class Seeded:
    """The range of the telemetry in seconds since 1970, the id of a trace with logs, and of one with
    three levels and equal leaves."""

    start: int
    end: int
    trace: str
    deep: str


def seed(store: Store, directory: Path) -> Seeded:
    end = int(time.time()) // 60 * 60 - 60
    start = end - MINUTES * 60
    registry = Registry(store)
    registry.replace(read(CHECKOUT))
    loader = Loader(Ingest(store), directory)
    deep = list(deep_trace((end - 300) * SECOND))
    spans = [*traces(start * SECOND), *deep]
    loader.spans(spans)
    loader.logs(logs(spans))
    loader.points(points(start * SECOND))
    loader.points(
        Point("http.server.request.duration", "s", "histogram", span.process, span.ended, 0.1,
              buckets=(1, 0), bounds=(1.0,), exemplar=(span.trace, span.id))
        for span in spans[::10]
    )  # fmt: skip
    write_rows(store, list(ledger(start)))
    campaign = PostedEvent(type="campaign", name="Autumn sale")
    Events(Statements(store)).put([(campaign, (start + 600) * SECOND, 0)], "marketing")
    with store.client() as client:
        expired = [((start + 60) * 1000, "otel_logs", "20240101", 7, 4096, "limit")]
        client.insert("clew_expired", expired, ["Time", *EXPIRED], database="otel")
    settling = Settling(store)
    settle(settling)
    Attributes(settling.statements).run(Interval(0, LAST_SECOND, 0), Running())
    for _ in Occurrences(store, registry.definitions).backfill(_at(start), _at(end)):
        pass
    problems.load(store, spans[0].trace)
    load_findings(store, spans[0].trace)
    return Seeded(start, end, spans[0].trace, deep[0].trace)


def _at(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def traces(start: int) -> Iterator[Span]:
    """Half of the traces are of a newer version; some have no root."""
    choice = random.Random(1)
    for number, version in enumerate(("1.0", "1.1")):
        version_processes = processes(version)
        generator = Generator(number, version_processes)
        first = start + number * MINUTES // 2 * MINUTE
        for at in range(TRACES // 2):
            trace_start = first + at * MINUTES * MINUTE // TRACES
            operation = choice.choice(OPERATIONS)
            trace = generator.trace(version_processes[0], operation, trace_start)
            calls = [with_target(span, choice) for span in trace]
            servers = [span for span in calls if span.kind == SERVER]
            yield from calls[1:] if len(servers) > 2 and at % 9 == 0 else calls


def deep_trace(start: int) -> Iterator[Span]:
    """An import of one second: eight equal queries of the inventory, one of them in error."""
    storefront, _, inventory = processes("1.1")

    def span(number: int, parent: int, process: Process, name: str, kind: int, *ms: int) -> Span:
        begin, end = (start + at * MINUTE // 60_000 for at in ms)
        above = f"{parent:016x}" if parent else ""
        return Span("5" * 32, f"{number:016x}", above, process, name, kind, begin, end)

    yield span(1, 0, storefront, "POST /import", SERVER, 0, 1000)
    yield span(2, 1, storefront, "read file", INTERNAL, 5, 100)
    yield span(3, 1, storefront, "POST", CLIENT, 110, 900)
    yield span(4, 3, inventory, "POST /stock", SERVER, 120, 890)
    for query in range(8):
        begin = 130 + query * 90
        select = span(5 + query, 4, inventory, "SELECT stock", CLIENT, begin, begin + 80)
        yield replace(select, status=ERROR) if query == 5 else select
    yield span(13, 1, storefront, "write answer", INTERNAL, 910, 990)


def with_target(span: Span, choice: random.Random) -> Span:
    if span.kind != CLIENT:
        return span
    return replace(span, attributes=span.attributes | choice.choice(CALL_TARGETS))


def logs(spans: list[Span]) -> Iterator[Log]:
    for number, span in enumerate(spans):
        severity = ("INFO", "WARN", "ERROR", "DEBUG")[number % 4]
        attributes = exception("ValueError", f"no {number}") if severity == "ERROR" else {}
        yield Log(
            span.start, span.process, severity, f"it's {span.name}", attributes, span.trace, span.id
        )
    for number in range(20):
        at = spans[0].start + number * MINUTE
        yield Log(at, spans[0].process, "INFO", "waiting", {"number": number})


def points(start: int) -> Iterator[Point]:
    """Every minute the metrics of each process, of its host, and of clew itself."""
    clew = Hosted("clew", "clew-1", host="host-9")
    for minute in range(MINUTES):
        at = start + minute * MINUTE

        def gauge(process: Process, name: str, value: float, **attributes: str) -> Point:
            return Point(name, "1", "gauge", process, at, value, _named(attributes))  # noqa: B023

        def total(process: Process, name: str, value: float, **attributes: str) -> Point:
            return Point(name, "1", "sum", process, at, value, _named(attributes))  # noqa: B023

        for process in (*processes("1.0"), *processes("1.1")):
            yield from process_points(process, minute, gauge, total)
            yield from host_points(process, minute, gauge, total)
        yield from clew_points(clew, minute, at, gauge, total)


Make = Callable[..., Point]


def process_points(process: Process, minute: int, gauge: Make, total: Make) -> Iterator[Point]:
    yield gauge(process, "process.cpu.utilization", 0.01 * minute)
    yield gauge(process, "process.memory.usage", 1e8 + minute)
    yield gauge(process, "process.thread.count", 7)
    yield gauge(process, "process.open_file_descriptor.count", 30 + minute)
    yield total(process, "process.cpu.time", 0.5 * minute, type="user")
    yield total(process, "process.context_switches", 9 * minute, type="voluntary")
    yield total(process, "cpython.gc.collections", minute, generation="0")
    yield total(process, "cpython.gc.collected_objects", 9 * minute, generation="0")


def host_points(process: Process, minute: int, gauge: Make, total: Make) -> Iterator[Point]:
    for state in ("user", "idle"):
        yield total(process, "system.cpu.time", 30.0 * minute, state=state, cpu="1")
    for state in ("used", "free"):
        yield gauge(process, "system.memory.usage", 4e9, state=state)
        yield gauge(process, "system.swap.usage", 1e9, state=state)
        yield gauge(process, "system.filesystem.usage", 6e9, mountpoint="/", state=state)
    yield gauge(process, "system.cpu.load_average.1m", 0.7)
    for direction in ("read", "write"):
        yield total(process, "system.disk.io", 1e6 * minute, device="sda", direction=direction)
        yield total(
            process, "system.disk.operations", 99 * minute, device="sda", direction=direction
        )
        yield total(process, "system.disk.time", 0.2 * minute, device="sda", direction=direction)
    for direction in ("transmit", "receive"):
        for name in ("io", "errors", "dropped.packets"):
            yield total(
                process, f"system.network.{name}", 9e5 * minute, device="eth0", direction=direction
            )


def clew_points(clew: Process, minute: int, at: int, gauge: Make, total: Make) -> Iterator[Point]:
    yield gauge(clew, "clew.collector.queue.age", minute % 5)
    yield gauge(clew, "clew.spool.size", 1e6 + minute)
    yield gauge(clew, "process.memory.usage", 5e8)
    yield total(clew, "process.cpu.time", 6.0 * minute, cpu__mode="user")
    for signal in ("traces", "logs", "metrics"):
        yield gauge(clew, "clew.collector.pending", minute, signal=signal)
        yield total(clew, "clew.collector.items", 900 * minute, signal=signal, fate="received")
        for name in ("clew.loader.freshness", "clew.loader.insert.duration"):
            yield histogram(clew, name, at, minute, {"signal": signal})
    yield histogram(clew, "clew.spool.sync.duration", at, minute, {})


def histogram(process: Process, name: str, at: int, minute: int, attributes: Values) -> Point:
    buckets = tuple(minute * (number in (7, 8)) for number in range(len(DURATION_BOUNDS) + 1))
    return Point(
        name,
        "s",
        "histogram",
        process,
        at,
        0.3 * minute,
        attributes,
        buckets,
        tuple(DURATION_BOUNDS),
    )


def _named(attributes: dict[str, str]) -> Values:
    return {key.replace("__", "."): value for key, value in attributes.items()}


def ledger(start: int) -> Iterator[LedgerRow]:
    segments = count(1)
    for minute in range(MINUTES):
        for signal in ("traces", "logs", "metrics"):
            at, segment = start + minute * 60, next(segments)
            yield LedgerRow(at, signal, segment, "", "received", 100)
            yield LedgerRow(at, signal, segment, "storefront", "stored", 98, late=1)
            yield LedgerRow(at, signal, segment, "", "invalid id", 2)
        yield LedgerRow(start + minute * 60, "traces", next(segments), "", "refused", 1)
        yield LedgerRow(start + minute * 60, "", next(segments), "", "alive", 1)
