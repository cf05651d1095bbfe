"""Fixtures that several kinds of tests share: the real engine, and clew as a process."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest

import one_node
from clew.storage import Ingest, Reader, Store, migrate

CLEW = [sys.executable, "-m", "clew.cli"]
FREE_ADDRESSES = [
    *("--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"),
    *("--api", "127.0.0.1:0", "--clickhouse", ""),
]
CLEW_UP = [*CLEW, "up", *FREE_ADDRESSES]
TABLES = """
SELECT name FROM system.tables
WHERE database LIKE 'otel%' AND engine LIKE '%MergeTree' AND name != 'clew_migrations'
"""


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The embedded engine with the schema in it. A process has one; tests share it."""
    directory = tmp_path_factory.mktemp("engine")
    shards = os.environ.get("CLEW_TEST_CLUSTER")
    store = one_node.store(directory, int(shards)) if shards else Store(f"chdb://{directory}")
    migrate(store)
    yield store
    store.close()


@pytest.fixture(scope="session")
def emptied(engine: Store) -> Callable[[], Store]:
    """A function that empties every table, for tests that share what they load."""

    def empty() -> Store:
        with engine.client() as client:
            for (table,) in client.query(TABLES).result_rows:
                client.command(f"TRUNCATE TABLE {engine.cluster.rows_of(table)}")
        return engine

    return empty


@pytest.fixture
def store(emptied: Callable[[], Store]) -> Store:
    """The engine with every table empty."""
    return emptied()


@pytest.fixture
def ingest(store: Store) -> Ingest:
    return Ingest(store)


@pytest.fixture
def reader(store: Store) -> Reader:
    return Reader(store)


class Clew:
    """`clew up` as a process of its own, on free ports; with a certificate, that one is trusted."""

    program: Sequence[str] = CLEW
    command: str = "up"
    addresses: Sequence[str] = FREE_ADDRESSES
    environment: Mapping[str, str] = {}

    def __init__(
        self, data: Path, *flags: str, certificate: Path | None = None, wait: bool = True
    ) -> None:
        self.data = data
        self.trust = ssl.create_default_context(cafile=certificate) if certificate else True
        self.log = data.parent / f"{data.name}.log"
        self._flags = flags
        if wait:
            self.start()
        else:
            self.start_without_waiting()

    def start(self) -> None:
        """Start it, or start it again on the same data; returns once it is ready."""
        self.start_without_waiting()
        self.endpoints: dict[str, str] = self._wait_until_ready()

    def start_without_waiting(self) -> None:
        (self.data / "endpoints.json").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.program,
                    self.command,
                    *self.addresses,
                    "--data",
                    str(self.data),
                    *self._flags,
                ],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _wait_until_ready(self) -> dict[str, str]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                endpoints = json.loads((self.data / "endpoints.json").read_text())
                ready = f"{endpoints['api'] or endpoints['otlp_http']}/readyz"
                if httpx.get(ready, verify=self.trust).is_success:
                    return dict(endpoints)
            except (OSError, ValueError, httpx.HTTPError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def get(self, path: str, **parameters: object) -> httpx.Response:
        return httpx.get(f"{self.endpoints['api']}{path}", params=parameters, timeout=30)  # type: ignore[arg-type]


@pytest.fixture
def clew(tmp_path: Path) -> Iterator[Clew]:
    """`clew up` on a directory of its own."""
    running = Clew(tmp_path / "data")
    yield running
    running.stop()
