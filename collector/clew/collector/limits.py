"""Limits on the collector's memory and disk: bytes of requests in flight, bytes in the spool.

Both are checked before a request is acknowledged, so reaching one loses nothing: HTTP clients get
503 with Retry-After, gRPC clients UNAVAILABLE with RetryInfo, and send the request again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

MEBIBYTE = 1 << 20
RETRY_AFTER = 1  # seconds that clients should wait before they send again


class Overloaded(Exception):
    """Nothing of the request was stored. The client should send it again later."""


class Tally(Protocol):
    """Counts what the receivers do not store as it was sent. Each method is called at most once per
    request, on their event loop.

    `signal` is traces, logs or metrics."""

    def count_rejected(self, signal: str, reasons: dict[str, int]) -> None:
        """Items of one request that were rejected, by reason; its other items are acknowledged."""

    def count_mended(self, signal: str, items: int) -> None:
        """Items of one request that were mended; they are acknowledged."""

    def count_redacted(self, signal: str, items: int) -> None:
        """Items of one request from which secrets were removed; they are acknowledged."""

    def count_unreadable(self, signal: str) -> None:
        """A request that was refused for good; how many items it held is unknown."""

    def count_refused(self, signal: str) -> None:
        """A request that was refused for now: its client should send it again."""


class NoTally:
    """Counts nothing."""

    def count_rejected(self, signal: str, reasons: dict[str, int]) -> None:
        pass

    def count_mended(self, signal: str, items: int) -> None:
        pass

    def count_redacted(self, signal: str, items: int) -> None:
        pass

    def count_unreadable(self, signal: str) -> None:
        pass

    def count_refused(self, signal: str) -> None:
        pass


class InFlight:
    """Counts the bytes of requests that are being received or written. Not thread-safe: one event
    loop uses it. `limit` is in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    @contextmanager
    def request(self) -> Iterator[Request]:
        """A context for one request; its bytes are released at the end."""
        request = Request(self)
        try:
            yield request
        finally:
            self._used -= request.size

    def _take(self, size: int) -> None:
        if self._used + size > self._limit:
            raise Overloaded(
                f"{self._used >> 20} MiB of requests are being received, the limit is "
                f"{self._limit >> 20} MiB: send again later"
            )
        self._used += size


class Request:
    """The bytes in flight of one request: `size`."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self.size = 0

    def take(self, size: int) -> None:
        """Add `size` bytes. Raises Overloaded, and adds nothing, when that exceeds the limit."""
        self._in_flight._take(size)
        self.size += size


class Footprint:
    """The size of a directory's files in bytes, measured at most every MAX_AGE seconds."""

    MAX_AGE = 0.5

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self._used = 0
        self._measured_at = -self.MAX_AGE

    def check(self) -> None:
        """Raises Overloaded when the directory is at its limit."""
        if self.used() >= self._limit:
            raise Overloaded(
                f"the spool holds {self._used >> 20} MiB, its limit is {self._limit >> 20} MiB, "
                "because the database does not keep up: send again later"
            )

    def add(self, size: int) -> None:
        """So many bytes were written; counted until the next measurement."""
        self._used += size

    def is_scarce(self) -> bool:
        """Whether half of the limit is used."""
        return 2 * self.used() >= self._limit

    def used(self) -> int:
        """Bytes in the directory's files."""
        if time.monotonic() - self._measured_at >= self.MAX_AGE:
            self._used = _bytes_in(self._directory)
            self._measured_at = time.monotonic()
        return self._used


def default_in_flight_limit() -> int:
    """Bytes: a thirty-second of the machine's memory, between 128 MiB and 1 GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(memory // 32, 128 * MEBIBYTE), 1024 * MEBIBYTE)


def default_spool_limit(directory: Path) -> int:
    """Bytes: a tenth of the disk that holds the directory."""
    return shutil.disk_usage(directory).total // 10


def _bytes_in(directory: Path) -> int:
    used = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):  # loaded and removed meanwhile
                used += os.stat(os.path.join(folder, name)).st_size
    return used
