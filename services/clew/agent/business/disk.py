"""The rules that were fetched last, on the disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONGEST = 8 << 20  # bytes that are read


class DiskCopy:
    """A JSON file that belongs to this user alone, in a directory that does too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any] | None:
        """What was written last; None if there is nothing, or somebody else could have written it.
        Raises OSError, ValueError."""
        if not _is_private(os.lstat(self._path.parent)):
            return None
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or not _is_private(status):
                return None
            content = json.loads(file.read(LONGEST))
        return content if isinstance(content, dict) else None

    def write(self, content: Mapping[str, Any], if_missing: bool = True) -> None:
        """Replace the file as a whole; without `if_missing` only if there is one. Where that is not
        possible, nothing is kept."""
        with contextlib.suppress(OSError):
            if not if_missing and not self._path.exists():
                return
            directory = self._path.parent
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_private(os.lstat(directory)):
                return
            descriptor, name = tempfile.mkstemp(dir=directory, prefix=self._path.name)
            try:
                with open(descriptor, "w", encoding="utf-8") as file:
                    json.dump(content, file)
                os.replace(name, self._path)
            except BaseException:
                os.unlink(name)
                raise


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def copy_of(url: str, headers: Mapping[str, str], environ: Mapping[str, str]) -> DiskCopy:
    """The copy of what this address answers to these headers, in the user's cache."""
    identity = json.dumps([url, sorted(headers.items())]).encode()
    name = f"rules-{hashlib.sha256(identity).hexdigest()[:32]}.json"
    cache = environ.get("XDG_CACHE_HOME", "")
    home = environ.get("HOME", "")
    if os.path.isabs(cache):
        directory = Path(cache, "clew")
    elif os.path.isabs(home) and os.access(home, os.W_OK):
        directory = Path(home, ".cache", "clew")
    else:
        directory = Path(tempfile.gettempdir(), f"clew-{os.geteuid()}")
    return DiskCopy(directory / name)
