"""clew and the OpenTelemetry Collector, in turn: the same bodies, into the same tables.

    python bench/collectors.py OTELCOL [--requests 600] [--stall 60] [--only cost loss]

OTELCOL is a collector with the clickhouse exporter (docs/opentelemetry-collector.md: how to make
one).

cost: spans per CPU-second, of all processes that take part, merges counted. `clew up` takes them
itself; the collector inserts them by ClickHouse's protocol through clew's port. Once with the base
table alone, once with the side tables that clew keeps.

loss: the engine, a process of its own, stands still for a while, or is killed; then the writer
itself is, while the engine stands still. A client sends on, and again what was not acknowledged.
Lost is what was acknowledged and is not in the table once nothing moves any more; twice, what is
there twice although the client sent it once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import bodies
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from process import Measured, wait_until_calm

from clew.access import add_key, new_key

SPANS = 512  # in a request
CONNECTIONS = 16
WARM_UP = 40  # requests that are not counted
PATIENCE = 90.0  # seconds that a client tries to be rid of a request
RATE = 10  # requests a second, while something fails
DOWN = 10.0  # seconds between a kill and the start
# Seconds without a new row that count as the end: the exporter waits up to 30 between attempts.
CALM = 45.0
CONFIGURATION = Path(__file__).parents[1] / "collector" / "otelcol" / "gateway-clickhouse.yaml"
BY_DEFAULT = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "{http}"}}}}}}}}
exporters:
  clickhouse:
    {{endpoint: "{url}", username: bench, password: "{key}", database: otel, create_schema: false}}
extensions: {{health_check: {{endpoint: "{health}"}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [clickhouse]}}}}
"""


class Process(Measured):
    """A program that is ready once `url` answers."""

    def __init__(
        self, command: Sequence[str], directory: Path, url: str, **environment: str
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._command, self._directory, self._url = command, directory, url
        self._environment = os.environ | environment
        self.start()

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 60
        while not _answers(self._url):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self._directory / "log").read_text()[-2000:])
            time.sleep(0.1)

    def stand_still(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


@dataclass
class Pipeline:
    """What takes OTLP at `url`, and the engine that it ends in: the same process, or another."""

    writer: Process
    engine: Process
    url: str
    clickhouse: str
    key: str

    @property
    def processes(self) -> list[Process]:
        return [self.engine] if self.writer is self.engine else [self.engine, self.writer]

    def cpu(self) -> float:
        return sum(process.cpu() for process in self.processes)

    def most_memory(self) -> int:
        return sum(process.memory("VmHWM") for process in self.processes)

    def rows(self) -> int:
        return int(self.ask("SELECT count() FROM otel.otel_traces"))

    def ask(self, sql: str) -> str:
        answer = httpx.post(self.clickhouse, content=sql, auth=("bench", self.key), timeout=60)
        return answer.raise_for_status().text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("otelcol", type=Path)
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--stall", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", default=["cost", "loss"])
    arguments = parser.parse_args()
    otelcol = str(arguments.otelcol.resolve())
    with tempfile.TemporaryDirectory() as name:
        if "cost" in arguments.only:
            requests = [bodies.traces(SPANS, 10, seed) for seed in range(arguments.requests)]
            for variant in ("base", "up"):
                _cost(otelcol, Path(name) / variant, variant, requests)
        if "loss" in arguments.only:
            _loss(otelcol, Path(name) / "loss", arguments.stall)


# What a span costs.


def _cost(otelcol: str, directory: Path, variant: str, requests: list[bytes]) -> None:
    said = {"base": "base table alone", "up": "with side tables and settler"}
    print(f"{said[variant]:34} {'per CPU-second':>14} {'most memory':>12}", flush=True)
    figures = []
    for name, command in {"clew up": "", "the collector, as configured here": otelcol}.items():
        with _pipeline(directory / name.replace(" ", "-"), command, variant) as pipeline:
            _take(pipeline, requests[:WARM_UP])
            before = pipeline.cpu()
            _take(pipeline, requests[WARM_UP:])
            figures.append((len(requests) - WARM_UP) * SPANS / (pipeline.cpu() - before))
            most = pipeline.most_memory() / 1e6
        print(f"{name:34} {figures[-1]:>14,.0f} {most:>9,.0f} MB", flush=True)
    print(f"{'ratio':34} {figures[0] / figures[1]:>14.1f}", flush=True)


def _take(pipeline: Pipeline, requests: list[bytes]) -> None:
    """Until all of it is in the table and merging is done."""
    wanted = pipeline.rows() + len(requests) * SPANS
    acknowledged, _ = asyncio.run(_deliver(pipeline, requests))
    assert len(acknowledged) == len(requests)
    while pipeline.rows() < wanted:
        time.sleep(0.5)
    wait_until_calm(pipeline.cpu)


# What is lost.


def _loss(otelcol: str, directory: Path, stall: float) -> None:
    writers = {
        "clew collect": "collect",
        "the collector, as configured here": otelcol,
        "the collector by its defaults": f"default {otelcol}",
    }
    failures = {
        f"the engine stands still for {stall:g} s": _stalled,
        "the engine is killed": _killed,
        f"it stands still for {DOWN:g} s, the writer is killed": _writer_killed,
    }
    print(f"\n{'':34} {'acknowledged':>12} {'lost':>12} {'twice':>12}   (spans, and bytes lost)")
    for said, failure in failures.items():
        print(said, flush=True)
        for number, (name, command) in enumerate(writers.items()):
            with _pipeline(directory / f"{failure.__name__}-{number}", command, "base") as pipeline:
                print(f"  {name:32} {asyncio.run(_outcome(pipeline, failure, stall))}", flush=True)


async def _outcome(pipeline: Pipeline, failure: object, stall: float) -> str:
    """Sent at an even rate from 5 s before the failure until 5 s behind its end."""
    seconds = {_stalled: stall, _killed: DOWN, _writer_killed: DOWN}[failure] + 10  # type: ignore[index]
    requests = [bodies.traces(SPANS, 10, seed) for seed in range(int(seconds * RATE))]
    sending = asyncio.create_task(_deliver(pipeline, requests, RATE))
    await asyncio.sleep(5)
    await asyncio.to_thread(failure, pipeline, stall)  # type: ignore[arg-type]
    acknowledged, again = await sending
    await asyncio.to_thread(_wait_until_calm, pipeline, len(acknowledged) * SPANS)
    found: dict[str, tuple[int, int]] = {}
    for line in pipeline.ask(
        "SELECT TraceId, uniqExact(SpanId), count() FROM otel.otel_traces GROUP BY TraceId"
    ).splitlines():
        trace, *counts = line.split("\t")
        found[trace] = (int(counts[0]), int(counts[1]))
    lost = twice = 0
    for number in acknowledged:
        for trace, sent in _spans_by_trace(requests[number]).items():
            spans, rows = found.get(trace, (0, 0))
            lost += max(0, sent - spans)
            twice += 0 if number in again else rows - spans
    total = len(acknowledged) * SPANS
    bytes_lost = lost * len(requests[0]) // SPANS
    return f"{total:>12,} {lost:>12,} {twice:>12,}   {bytes_lost:,} bytes"


def _stalled(pipeline: Pipeline, stall: float) -> None:
    pipeline.engine.stand_still()
    time.sleep(stall)
    pipeline.engine.go_on()


def _killed(pipeline: Pipeline, _: float) -> None:
    pipeline.engine.kill()
    time.sleep(DOWN)
    pipeline.engine.start()


def _writer_killed(pipeline: Pipeline, _: float) -> None:
    pipeline.engine.stand_still()
    time.sleep(DOWN / 2)
    pipeline.writer.kill()
    time.sleep(DOWN / 2)
    pipeline.engine.go_on()
    pipeline.writer.start()


def _wait_until_calm(pipeline: Pipeline, wanted: int) -> None:
    """Until all is there, or nothing came for long; a little longer, for what comes twice."""
    rows, since = -1, time.monotonic()
    while time.monotonic() - since < (CALM if rows < wanted else 5):
        time.sleep(1)
        if (now := pipeline.rows()) != rows:
            rows, since = now, time.monotonic()


def _spans_by_trace(body: bytes) -> Counter[str]:
    request = ExportTraceServiceRequest.FromString(body)
    return Counter(
        span.trace_id.hex()
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


async def _deliver(
    pipeline: Pipeline, requests: list[bytes], rate: float = 0.0
) -> tuple[list[int], set[int]]:
    """Send them as an SDK does, each again until it is acknowledged or PATIENCE is over; the
    numbers of those that were, and of those that were sent more than once. `rate`: how many a
    second, 0 as many as there can be."""
    acknowledged: list[int] = []
    again: set[int] = set()
    waiting = iter(enumerate(requests))
    began = time.monotonic()
    headers = {
        "authorization": f"Bearer {pipeline.key}",
        "content-type": "application/x-protobuf",
    }

    async def connection(client: httpx.AsyncClient) -> None:
        for number, body in waiting:
            if rate:
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                try:
                    answer = await client.post(pipeline.url, content=body, headers=headers)
                    if answer.is_success:
                        acknowledged.append(number)
                        break
                except httpx.HTTPError:
                    pass
                again.add(number)
                await asyncio.sleep(1)

    async with httpx.AsyncClient(timeout=30) as client:
        connections = CONNECTIONS * 4 if rate else CONNECTIONS
        await asyncio.gather(*(connection(client) for _ in range(connections)))
    return acknowledged, again


@contextmanager
def _pipeline(directory: Path, writer: str, variant: str) -> Iterator[Pipeline]:
    """`writer`: empty for the engine's own process, `collect` for clew, else a collector's path."""
    directory.mkdir(parents=True)
    key, line = new_key("bench", ["ingest", "read", "database"])
    add_key(directory / "keys", line)
    http, clickhouse, health = _free(3)
    own = http if not writer else "127.0.0.1:0"
    addresses = ["--otlp-grpc", "127.0.0.1:0", "--api", "127.0.0.1:0"]
    start = [
        sys.executable,
        *(["-m", "clew.cli", "up"] if variant == "up" else [_PROCESS, variant]),
    ]
    up = [
        *(*start, "--data", str(directory / "engine"), "--api-keys", str(directory / "keys")),
        *("--otlp-http", own, "--clickhouse", clickhouse, *addresses),
    ]
    with ExitStack() as stack:
        engine = stack.enter_context(
            Process(up, directory / "of-engine", f"http://{clickhouse}/ping")
        )
        process = engine
        if writer == "collect":
            collect = [
                *(sys.executable, "-m", "clew.cli", "collect", "--data", str(directory / "spool")),
                *("--otlp-http", http, "--otlp-grpc", "127.0.0.1:0"),
                *("--dsn", f"clickhouse://bench:{key}@{clickhouse}/"),
            ]
            process = stack.enter_context(
                Process(collect, directory / "of-writer", f"http://{http}/")
            )
        elif writer:
            path, environment = writer.split()[-1], _environment(http, clickhouse, health, key)
            configuration = CONFIGURATION
            if writer.startswith("default "):
                configuration = directory / "defaults.yaml"
                configuration.write_text(
                    BY_DEFAULT.format(http=http, health=health, url=f"http://{clickhouse}", key=key)
                )
            command = [path, f"--config={configuration}"]
            process = stack.enter_context(
                Process(command, directory / "of-writer", f"http://{health}/", **environment)
            )
        url = f"http://{http}/v1/traces"
        yield Pipeline(process, engine, url, f"http://{clickhouse}/", key)


_PROCESS = str(Path(__file__).with_name("process.py"))


def _environment(http: str, clickhouse: str, health: str, key: str) -> Mapping[str, str]:
    return {
        "OTELCOL_HTTP": http,
        "OTELCOL_GRPC": _free(1)[0],
        "OTELCOL_HEALTH": health,
        "CLEW_CLICKHOUSE_URL": f"http://{clickhouse}",
        "CLEW_CLICKHOUSE_USER": "bench",
        "CLEW_CLICKHOUSE_PASSWORD": key,
    }


def _answers(url: str) -> bool:
    """Whether anybody speaks HTTP there."""
    try:
        httpx.get(url, timeout=5)
    except httpx.HTTPError:
        return False
    return True


def _free(count: int) -> list[str]:
    """Addresses that nobody has."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return found


if __name__ == "__main__":
    main()
