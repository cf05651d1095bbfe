"""Files that are read again when they change."""

from __future__ import annotations

import time
from pathlib import Path

_Stamp = tuple[int, int, int] | None


class WatchedFiles:
    """Notices changes of some files by modification time, size and inode.

    `every`: seconds in which `changed` looks at most once; in between it says False."""

    def __init__(self, *paths: Path, every: float = 0.0) -> None:
        self._paths = paths
        self._every = every
        self._stamps = self._read_stamps()
        self._looked_at = time.monotonic()

    def changed(self) -> bool:
        """Whether any of the files is another one than at the last call, or since this object was
        made. A file that has gone, or came back, has changed."""
        now = time.monotonic()
        if now - self._looked_at < self._every:
            return False
        self._looked_at = now
        stamps = self._read_stamps()
        changed = stamps != self._stamps
        self._stamps = stamps
        return changed

    def forget(self) -> None:
        """The next call of `changed` says True: what was read could not be used yet."""
        self._stamps = []

    def _read_stamps(self) -> list[_Stamp]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
