"""What the collector may use of the machine, and the answer when it is used up: try again later.

Both limits are met before anything is acknowledged, so reaching one loses nothing: HTTP clients
get 503 with Retry-After, gRPC clients UNAVAILABLE with RetryInfo.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

MEBIBYTE = 1 << 20
RETRY_AFTER = 1  # seconds that clients are asked to wait


class Overloaded(Exception):
    """Nothing of the request was kept. Try again later."""


class Tally(Protocol):
    """Is told, once a request, what clients sent that is not stored; on the receivers' loop."""

    def rejected(self, signal: str, reasons: dict[str, int]) -> None:
        """So many items, by reason, of a request whose other items, if any, are acknowledged."""

    def unreadable(self, signal: str) -> None:
        """A request was refused for good, and nobody knows how many items were in it."""

    def refused(self, signal: str) -> None:
        """A request was refused for now: its client will send it again."""


class NoTally:
    """Counts nothing."""

    def rejected(self, signal: str, reasons: dict[str, int]) -> None:
        pass

    def unreadable(self, signal: str) -> None:
        pass

    def refused(self, signal: str) -> None:
        pass


class InFlight:
    """The bytes of requests that are being received or wait for the disk. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    @contextmanager
    def request(self) -> Iterator[Request]:
        """Count one request; what it took is given back at the end."""
        request = Request(self)
        try:
            yield request
        finally:
            self._used -= request.size

    def _take(self, size: int) -> None:
        if self._used + size > self._limit:
            raise Overloaded(
                f"requests of {self._used >> 20} MiB are being received, the limit is "
                f"{self._limit >> 20} MiB: send again in a moment"
            )
        self._used += size


class Request:
    """The share of one request in what is in flight."""

    def __init__(self, of: InFlight) -> None:
        self._of = of
        self.size = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes. Raises Overloaded when that is too many."""
        self._of._take(size)
        self.size += size


class Footprint:
    """How much a directory holds, looked at anew twice a second at most."""

    LOOK_AFTER = 0.5

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self._used = 0
        self._looked = -self.LOOK_AFTER

    def check(self) -> None:
        """Raises Overloaded when the directory is at its limit."""
        if self.used() >= self._limit:
            raise Overloaded(
                f"the spool holds {self._used >> 20} MiB, its limit is {self._limit >> 20} MiB: "
                "the database does not keep up"
            )

    def used(self) -> int:
        """Bytes in the directory's files."""
        if time.monotonic() - self._looked >= self.LOOK_AFTER:
            self._used = _bytes_in(self._directory)
            self._looked = time.monotonic()
        return self._used


def default_in_flight() -> int:
    """A thirty-second of the memory, between 128 MiB and 1 GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(memory // 32, 128 * MEBIBYTE), 1024 * MEBIBYTE)


def default_spool(directory: Path) -> int:
    """A tenth of the disk."""
    return shutil.disk_usage(directory).total // 10


def _bytes_in(directory: Path) -> int:
    used = 0
    for path in directory.rglob("*"):
        try:
            used += path.stat().st_size
        except FileNotFoundError:  # loaded meanwhile
            continue
    return used
