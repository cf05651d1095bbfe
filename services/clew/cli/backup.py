"""`clew backup` and `clew restore`.

One process owns the embedded engine. While one runs, `clew backup` asks it over a socket in the
data directory, which none but the directory's owner can open: it freezes the tables, says what to
copy, and lets go when the connection ends, however it ends. The copying is done here, with the
rights of whoever asked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from clew.cli.settings import Settings, UsageError
from clew.storage import BackupError, Store
from clew.storage import backup as backups

logger = logging.getLogger(__name__)

SETTLED_WITHIN = 60.0  # seconds for what an insert that failed left in the tables
NAME = "clew.sock"


@contextlib.asynccontextmanager
async def serve(
    data: Path, store: Store, paused: Callable[[], contextlib.AbstractContextManager[object]]
) -> AsyncIterator[None]:
    """Answer whoever connects to the socket with one line: what to copy, or an error."""
    backups.let_go(store)
    asked: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        asked.add(task)
        frozen = contextlib.ExitStack()
        try:
            enter = backups.frozen(store, paused)
            try:
                said = await asyncio.to_thread(frozen.enter_context, enter)
                logger.info("a backup is being taken from %s", said["directory"])
            except Exception as error:
                logger.warning("no backup: %s", error)
                said = {"error": str(error)}
            writer.write(json.dumps(said).encode() + b"\n")
            await writer.drain()
            await reader.read()
        except ConnectionError:
            pass
        finally:
            await asyncio.to_thread(frozen.close)
            writer.close()
            asked.discard(task)

    path = data / NAME
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _reachable(path) as address:
        listening.bind(address)
    path.chmod(0o600)  # nobody can connect before it listens
    server = await asyncio.start_unix_server(answer, sock=listening)
    try:
        yield
    finally:
        server.close()
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        path.unlink(missing_ok=True)


def backup(settings: Settings, target: Path) -> None:
    """Write a backup of the platform's tables to `target`."""
    with _manifest(settings) as manifest:
        if "error" in manifest:
            raise BackupError(manifest["error"])
        backups.write(manifest, target)
    size = sum(manifest["files"].values())
    print(f"{target}: {sum(manifest['rows'].values())} rows, {size >> 20} MiB")


def restore(settings: Settings, source: Path) -> None:
    """Make the database of an empty data directory from a backup."""
    directory = _database(settings)
    if settings.data.exists() and any(settings.data.iterdir()):
        raise UsageError(f"{settings.data} is not empty: restore into an empty --data directory")
    directory.parent.mkdir(parents=True, exist_ok=True)
    rows = backups.restore(source, directory)
    print(f"{directory}: {sum(rows.values())} rows")


@contextlib.contextmanager
def _manifest(settings: Settings) -> Iterator[dict[str, Any]]:
    """What is frozen, by the process that runs on the data directory or else by this one."""
    from clew.cli.platform import only_one

    directory = _database(settings)
    with contextlib.ExitStack() as stack:
        try:
            if not directory.is_dir():
                raise BackupError(f"there is no database in {directory}")
            stack.enter_context(only_one(settings.data))
        except UsageError:
            yield stack.enter_context(_asked(settings.data))
            return
        if left := [*(settings.data / "spool").glob("*/*.loading")]:
            raise BackupError(
                f"clew was killed while it loaded {len(left)} segments, parts of which may be in "
                "the tables: start clew up once, which settles that"
            )
        store = stack.enter_context(contextlib.closing(Store(settings.dsn)))
        backups.let_go(store)
        yield stack.enter_context(backups.frozen(store, contextlib.nullcontext))


@contextlib.contextmanager
def _asked(data: Path) -> Iterator[dict[str, Any]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with _reachable(data / NAME) as address:
                connection.connect(address)
            with connection.makefile("rb") as answer:
                said = json.loads(answer.readline())
        except (OSError, ValueError) as error:
            raise BackupError(f"the clew that runs on {data} does not answer: {error}") from error
        yield said


def _database(settings: Settings) -> Path:
    scheme, _, path = settings.dsn.partition("://")
    if scheme != "chdb":
        raise UsageError("backup and restore are for the embedded engine: a server has its own")
    return Path(path)


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A socket's address for `path`: it has room for about a hundred characters."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
