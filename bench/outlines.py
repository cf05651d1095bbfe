"""What the outline of a trace of 100,000 spans costs: CPU time of the server, and bytes.

    python bench/outlines.py [--spans 100000] [--runs 7]

Three traces go into a `clew up` of its own: requests with calls below them, one span with all
others as its children, and a chain of 5,000 spans with the others anywhere below. What is printed
is the median of so many runs, after one to warm up: CPU seconds of the server's process until the
first line (the tree) has arrived and in all, and bytes, raw and with gzip.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from process import Up, run, send

FIRST_BAR, BAR = 0.3, 1.2  # CPU seconds until the first line, and in all
RAW_BAR, GZIP_BAR = 3_000_000, 1_000_000  # bytes
BATCH = 10_000  # spans of a request
DEPTH = 5_000
MICROSECOND, MILLISECOND = 1_000, 1_000_000
SERVICES = [f"service-{number}" for number in range(8)]
KINDS = (Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
NAMES = [
    f"{method} /{noun}/{{id}}"
    for method in ("GET", "POST")
    for noun in ("stock", "orders", "carts", "charges", "items", "users", "prices", "mails")
]


@dataclass
class Trace:
    """A trace that is being made: spans as (service, message)."""

    number: int
    began: int
    spans: list[tuple[str, Span]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    @property
    def id(self) -> bytes:
        return self.number.to_bytes(16)

    def add(self, parent: Span | None, start: int, end: int) -> Span:
        span = Span(
            trace_id=self.id,
            span_id=self.chance.randbytes(8),
            parent_span_id=parent.span_id if parent else b"",
            name=self.chance.choice(NAMES),
            kind=self.chance.choice(KINDS),
            start_time_unix_nano=start,
            end_time_unix_nano=end,
        )
        if self.chance.random() < 0.01:
            span.status.code = Status.STATUS_CODE_ERROR
        span.attributes.add(key="url.path").value.string_value = f"/{self.chance.randrange(10**6)}"
        self.spans.append((self.chance.choice(SERVICES), span))
        return span


def calls(trace: Trace, count: int) -> None:
    """Requests one after the other, each with 60 calls of four spans below."""
    now, chance = trace.began, trace.chance
    root = trace.add(None, now, now)
    while len(trace.spans) < count:
        request = trace.add(root, now, now)
        for _ in range(60):
            call = trace.add(request, now, now)
            now += chance.randrange(20, 100) * MICROSECOND
            for _ in range(4):
                length = chance.randrange(20_000, 400_000)
                trace.add(call, now, now + length)
                now += length + chance.randrange(5_000, 40_000)
            call.end_time_unix_nano = now
        request.end_time_unix_nano = now
    root.end_time_unix_nano = now


def wide(trace: Trace, count: int) -> None:
    """All spans are children of one, one after the other."""
    now, chance = trace.began, trace.chance
    root = trace.add(None, now, now)
    for _ in range(count - 1):
        now += chance.randrange(200_000, 500_000)
        length = chance.randrange(200_000, 600_000)
        trace.add(root, now, now + length)
        now += length
    root.end_time_unix_nano = now + MILLISECOND


def deep(trace: Trace, count: int) -> None:
    """A chain, and the other spans at random times below any of it."""
    length = 100_000 * MILLISECOND
    parent, chain = None, []
    for depth in range(DEPTH):
        start = trace.began + depth * MICROSECOND
        parent = trace.add(parent, start, trace.began + length - depth * MICROSECOND)
        chain.append(parent)
    while len(trace.spans) < count:
        parent = trace.chance.choice(chain)
        start = trace.chance.randrange(parent.start_time_unix_nano, parent.end_time_unix_nano)
        trace.add(parent, start, start + trace.chance.randrange(1_000, 100 * MILLISECOND))


SHAPES: dict[str, Callable[[Trace, int], None]] = {"calls": calls, "wide": wide, "deep": deep}


def bodies(trace: Trace) -> list[bytes]:
    """The trace as requests, its spans in random order."""
    trace.chance.shuffle(trace.spans)
    requests = []
    for first in range(0, len(trace.spans), BATCH):
        request = ExportTraceServiceRequest()
        batch = trace.spans[first : first + BATCH]
        for service in SERVICES:
            resource = request.resource_spans.add()
            resource.resource.attributes.add(key="service.name").value.string_value = service
            scope = resource.scope_spans.add()
            scope.spans.extend(span for name, span in batch if name == service)
        requests.append(request.SerializeToString())
    return requests


@dataclass(frozen=True)
class Cost:
    """CPU seconds until the first line and in all; bytes."""

    first: float
    total: float
    raw: int
    gzip: int


def load(up: Up, requests: list[bytes]) -> None:
    run(lambda: send(f"{up.endpoints['otlp_http']}/v1/traces", requests, 2))


def measure(up: Up, trace: Trace) -> Cost:
    url = f"{up.endpoints['api']}/api/v1/traces/{trace.id.hex()}/outline"
    before, first = up.cpu(), 0.0
    raw = compressed = 0
    with httpx.stream("GET", url, headers={"accept-encoding": "gzip"}, timeout=60) as response:
        response.raise_for_status()
        inflater = zlib.decompressobj(31)
        for part in response.iter_raw():
            compressed += len(part)
            text = inflater.decompress(part)
            raw += len(text)
            if not first and b"\n" in text:
                first = up.cpu() - before
    time.sleep(0.1)  # its threads come to rest
    return Cost(first, up.cpu() - before, raw, compressed)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    began = (time.time_ns() // 10**9 - 1800) * 10**9
    traces = {name: Trace(number, began) for number, name in enumerate(SHAPES, 1)}
    is_over = False
    with tempfile.TemporaryDirectory() as directory, Up(Path(directory)) as up:
        for name, trace in traces.items():
            SHAPES[name](trace, options.spans)
            load(up, bodies(trace))
        up.settle()
        print("| trace | first line, CPU s | in all, CPU s | MB | MB with gzip |")
        print("|-|-:|-:|-:|-:|")
        for name, trace in traces.items():
            measure(up, trace)
            costs = [measure(up, trace) for _ in range(options.runs)]
            first = statistics.median(cost.first for cost in costs)
            total = statistics.median(cost.total for cost in costs)
            raw, gzip = costs[0].raw, costs[0].gzip
            print(f"| {name} | {first:.2f} | {total:.2f} | {raw / 1e6:.2f} | {gzip / 1e6:.2f} |")
            is_over |= first > FIRST_BAR or total > BAR or raw > RAW_BAR or gzip > GZIP_BAR
    return int(is_over)


if __name__ == "__main__":
    sys.exit(main())
