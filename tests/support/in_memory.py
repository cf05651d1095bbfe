"""Directories of tests in memory, where the machine has some: for suites in which nobody cuts the power.

On a disk an insert takes twice the CPU seconds and three times as long, which is fsync. What a power cut
and a full disk leave is tested by tests/torture, whose directories stay where pytest makes them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MEMORY, ENOUGH = Path("/dev/shm"), 2 << 30  # bytes free; a process of the tests needs some 100 MB


def parent() -> Path | None:
    """None: where temporary files are. Containers often have 64 MB, or forbid to run programs there."""
    if not MEMORY.is_dir():
        return None
    may_run = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    return MEMORY if may_run and shutil.disk_usage(MEMORY).free >= ENOUGH else None


class Directories:
    """In one directory, which is removed when all tests have run; like `pytest.TempPathFactory`."""

    def __init__(self, within: Path) -> None:
        self._within = within

    def mktemp(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._within))


@contextmanager
def directories() -> Iterator[Directories]:
    with tempfile.TemporaryDirectory(
        prefix="clew-", dir=parent(), ignore_cleanup_errors=True
    ) as directory:
        yield Directories(Path(directory))


@pytest.fixture(scope="session")
def tmp_path_factory(in_memory: Directories) -> Directories:
    return in_memory


@pytest.fixture
def tmp_path(in_memory: Directories) -> Iterator[Path]:
    directory = in_memory.mktemp("test")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
