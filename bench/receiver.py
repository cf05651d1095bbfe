"""The receivers and the spool alone: checked, on the disk, acknowledged; nothing is loaded.

    python bench/receiver.py [--requests 3000] [--small 20000] [--spaced 1500]

Items (or requests) per second of the CPU time of the process, fsync on: 512-span requests over
HTTP and over gRPC, 16 connections each; requests of one span over 200 connections. And what a
request of 50 spans costs when one client sends them with a pause between, as exporters do.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import bodies
import grpc
import grpc.aio
from process import Up, run, send

SPANS = 512
CONNECTIONS = 16
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PAUSE = 0.01  # seconds
DIFFERENT = 50  # bodies that are sent again and again

Send = Callable[[str, Iterable[bytes], int], Awaitable[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--spaced", type=int, default=1500)
    arguments = parser.parse_args()
    large = [bodies.traces(SPANS, 10, seed) for seed in range(DIFFERENT)]
    small = [bodies.traces(1, 10, seed) for seed in range(DIFFERENT)]
    export = [bodies.traces(50, 10, seed) for seed in range(DIFFERENT)]
    with tempfile.TemporaryDirectory() as directory, Up(Path(directory), "receiver") as up:
        http = f"{up.endpoints['otlp_http']}/v1/traces"
        target = up.endpoints["otlp_grpc"].removeprefix("http://")
        for _ in range(2):
            used = cpu_of(up, lambda: send(http, often(large, arguments.requests), CONNECTIONS))
            over_http = arguments.requests * SPANS / used
            used = cpu_of(up, lambda: call(target, often(large, arguments.requests), CONNECTIONS))
            over_grpc = arguments.requests * SPANS / used
            used = cpu_of(up, lambda: send(http, often(small, arguments.small), 200))
            print(f"{over_http:>10,.0f} spans per CPU-second over HTTP, 512 in a request")
            print(f"{over_grpc:>10,.0f} over gRPC, {over_grpc / over_http:.2f} of that")
            print(
                f"{arguments.small / used:>10,.0f} requests of one span, 200 connections",
                flush=True,
            )
            show_spaced(up, "HTTP", send, http, export, arguments.spaced)
            show_spaced(up, "gRPC", call, target, export, arguments.spaced)


def cpu_of(up: Up, work: object) -> float:
    before = up.cpu()
    run(work)  # type: ignore[arg-type]
    return up.cpu() - before


def show_spaced(
    up: Up, protocol: str, send: Send, address: str, bodies: list[bytes], count: int
) -> None:
    used = cpu_of(up, lambda: spaced(send, address, bodies, count)) / count
    print(f"{used * 1e3:>10.2f} ms for a request of 50 spans over {protocol}", flush=True)


async def spaced(send: Send, address: str, bodies: list[bytes], count: int) -> None:
    """Send so many requests over one connection, with a pause after each."""

    def after_pauses() -> Iterator[bytes]:
        for body in often(bodies, count):
            time.sleep(PAUSE)
            yield body

    await send(address, after_pauses(), 1)


def often(bodies: list[bytes], count: int) -> Iterable[bytes]:
    return (bodies[number % len(bodies)] for number in range(count))


async def call(target: str, requests: Iterable[bytes], channels: int) -> None:
    """Export every request once, over so many channels."""
    waiting = iter(requests)

    async def channel(number: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("clew.channel", number)]
        async with grpc.aio.insecure_channel(target, options) as open_channel:
            export = open_channel.unary_unary(EXPORT)
            for body in waiting:
                await export(body)

    await asyncio.gather(*(channel(number) for number in range(channels)))


if __name__ == "__main__":
    main()
