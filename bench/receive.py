"""What receiving costs: decoding by itself, and requests of one span each, each on the disk.

    python bench/receive.py [--requests 40000] [--connections 200]

Decoding is timed in one process. For the small requests, receiver and spool run in a process of
their own without a loader, over HTTP; their CPU time, user and system, is set against the requests.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import bodies

from clew.collector import otlp

TICKS = os.sysconf("SC_CLK_TCK")
TRIES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--connections", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{'spans':>8} {'attributes':>10} {'µs a span':>10}   decoding a request")
    for spans in (512, 64, 1):
        for attributes in (4, 10, 20):
            print(f"{spans:>8} {attributes:>10} {decoding(spans, attributes):>10.2f}", flush=True)
    answered = asyncio.run(small_requests(arguments.requests, arguments.connections))
    print(f"\n{answered:,.0f} requests of one span per CPU-second")


def decoding(spans: int, attributes: int) -> float:
    """Microseconds a span, the best of some tries."""
    body = bodies.traces(spans, attributes, 1)
    times = []
    for _ in range(TRIES):
        before = time.process_time()
        for _ in range(512 // spans):
            otlp.decode_protobuf("traces", body)
        times.append(time.process_time() - before)
    return min(times) / (512 // spans * spans) * 1e6


async def small_requests(count: int, connections: int) -> float:
    """Requests per CPU-second of receiver and spool."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=connections)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with tempfile.TemporaryDirectory() as directory:
        server = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(listening, directory)
        )
        server.start()
        try:
            address = listening.getsockname()
            await _send(address, count // 10, connections)
            before = _cpu(server.pid)
            await _send(address, count, connections)
            return count / (_cpu(server.pid) - before)
        finally:
            server.terminate()
            server.join()


async def _send(address: Any, count: int, connections: int) -> None:
    body = bodies.traces(1, 10, 1)
    request = (
        b"POST /v1/traces HTTP/1.1\r\nhost: clew\r\nuser-agent: bench\r\naccept: */*\r\n"
        b"content-type: application/x-protobuf\r\ncontent-length: %d\r\n\r\n" % len(body)
    ) + body
    left = iter(range(count))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(*address)
        with contextlib.closing(writer):
            for _ in left:
                writer.write(request)
                answer = await reader.readuntil(b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 200"), answer

    await asyncio.gather(*(connection() for _ in range(connections)))


def _serve(listening: socket.socket, directory: str) -> None:
    import uvloop

    from clew.cli.servers import Server
    from clew.collector.http import Receiver
    from clew.collector.limits import InFlight, default_in_flight
    from clew.collector.spool import Spool

    spool = Spool(Path(directory), ("traces",), lambda segment: segment.drop())

    async def serve() -> None:
        server = Server(Receiver(spool.append, InFlight(default_in_flight())), None, 1)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: setattr(server, "should_exit", True))
        await server.serve([listening])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    spool.close()


def _cpu(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
