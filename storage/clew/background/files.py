"""Detects changes of files."""

from __future__ import annotations

import time
from pathlib import Path

_Stamp = tuple[int, int, int] | None


class WatchedFiles:
    """Detects changes of files by modification time, size and inode.

    Within `interval` seconds of a check, `changed` returns False without another one."""

    def __init__(self, *paths: Path, interval: float = 0.0) -> None:
        self._paths = paths
        self._interval = interval
        self._stamps = self._read_stamps()
        self._checked_at = time.monotonic()

    def changed(self) -> bool:
        """Whether a file changed, was removed, or was created since the last check; the first one
        is made by the constructor."""
        now = time.monotonic()
        if now - self._checked_at < self._interval:
            return False
        self._checked_at = now
        stamps = self._read_stamps()
        changed = stamps != self._stamps
        self._stamps = stamps
        return changed

    def forget(self) -> None:
        """Make the next check return True, since the files could not be used yet."""
        self._stamps = []

    def _read_stamps(self) -> list[_Stamp]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
