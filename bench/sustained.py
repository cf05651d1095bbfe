"""A steady load: how soon what was acknowledged is visible, and whether memory stays flat.

    python bench/sustained.py [--seconds 60] [--share 0.5]

First the machine's saturation is found (as many spans as are taken and stored in a short run),
then that share of it is sent for so long, in requests of 512 spans of 10 attributes. Meanwhile two
probes each send a trace and ask for it every 50 ms until it is there.
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
from process import Up, run, send

SPANS = 512
CONNECTIONS = 4
PROBE = 200  # requests that saturation is measured with


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--share", type=float, default=0.5)
    arguments = parser.parse_args()
    requests = [bodies.traces(SPANS, 10, seed) for seed in range(PROBE)]
    with tempfile.TemporaryDirectory() as directory, Up(Path(directory)) as up:
        saturation = run(lambda: saturate(up, requests))
        print(f"saturation: {saturation * SPANS:,.0f} spans a second of wall time")
        waits, memory = run(
            lambda: steady(up, requests, saturation * arguments.share, arguments.seconds)
        )
        waits.sort()
        print(
            f"freshness at {arguments.share:.0%} of it: p50 {waits[len(waits) // 2]:.2f} s, "
            f"p99 {waits[int(len(waits) * 0.99)]:.2f} s, of {len(waits)} probes"
        )
        third = max(1, len(memory) // 3)
        parts = [max(memory[i : i + third]) / 1e6 for i in range(0, 3 * third, third)]
        print(
            f"most resident memory in each third: {' '.join(f'{part:,.0f} MB' for part in parts)}"
        )


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
) -> tuple[list[float], list[int]]:
    """Seconds from acknowledgement until visible, of a probe every 0.2 s; and resident memory."""
    url = f"{up.endpoints['otlp_http']}/v1/traces"
    until = time.monotonic() + seconds
    waits: list[float] = []
    memory: list[int] = []

    async def load() -> None:
        again = itertools.cycle(requests)
        due = time.monotonic()
        while time.monotonic() < until:
            await send(url, [next(again)], 1)
            due += CONNECTIONS / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    numbers = itertools.count(1_000_000)

    async def probe(client: httpx.AsyncClient) -> None:
        for number in numbers:
            if time.monotonic() > until:
                return
            body, trace = bodies.traces(8, 10, number), bodies.trace_id(number)
            await send(url, [body], 1)
            acknowledged = time.monotonic()
            while (
                await client.get(f"{up.endpoints['api']}/api/v1/traces/{trace}")
            ).status_code != 200:
                await asyncio.sleep(0.05)
            waits.append(time.monotonic() - acknowledged)
            memory.append(up.memory())

    async with httpx.AsyncClient(timeout=30) as client:
        await asyncio.gather(*(load() for _ in range(CONNECTIONS)), probe(client), probe(client))
    return waits, memory


if __name__ == "__main__":
    main()
