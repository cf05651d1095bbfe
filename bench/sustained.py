"""A steady load: how soon what was acknowledged is visible, whether memory stays flat, and whether
everything is stored once.

    python bench/sustained.py [--seconds 60] [--share 0.5]

First the machine's saturation is found (as many spans as are taken and stored in a short run),
then that share of it is sent for so long, in requests of 512 spans of 10 attributes, but no more
than the spool's 1 GiB takes. Meanwhile two probes each send a trace and ask for it every 50 ms
until it is there. Each trace is new. At the end, once everything is loaded, what was acknowledged
is compared with what is stored, and the directory is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from pathlib import Path

import bodies
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from process import Up, run, send

SPANS = 512
PROBE_SPANS = 8
CONNECTIONS = 4
SPOOL = ("--spool-limit", "1GiB")
PROBE = 200  # requests that saturation is measured with


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--share", type=float, default=0.5)
    arguments = parser.parse_args()
    requests = [bodies.traces(SPANS, 10, seed) for seed in range(PROBE)]
    with tempfile.TemporaryDirectory() as directory, Up(Path(directory), None, *SPOOL) as up:
        saturation = run(lambda: saturate(up, requests))
        print(f"saturation: {saturation * SPANS:,.0f} spans a second of wall time")
        already, began = up.stored("traces", wait=10), time.monotonic()
        waits, memory, sent = run(
            lambda: steady(up, requests, saturation * arguments.share, arguments.seconds)
        )
        lasted = time.monotonic() - began
        waits.sort()
        print(
            f"freshness at {arguments.share:.0%} of it: p50 {waits[len(waits) // 2]:.2f} s, "
            f"p99 {waits[int(len(waits) * 0.99)]:.2f} s, of {len(waits)} probes"
        )
        third = max(1, len(memory) // 3)
        parts = [max(memory[i : i + third]) / 1e6 for i in range(0, 3 * third, third)]
        print(
            f"most resident memory in each third: {' '.join(f'{part:,.0f} MB' for part in parts)}",
            flush=True,
        )
        up.settle()
        stored = up.stored("traces", wait=10) - already
        print(
            f"sent in {lasted:,.0f} s: {sent:,} spans ({sent / lasted:,.0f} a second); "
            f"stored: {stored:,}"
        )
        size = sum(path.stat().st_size for path in (Path(directory) / "db").rglob("*.*"))
        print(f"on disk: {size / 1e9:.2f} GB, {size / (already + stored):.1f} bytes a span")


# ruff: noqa: ASYNC110 - what is waited for is another process


async def saturate(up: Up, requests: list[bytes]) -> float:
    """Requests a second, from the first one sent to the last one stored."""
    url = f"{up.endpoints['otlp_http']}/v1/traces"
    await send(url, requests[:40], CONNECTIONS)
    await asyncio.to_thread(up.settle)
    already, began = up.stored("traces"), time.monotonic()
    await send(url, requests, CONNECTIONS)
    while up.stored("traces", wait=10) < already + len(requests) * SPANS:
        await asyncio.sleep(0.05)
    return len(requests) / (time.monotonic() - began)


async def steady(
    up: Up, requests: list[bytes], rate: float, seconds: float
) -> tuple[list[float], list[int], int]:
    """Seconds from acknowledgement until visible, of two probes; resident memory, each second; and
    how many spans were acknowledged."""
    url = f"{up.endpoints['otlp_http']}/v1/traces"
    until = time.monotonic() + seconds
    templates = [(body, trace_ids(body)) for body in requests]
    waits: list[float] = []
    memory: list[int] = []
    sent = 0

    rounds = itertools.count(1)

    async def load() -> None:
        nonlocal sent
        again = itertools.cycle(templates)
        due = time.monotonic()
        while time.monotonic() < until:
            await send(url, [with_new_traces(*next(again), next(rounds))], 1)
            sent += SPANS
            due += CONNECTIONS / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    numbers = itertools.count(1_000_000)

    async def look() -> None:
        while time.monotonic() < until:
            memory.append(up.memory())
            await asyncio.sleep(1)

    async def probe(client: httpx.AsyncClient) -> None:
        nonlocal sent
        for number in numbers:
            if time.monotonic() > until:
                return
            body, trace = bodies.traces(PROBE_SPANS, 10, number), bodies.trace_id(number)
            await send(url, [body], 1)
            sent += PROBE_SPANS
            acknowledged = time.monotonic()
            while (
                await client.get(f"{up.endpoints['api']}/api/v1/traces/{trace}")
            ).status_code != 200:
                await asyncio.sleep(0.05)
            waits.append(time.monotonic() - acknowledged)

    async with httpx.AsyncClient(timeout=30) as client:
        loads = (load() for _ in range(CONNECTIONS))
        await asyncio.gather(*loads, probe(client), probe(client), look())
    return waits, memory, sent


def trace_ids(body: bytes) -> set[bytes]:
    request = ExportTraceServiceRequest.FromString(body)
    return {
        span.trace_id
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def with_new_traces(body: bytes, ids: set[bytes], number: int) -> bytes:
    """The same request with other ids of its traces."""
    for trace in ids:
        body = body.replace(trace, trace[:8] + number.to_bytes(8))
    return body


if __name__ == "__main__":
    main()
