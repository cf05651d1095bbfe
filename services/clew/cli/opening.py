"""What a command opens: the data directory, which has one owner at a time, and the database."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from clew.cli.settings import Settings, UsageError
from clew.storage import Cluster, Store, check_segment_directory
from clew.storage.files import make_directory


class InUse(UsageError):
    """Another process holds the data directory."""


def open_store(settings: Settings, *, wait_for_server: bool = False) -> Store:
    """The database of the settings; with `wait_for_server`, wait until its server answers."""
    if settings.dsn.startswith("chdb:"):
        check_segment_directory(settings.data)
        if settings.cluster:
            raise UsageError(
                "--cluster: the embedded engine has none; name a node of it with --dsn"
            )
    return Store(
        settings.dsn,
        settings.memory_limit,
        Cluster(settings.cluster),
        wait_for_server=wait_for_server,
    )


def make_data(data: Path) -> None:
    """Make the data directory, if it is not there. Raises UsageError when that fails."""
    try:
        make_directory(data)
    except OSError as error:
        raise UsageError(f"--data: cannot make {data}: {error.strerror}") from error


@contextlib.contextmanager
def only_one(data: Path) -> Iterator[TextIO]:
    """Hold the data directory: its spool has one owner. Raises InUse when another process
    holds it, UsageError when nothing can be written in it."""
    try:
        opened = (data / "clew.lock").open("a+")
    except OSError as error:
        raise UsageError(f"--data: cannot write in {data}: {error.strerror}") from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise InUse(
                f"{data} is in use by another clew (process {lock.read().strip() or 'unknown'}): "
                "stop it, or choose another --data"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield lock
