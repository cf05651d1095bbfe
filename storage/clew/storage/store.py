"""The database behind a DSN. An embedded engine and a server are used through the same client."""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from clickhouse_connect.driver.exceptions import OperationalError

from clew.storage import rights
from clew.storage.changes import Changes
from clew.storage.cluster import SINGLE_NODE, Cluster
from clew.storage.engine_paths import check_engine_directory
from clew.storage.errors import SettingError, StorageError

logger = logging.getLogger(__name__)

DATABASE = "otel"
OLDEST_SERVER = (26, 2)

# The embedded engine shares the machine, so it gets at most half of its memory; the default is 90
# %. The default sizes of the caches add up to more than 20 GiB: with 20M spans resident memory rose
# to 3.9 GB.
MEBIBYTE = 1 << 20
MEMORY_RATIO = 0.5
EMBEDDED_OPTIONS: dict[str, float] = {
    "max_server_memory_usage_to_ram_ratio": MEMORY_RATIO,
    "mark_cache_size": 128 * MEBIBYTE,
    "primary_index_cache_size": 64 * MEBIBYTE,
    "index_mark_cache_size": 64 * MEBIBYTE,
    "unique_key_index_cache_size_bytes": 16 * MEBIBYTE,
    "text_index_tokens_cache_size": 32 * MEBIBYTE,
    "text_index_header_cache_size": 32 * MEBIBYTE,
    "text_index_postings_cache_size": 64 * MEBIBYTE,
    "query_condition_cache_size": 16 * MEBIBYTE,
    "compiled_expression_cache_size": 32 * MEBIBYTE,
    # By default the engine counts its memory anew twenty times a second, 0.15 % of a core.
    "memory_worker_period_ms": 1000,
}
# What chdb imports if it finds them, for results that clew never asks for: 33 MB and 0.3 s.
UNUSED_MODULES = ("pandas", "pyarrow")

# Clew's inserts are batches already, and their rows must be on disk when they return.
SESSION_SETTINGS: dict[str, int | str] = {
    "async_insert": 0,
    "session_timezone": "UTC",
}
# A replicated table skips an insert that it has seen before, also one whose rows were deleted by
# `Ingest.reload`. Which of these settings an engine knows depends on its version.
SETTINGS_WHERE_KNOWN = {"insert_deduplicate": 0, "deduplicate_insert": "disable"}
MIN_FREE_SPACE = 16 << 20  # bytes
RETRY_PAUSE = 0.1  # seconds between attempts to connect
EMBEDDED_ATTEMPTS = 20
ATTEMPTS_BEFORE_WARNING = 50
SERVER_START_TIMEOUT = 60.0  # seconds to wait for a server that is starting


class Store:
    """A database and a pool of clients to it. A client serves one thread at a time.

    `dsn`: `chdb:///absolute/directory` for the embedded engine (one process may have it open),
    `clickhouse://user:password@host:8123/` (or `clickhouses://` for TLS) for a server.
    `memory_limit`: bytes of memory for the embedded engine; by default half of the machine's.
    `cluster`: the cluster that the server belongs to. `wait_for_server`: wait up to 60 s for a
    server that does not answer yet.

    `changes` counts what this process writes. `memory` is the limit in use, `directory` the
    embedded engine's directory (None for a server), `shared` whether another clew may write to the
    same tables.

    Raises SettingError for a DSN that cannot be used, StorageError when no database answers.
    """

    def __init__(
        self,
        dsn: str,
        memory_limit: int | None = None,
        cluster: Cluster = SINGLE_NODE,
        *,
        wait_for_server: bool = False,
    ) -> None:
        self.dsn = dsn
        self.cluster = cluster
        self.memory = memory_limit or int(_memory() * MEMORY_RATIO)
        # Held by inserts that do not come from the loader, and while side rows are made again.
        self.write_lock = threading.Lock()
        self.changes = Changes()
        self._options: dict[str, float | str] = dict(EMBEDDED_OPTIONS)
        if memory_limit is not None:
            self._options["max_server_memory_usage"] = memory_limit
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._clients: list[Client] = []
        self._lock = threading.Lock()
        self.embedded = _is_embedded(dsn)
        self._attempts = int(SERVER_START_TIMEOUT / RETRY_PAUSE) if wait_for_server else 1
        if self.embedded:
            self._attempts = EMBEDDED_ATTEMPTS
        self.shared = not self.embedded
        self.directory = _prepare_directory(dsn) if self.embedded else None
        if self.directory is not None:
            _remove_torn_mutations(self.directory)
            config = _configure(self.directory, self.memory)
            if config is not None:
                self._options["config-file"] = str(config)
        with self.client() as client:
            if self.directory is not None:
                _assert_path(client, self.directory)
            else:
                _assert_version(client)
                _assert_zone(client)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client for the calling thread, which returns to the pool afterwards."""
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._connect()
        try:
            yield client
        except OperationalError as error:
            raise _without_url(error) from error
        finally:
            self._idle.put(client)

    def connect(self) -> Any:
        """A connection of chdb to the embedded engine, with default settings and all rights. Raises
        StorageError, for a server as well."""
        if self.directory is None:
            raise StorageError(
                "only the embedded engine has connections; use a client of the server"
            )
        try:
            return _connect(str(self.directory))
        except RuntimeError as error:
            raise StorageError(f"cannot connect to the embedded engine: {error}") from error

    def free_space(self) -> int | None:
        """Free bytes on the disk of the embedded database; None for a server."""
        return shutil.disk_usage(self.directory).free if self.directory else None

    def check_free_space(self, needed: int = 0) -> None:
        """Raises StorageError when fewer than MIN_FREE_SPACE and `needed` bytes are free on the
        disk of the embedded database: what writes to it waits until there are."""
        free = self.free_space()
        if free is not None and free < MIN_FREE_SPACE + needed:
            raise StorageError(f"the database's disk has {free >> 20} MiB left")

    def close(self) -> None:
        """Close every client; the embedded engine then releases its directory."""
        with self._lock:
            clients, self._clients = self._clients, []
        for client in clients:
            client.close()

    def _connect(self) -> Client:
        # The directory is passed as a path, because # ? and % have a meaning in a DSN.
        options: dict[str, Any] = (
            {
                "interface": "chdb",
                "path": str(self.directory),
                "chdb_options": {name: str(size) for name, size in self._options.items()},
            }
            if self.embedded
            else {"dsn": self.dsn, "autogenerate_session_id": False, "send_receive_timeout": 600}
        )
        try:
            client = _with_retries(
                lambda: clickhouse_connect.get_client(
                    settings=SESSION_SETTINGS | self.cluster.settings, **options
                ),
                attempts=1 if self._clients else self._attempts,
                # There is no point in waiting for a server that answers with a refusal.
                retried_error=ClickHouseError if self.embedded else OperationalError,
            )
            for name, value in SETTINGS_WHERE_KNOWN.items():
                if name in client.server_settings:
                    client.set_client_setting(name, value)
        except (ClickHouseError, OSError) as error:
            raise StorageError(_explain(self.dsn, _without_url(error))) from error
        with self._lock:
            self._clients.append(client)
        return client


def _with_retries(
    connect: Callable[[], Client], attempts: int, retried_error: type[ClickHouseError]
) -> Client:
    """Connect, and retry after an error: a killed process may still hold the directory for a
    moment, and a server may be starting."""
    for attempt in range(attempts):
        try:
            return connect()
        except retried_error as error:
            if attempt == attempts - 1:
                raise
            if attempt == ATTEMPTS_BEFORE_WARNING:
                logger.warning("the database does not answer yet: %s", error)
            time.sleep(RETRY_PAUSE)
    raise AssertionError("unreachable")


def _without_url(error: Exception) -> Exception:
    """The error without the request's URL, which can contain 100 KB of parameters."""
    return type(error)(re.sub(r" with url: \S+", "", str(error)))


def _is_embedded(dsn: str) -> bool:
    scheme = dsn.partition(":")[0]
    if scheme == "chdb":
        return True
    if scheme in ("clickhouse", "clickhouses", "http", "https"):
        try:
            urlsplit(dsn).port  # noqa: B018 - raises when the host or the port cannot be read
        except ValueError as error:
            raise SettingError(
                "CLEW_DSN: its host or port cannot be read; write "
                "clickhouse://user:password@host:8123/, and # as %23 in a password"
            ) from error
        return False
    raise SettingError(
        f"CLEW_DSN {dsn!r}: write chdb:///absolute/directory for the embedded engine, or "
        "clickhouse://user:password@host:8123/ for a server"
    )


def _prepare_directory(dsn: str) -> Path:
    path = dsn.removeprefix("chdb://")
    if not path.startswith("/"):
        raise SettingError(f"CLEW_DSN {dsn!r}: write three slashes, chdb:///absolute/directory")
    directory = Path(path).resolve()
    check_engine_directory(directory)
    # A row's partition is its day in the engine's time zone, which must be the same everywhere.
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"CLEW_DSN: cannot create {directory}: {error.strerror}") from error
    return directory


def _configure(directory: Path, memory: int) -> Path | None:
    """Write the configuration that the engine reads when it starts; returns its path.

    The names in it come from an engine in memory (0.1 s). When this process has an engine open
    already, no second one can be opened and the configuration is not needed: None."""
    try:
        engine = _connect(":memory:")
    except RuntimeError:
        return None
    try:
        return rights.write_configuration(
            directory, memory, lambda sql: engine.query(sql, "TSVRaw").bytes().decode().split()
        )
    except OSError as error:
        raise StorageError(f"cannot write in {directory}: {error.strerror}") from error
    finally:
        engine.close()


def _connect(path: str) -> Any:
    with _without_modules(UNUSED_MODULES):
        # Imported late: takes 0.2 s and 200 MB, and a server's client needs none.
        from chdb import _chdb, state  # noqa: F401 - clickhouse-connect imports the state

    return _chdb.connect(path)  # type: ignore[attr-defined]


@contextmanager
def _without_modules(names: Iterable[str]) -> Iterator[None]:
    """A context in which modules that are not imported yet cannot be."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _remove_torn_mutations(directory: Path) -> None:
    """On a full disk a DELETE leaves an empty file, and the engine does not open a database that
    has one. Its caller got an error or no answer, so `Ingest.reload` repeats the DELETE."""
    mutations = list(directory.glob("store/*/*/mutation_*.txt"))
    torn = [path for path in mutations if not path.read_bytes().endswith(b"\n")]
    if not torn:
        return
    # An engine that has the directory open holds this lock, and may be writing such a file now.
    with suppress(BlockingIOError), (directory / "status").open("a") as status:
        fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in torn:
            logger.warning("removing the incomplete mutation %s", path)
            path.unlink(missing_ok=True)


def _assert_path(client: Client, directory: Path) -> None:
    """With a wrong option, the embedded engine uses a temporary directory and reports no error."""
    ((path,),) = client.query("SELECT path FROM system.disks WHERE name = 'default'").result_rows
    engine_directory = Path(path).resolve()
    if engine_directory != directory:
        raise StorageError(f"the embedded engine uses {engine_directory}, not {directory}")


def _assert_version(client: Client) -> None:
    version = tuple(int(part) for part in str(client.server_version).split(".")[:2])
    if version < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise SettingError(
            f"ClickHouse {client.server_version} at the DSN: {oldest} or newer is needed"
        )


def _assert_zone(client: Client) -> None:
    """The server's time zone decides into which day's partition a row goes, and how it reads a time
    without a zone."""
    zone = str(client.command("SELECT serverTimezone()"))
    if zone not in ("UTC", "Etc/UTC", "Zulu", "Etc/Zulu", "Etc/UCT", "UCT", "GMT", "Etc/GMT"):
        raise SettingError(
            f"the time zone of the ClickHouse server at the DSN is {zone}: set "
            "<timezone>UTC</timezone> in its configuration, because a partition is one day in UTC"
        )


def _explain(dsn: str, error: Exception) -> str:
    text = str(error).splitlines()[0]
    if _is_embedded(dsn):
        return (
            f"cannot open the embedded engine in {dsn.removeprefix('chdb://')}: {text} "
            "(only one process at a time can open it: is another clew running there?)"
        )
    if isinstance(error, OperationalError):
        return f"no ClickHouse server answers at {urlsplit(dsn).hostname}: {text}"
    return f"the ClickHouse server at {urlsplit(dsn).hostname} cannot be used: {text}"
