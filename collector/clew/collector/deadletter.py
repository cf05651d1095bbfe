"""Requests that the engine refuses, set aside so that their neighbours are stored.

<data>/dead-letter/<signal>/<segment>-<digest>.binpb    the request, protobuf
<data>/dead-letter/<signal>/<segment>-<digest>.json     its signal, items, reason and time
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xxhash

from clew.collector.otlp import Batch
from clew.collector.segment import Segment
from clew.storage.files import make_directory, sync_directory

logger = logging.getLogger(__name__)

FOLDER = "dead-letter"


@dataclass(frozen=True)
class DeadLetter:
    """One request that was set aside. `reason` is what the engine said."""

    path: Path
    signal: str
    items: int
    reason: str

    def body(self) -> bytes:
        return self.path.read_bytes()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".json").unlink(missing_ok=True)


def set_aside(folder: Path, segment: Segment, batch: Batch, reason: str) -> None:
    """Have the request on the disk in the folder; doing it again changes nothing."""
    directory = folder / segment.signal
    make_directory(directory)
    path = directory / f"{segment.id:020}-{xxhash.xxh3_64_hexdigest(batch.body)}.binpb"
    about = {
        "signal": segment.signal,
        "items": batch.items,
        "received": datetime.fromtimestamp(segment.began, UTC).isoformat(),
        "reason": reason,
    }
    _write(path, batch.body)
    _write(path.with_suffix(".json"), json.dumps(about, indent=2).encode())
    sync_directory(directory)
    logger.error("%d %s are set aside in %s: %s", batch.items, segment.signal, path, reason)


def found(folder: Path) -> list[DeadLetter]:
    """What has been set aside, the oldest first."""
    return [_read(path) for path in sorted(folder.glob("*/*.binpb"))]


def _read(path: Path) -> DeadLetter:
    about: dict[str, Any] = json.loads(path.with_suffix(".json").read_bytes())
    return DeadLetter(path, path.parent.name, about["items"], about["reason"])


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
