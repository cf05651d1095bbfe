"""Dead letters: requests that the engine refuses, set aside so that the others are stored.

<data>/dead-letter/<signal>/<segment>-<digest>.binpb    the request, protobuf
<data>/dead-letter/<signal>/<segment>-<digest>.json     its signal, items, time of receipt, reason
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
    """One request that was set aside: `items` spans, log records or data points; `reason` is the
    engine's error message."""

    path: Path
    signal: str
    items: int
    reason: str

    def body(self) -> bytes:
        """The export request in protobuf."""
        return self.path.read_bytes()

    def remove(self) -> None:
        """Delete both of its files."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".json").unlink(missing_ok=True)


def set_aside(folder: Path, segment: Segment, batch: Batch, reason: str) -> None:
    """Write the request into the folder and sync it. Idempotent. Raises OSError."""
    directory = folder / segment.signal
    make_directory(directory)
    path = directory / f"{segment.id:020}-{xxhash.xxh3_64_hexdigest(batch.body)}.binpb"
    metadata = {
        "signal": segment.signal,
        "items": batch.items,
        "received": datetime.fromtimestamp(segment.received_at, UTC).isoformat(),
        "reason": reason,
    }
    _write(path, batch.body)
    _write(path.with_suffix(".json"), json.dumps(metadata, indent=2).encode())
    sync_directory(directory)
    logger.error(
        "the engine refuses %d items of %s, set aside in %s: %s",
        *(batch.items, segment.signal, path, reason),
    )


def read_letters(folder: Path) -> list[DeadLetter]:
    """All dead letters in the folder, by signal, the oldest first."""
    return [_read(path) for path in sorted(folder.glob("*/*.binpb"))]


def _read(path: Path) -> DeadLetter:
    metadata: dict[str, Any] = json.loads(path.with_suffix(".json").read_bytes())
    return DeadLetter(path, path.parent.name, metadata["items"], metadata["reason"])


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
