"""Spans per CPU-second, end to end: bytes in over HTTP, rows in every table, merges counted.

    python bench/ingest.py [--requests 1000] [--attributes 4 10 20]

`clew up` runs as a process of its own; its CPU time, from the first request until everything is
loaded and merging has calmed down, is set against the spans it took. Beside it, in the same run, a
Python loop that only decodes the same bodies to rows (and stores nothing). Ratios carry from
machine to machine, the figures themselves do not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import bodies
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SPANS = 512  # in a request
CONNECTIONS = 4
CORES = os.cpu_count() or 1
WARM_UP = 40  # requests that are not counted: the engine reads in its code with the first inserts
QUIET = 3.0  # seconds without progress of the CPU clock that count as calm
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--attributes", type=int, nargs="+", default=[4, 10, 20])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        compare(Path(directory), arguments.requests, arguments.attributes)


def compare(directory: Path, count: int, every: list[int]) -> None:
    """One line for each number of attributes. What the runs leave on the disk stays until all are
    done: a filesystem that has just freed many files is slow to make new ones."""
    print(f"{'attributes':>10} {'clew':>10} {'row loop':>10} {'ratio':>6}   spans per CPU-second")
    for attributes in every:
        requests = [bodies.traces(SPANS, attributes, seed) for seed in range(count)]
        stored = store(directory / str(attributes), requests)
        looped = loop(requests[:20])
        print(
            f"{attributes:>10} {stored:>10,.0f} {looped:>10,.0f} {stored / looped:>6.1f}",
            flush=True,
        )


def store(directory: Path, requests: list[bytes]) -> float:
    """Spans per CPU-second of `clew up`."""
    with Up(directory) as up:
        up.send(requests[:WARM_UP])
        before = up.cpu()
        up.send(requests[WARM_UP:])
        return (len(requests) - WARM_UP) * SPANS / (up.cpu() - before)


def loop(requests: list[bytes]) -> float:
    """Spans per CPU-second of a loop that makes the exporter's rows, and does nothing with them.

    As many loops as cores at once, as both cores are in use while clew takes the same bodies."""
    with ProcessPoolExecutor(CORES) as pool:
        return sum(pool.map(_loop, [requests] * CORES)) / CORES


def _loop(requests: list[bytes]) -> float:
    before = time.process_time()
    rows = sum(len(_rows(body)) for body in requests)
    return rows / (time.process_time() - before)


def _rows(body: bytes) -> list[tuple[Any, ...]]:
    return [
        _row(span, resource, scope.scope)
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans
        for resource in (_attributes(resource_spans.resource.attributes),)
        for scope in resource_spans.scope_spans
        for span in scope.spans
    ]


def _row(span: Any, resource: dict[str, str], scope: Any) -> tuple[Any, ...]:
    return (
        span.start_time_unix_nano,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        span.name,
        KINDS[span.kind],
        resource.get("service.name", ""),
        resource,
        scope.name,
        scope.version,
        _attributes(span.attributes),
        span.end_time_unix_nano - span.start_time_unix_nano,
        STATUSES[span.status.code],
        span.status.message,
        [each.time_unix_nano for each in span.events],
        [each.name for each in span.events],
        [_attributes(each.attributes) for each in span.events],
        [each.trace_id.hex() for each in span.links],
        [each.span_id.hex() for each in span.links],
        [each.trace_state for each in span.links],
        [_attributes(each.attributes) for each in span.links],
    )


def _attributes(attributes: Any) -> dict[str, str]:
    return {each.key: _text(each.value) for each in attributes}


def _text(value: Any) -> str:
    """The exporter's text of a value; what is written for the kinds that are rare is left out."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)
    if kind == "int_value":
        return str(value.int_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "double_value":
        return repr(value.double_value).removesuffix(".0")
    return ""


KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUSES = ("Unset", "Ok", "Error")


async def _send(url: str, requests: list[bytes]) -> None:
    """Every request once, over a few connections; each must be acknowledged."""
    waiting = iter(requests)

    async def connection(client: httpx.AsyncClient) -> None:
        for body in waiting:
            while True:
                answer = await client.post(url, content=body, headers=HEADERS)
                if answer.status_code != 503:
                    break
                await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
            answer.raise_for_status()

    async with httpx.AsyncClient(timeout=60) as client:
        await asyncio.gather(*(connection(client) for _ in range(CONNECTIONS)))


HEADERS = {"content-type": "application/x-protobuf"}


class Up:
    """`clew up` on free ports, and the CPU time it has used."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.sent = 0

    def __enter__(self) -> Up:
        free = "127.0.0.1:0"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "clew.cli", "up", "--data", str(self._data)),
                *("--otlp-http", free, "--otlp-grpc", free, "--api", free, "--clickhouse", ""),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        path = self._data / "endpoints.json"
        while not path.exists():
            time.sleep(0.1)
        self.endpoints: dict[str, str] = json.loads(path.read_text())
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()

    def send(self, requests: list[bytes]) -> None:
        """Send the requests, wait until every span is in the tables and merging is done."""
        asyncio.run(_send(f"{self.endpoints['otlp_http']}/v1/traces", requests))
        spool = self._data / "spool" / "traces"
        while any(spool.iterdir()):
            time.sleep(0.2)
        self.calm()
        self.sent += len(requests) * SPANS
        assert self.spans() == self.sent

    def cpu(self) -> float:
        """Seconds, user and system, of all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self) -> int:
        """Bytes of memory in use, and the most there ever was of it (VmHWM) are in /proc."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def spans(self) -> int:
        window = {"start": "-1d", "end": "now", "limit": "1000"}
        services = httpx.get(f"{self.endpoints['api']}/api/v1/services", params=window, timeout=60)
        return sum(
            each["count"]
            for service in services.json()["services"]
            for each in service["operations"]
        )

    def calm(self) -> None:
        """Wait until it hardly uses the CPU: loading and merging are done."""
        while True:
            before = self.cpu()
            time.sleep(QUIET)
            if self.cpu() - before < 0.1 * QUIET:
                return


if __name__ == "__main__":
    main()
