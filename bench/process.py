"""`clew up` under a benchmark: its CPU time and memory, and a client that hardly uses the CPU.

Run as a program it is `clew up` in a variant:

    python bench/process.py base --data …       without the side tables
    python bench/process.py unsettled --data …  without the settler
    python bench/process.py receiver --data …   receivers and spool alone: what is sealed is dropped
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx

QUIET = 3.0  # seconds without progress of the CPU clock that count as calm
SIDE_VIEWS = ("clew_traces_view", "clew_operations_1m_view")


class Measured:
    """A process: what it takes."""

    pid: int

    def cpu(self) -> float:
        """Seconds, user and system, of all its threads, to the nanosecond."""
        # The clock of another process, as clock_getcpuclockid(3) names it on Linux.
        return time.clock_gettime(~self.pid << 3 | 2)

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes of resident memory; RssAnon for what is not of files, VmHWM for the most there ever
        was."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) * 1024

    def forget_most_memory(self) -> None:
        """Let VmHWM begin again at what there is now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


class Up(Measured):
    """`clew up` on free ports."""

    def __init__(self, data: Path, variant: str | None = None, *flags: str) -> None:
        self._data = data
        self._flags = flags
        self._command = (
            [sys.executable, __file__, variant]
            if variant
            else [sys.executable, "-m", "clew.cli", "up"]
        )

    def __enter__(self) -> Up:
        free = "127.0.0.1:0"
        self._process = subprocess.Popen(
            [
                *(*self._command, "--data", str(self._data)),
                *("--otlp-http", free, "--otlp-grpc", free, "--api", free, "--clickhouse", ""),
                *self._flags,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._process.pid
        path = self._data / "endpoints.json"
        while not path.exists():
            time.sleep(0.1)
        self.endpoints: dict[str, str] = json.loads(path.read_text())
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()

    def settle(self) -> None:
        """Wait until everything is loaded, and loading and merging hardly use the CPU."""
        while any(path.is_file() for path in (self._data / "spool").rglob("*")):
            httpx.get(f"{self.endpoints['api']}/api/v1/ledger", params={"wait": 10}, timeout=60)
            time.sleep(0.2)
        wait_until_calm(self.cpu)

    def stored(self, signal: str, wait: float = 0) -> int:
        """How many items of a signal are in the tables, by the ledger, which waits so many seconds
        at most until what was received is."""
        parameters: dict[str, str | float] = {"start": "-1d", "wait": wait}
        answer = httpx.get(f"{self.endpoints['api']}/api/v1/ledger", params=parameters, timeout=60)
        return next(
            int(each["stored"]) for each in answer.json()["signals"] if each["signal"] == signal
        )


def wait_until_calm(cpu: Callable[[], float]) -> None:
    """Until that clock hardly moves."""
    while True:
        before = cpu()
        time.sleep(QUIET)
        if cpu() - before < 0.1 * QUIET:
            return


async def send(url: str, requests: Iterable[bytes], connections: int) -> list[float]:
    """Post every request once, over so many connections; how many seconds each answer took.

    A 503 or 429 is sent again after its Retry-After. Raises RuntimeError for any other answer."""
    address = urlsplit(url)
    each = ((address.path, body) for body in requests)
    return await send_each(f"{address.scheme}://{address.netloc}", each, connections)


async def send_each(
    endpoint: str, requests: Iterable[tuple[str, bytes]], connections: int
) -> list[float]:
    """Likewise, of requests with a path each."""
    address = urlsplit(endpoint)
    waiting = iter(requests)
    took: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for path, body in waiting:
            head = (
                f"POST {path} HTTP/1.1\r\nhost: {address.netloc}\r\n"
                f"content-type: application/x-protobuf\r\ncontent-length: {len(body)}\r\n\r\n"
            ).encode()
            while True:
                began = time.perf_counter()
                writer.writelines((head, body))
                status, again = await _answer(reader)
                if status == 200:
                    took.append(time.perf_counter() - began)
                    break
                if status not in (429, 503):
                    raise RuntimeError(f"{endpoint}{path} answered {status}")
                await asyncio.sleep(again)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return took


async def _answer(reader: asyncio.StreamReader) -> tuple[int, float]:
    """Its status, and the seconds of its Retry-After."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()

    def number(header: bytes) -> int:
        return int(head.partition(header + b": ")[2].partition(b"\r\n")[0] or 0)

    await reader.readexactly(number(b"content-length"))
    return int(head[9:12]), number(b"retry-after") or 1.0


def run(work: Callable[[], Any]) -> Any:
    """Run a coroutine on uvloop, so that the client stays out of the way."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


def _serve(variant: str, flags: list[str]) -> int:
    from clew.analysis.traces.settler import Settler
    from clew.cli import main
    from clew.storage import Ingest, Store, StoredItems, migrate

    class Never(Settler):
        def start(self) -> None: ...

        def is_behind(self) -> bool:
            return True  # or a catch-up would ask a hundred times a second whether it has settled

    changed: dict[str, Any] = {}
    module = "clew.cli.platform"
    if variant == "base":

        def without_sides(store: Store) -> None:
            migrate(store)
            with store.client() as client:
                for view in SIDE_VIEWS:
                    client.command(f"DROP VIEW IF EXISTS otel.{view}")

        changed["migrate"] = without_sides
    elif variant == "unsettled":
        module, changed["Settler"] = "clew.cli.parts.analysis", Never
    elif variant == "receiver":

        class Nowhere(Ingest):
            def load(self, *arguments: Any) -> dict[str, StoredItems]:
                return {"": StoredItems(arguments[3], 0)}

            def write_ledger(self, *arguments: Any) -> None: ...

        module, changed["Ingest"] = "clew.cli.parts.ingest", Nowhere
    without_settler = patch("clew.cli.parts.analysis.Settler", Never)
    with (
        patch.multiple(module, **changed),
        without_settler if variant == "receiver" else nullcontext(),
    ):
        return main.main(["up", *flags])


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1], sys.argv[2:]))
