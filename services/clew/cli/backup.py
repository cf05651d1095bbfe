"""`clew backup` and `clew restore`.

One process owns the embedded engine. While one runs, `clew backup` sends it a request
(clew.cli.control): it freezes the tables, answers with the files to copy, and releases them when
the connection ends. This process copies the files, with its own user's rights.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clew.cli import control
from clew.cli.opening import InUse, only_one
from clew.cli.settings import Settings, UsageError
from clew.storage import BackupError, Store
from clew.storage import backup as backups

logger = logging.getLogger(__name__)

RELOADED_WITHIN = 60.0  # seconds to wait until ambiguous segments are reloaded


def answering(
    store: Store, paused: Callable[[], contextlib.AbstractContextManager[object]]
) -> control.Answer:
    """Freezes the tables and sends the manifest of what to copy, or an error; releases them when
    the connection ends."""
    backups.release_frozen(store)

    async def answer(
        request: control.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        frozen = contextlib.ExitStack()
        try:
            enter = backups.freeze_tables(store, paused)
            try:
                manifest = await asyncio.to_thread(frozen.enter_context, enter)
                logger.info("a backup is being taken from %s", manifest["directory"])
            except Exception as error:
                logger.warning("no backup: %s", error)
                manifest = {"error": str(error)}
            await control.send_line(writer, manifest)
            await reader.read()
        finally:
            await asyncio.to_thread(frozen.close)

    return answer


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
    """Freeze the tables, in the process that runs on the data directory or else in this one; gives
    the manifest of what to copy."""
    directory = _database(settings)
    with contextlib.ExitStack() as stack:
        try:
            if not directory.is_dir():
                raise BackupError(f"there is no database in {directory}")
            stack.enter_context(only_one(settings.data))
        except InUse:
            yield stack.enter_context(_request(settings.data))
            return
        if loading := [*(settings.data / "spool").glob("*/*.loading")]:
            raise BackupError(
                f"clew was killed while it loaded {len(loading)} segments, parts of which may be "
                "in the tables: start clew up once, which reloads them"
            )
        store = stack.enter_context(contextlib.closing(Store(settings.dsn)))
        backups.release_frozen(store)
        yield stack.enter_context(backups.freeze_tables(store, contextlib.nullcontext))


@contextlib.contextmanager
def _request(data: Path) -> Iterator[dict[str, Any]]:
    try:
        with control.request_lines(data, {"ask": "backup"}) as answers:
            yield next(answers)
    except (OSError, ValueError, StopIteration) as error:
        raise BackupError(f"the clew that runs on {data} does not answer: {error}") from error


def _database(settings: Settings) -> Path:
    scheme, _, path = settings.dsn.partition("://")
    if scheme != "chdb":
        raise UsageError("backup and restore are for the embedded engine: a server has its own")
    return Path(path)
