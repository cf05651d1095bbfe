"""Giving back memory after the start: only what its file still holds."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from pathlib import Path

import pytest

from clew.cli.memory import release_code

PROT_READ = 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pages_that_only_the_file_has_are_released_and_changed_ones_kept(tmp_path: Path) -> None:
    path = tmp_path / "library"
    path.write_bytes(b"x" * (1 << 20))
    with path.open("rb") as file:
        unchanged = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
        changed = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    changed[0:1] = b"y"
    start = ctypes.addressof(ctypes.c_char.from_buffer(changed))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start), 1 << 20, PROT_READ) == 0
    before = bytes(unchanged), bytes(changed)
    assert _resident(path) == [1024, 1024]

    release_code()

    assert sorted(_resident(path)) == [0, 1024]
    assert (bytes(unchanged), bytes(changed)) == before


def _resident(path: Path) -> list[int]:
    """KiB of the file's mappings that are resident."""
    mappings = Path("/proc/self/smaps").read_text()
    return [int(size) for size in re.findall(rf"{path}\nSize:.*?Rss: +(\d+)", mappings, re.DOTALL)]
