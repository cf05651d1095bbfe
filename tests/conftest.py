"""Fixtures that several kinds of tests share: the real engine, and clew as a process."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from clew.storage import Ingest, Reader, Store, migrate
from support import in_memory as memory
from support import one_node
from support.processes import Clew

pytest_plugins = ["support.durations"]

# Empty ones are left alone: to empty all 39 takes 10 ms of CPU, before each test.
NOT_EMPTY = """
SELECT name FROM system.tables
WHERE database LIKE 'otel%' AND match(engine, 'MergeTree$|^Memory$') AND name != 'clew_migrations'
    AND (total_rows > 0 OR active_parts > 0)
"""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where the tests of this file are left out, it is not read: schemathesis makes all of its cases
    when it is collected, 4 s of CPU time in every process."""
    is_left_out = config.option.markexpr == "not slow"
    return True if is_left_out and collection_path.name == "test_openapi_thorough.py" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cases of a test that is `sampled` are slow, but for one in so many."""
    seen: Counter[str] = Counter()
    for item in items:
        if sampled := item.get_closest_marker("sampled"):
            test = item.nodeid.partition("[")[0]
            if seen[test] % sampled.args[0]:
                item.add_marker(pytest.mark.slow)
            seen[test] += 1


@pytest.fixture(scope="session", autouse=True)
def one_trust_store() -> Iterator[None]:
    """httpx reads all CA certificates for every client and every `httpx.get`: 20 ms of CPU. Here it
    reads them once."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", once)
        yield


@pytest.fixture(scope="session")
def in_memory() -> Iterator[memory.Directories]:
    """Makes directories in memory."""
    with memory.directories() as made:
        yield made


@pytest.fixture(scope="session")
def engine(in_memory: memory.Directories) -> Iterator[Store]:
    """The embedded engine with the schema in it. A process has one; tests share it."""
    directory = in_memory.mktemp("engine")
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
            for (table,) in client.query(NOT_EMPTY).result_rows:
                client.command(f"TRUNCATE TABLE {engine.cluster.local_table(table)}")
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


@pytest.fixture
def clew(tmp_path: Path) -> Iterator[Clew]:
    """`clew up` on a directory of its own."""
    running = Clew(tmp_path / "data")
    yield running
    running.stop()
