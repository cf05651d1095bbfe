"""Directories whose entries survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def make_directory(directory: Path) -> None:
    """Create the directory and its parents, and sync their entries. Raises OSError."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Sync the directory's entries, so that new and renamed files survive a power cut. Raises
    OSError."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
