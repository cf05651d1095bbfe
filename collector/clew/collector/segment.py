"""A segment: a file of requests of one signal, and as a whole one valid request (collector.otlp).

    segment = { body  record }  seal
    body    = a request: its resources, field 1
    record  = field 1001, 24 bytes: the body's length, its item count, and xxh3 of the body, seeded
              with the count
    seal    = field 1000, the segment's id as fixed64: the engine stores it in every row

The engine's reduced schema does not declare field 1001 and skips it. The file's name is the
segment's state:

    <id>.open                 requests are appended; after a crash it is cut after its last whole
                              record
    <id>-<items>.sealed       complete; none of its rows is in the tables
    <id>-<items>.loading      complete; being loaded. If a process finds it at its start, it is
                              unknown which of its rows are in the tables
    <id>-<items>.loaded       all of it is in the tables; its ledger rows may be missing

After the items, `-d<n>` says that n more were lost to damage on disk, `-r<n>` that n more were set
aside because the engine refuses them. The file's modification time is that of the first request.
"""

from __future__ import annotations

import logging
import mmap
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import xxhash

from clew.collector.otlp import Batch
from clew.storage.files import sync_directory

logger = logging.getLogger(__name__)

DAMAGED_IN_SPOOL = "damaged_in_spool"
REFUSED_BY_ENGINE = "refused_by_engine"
REWRITING = ".rewriting"

_BODY_TAG = 1 << 3 | 2
_RECORD_TAG = 1001 << 3 | 2
_RECORD = struct.Struct("<QQQ")
_RECORD_HEAD = b"\xca\x3e\x18"  # the tag as a varint, and the length of what follows
_RECORD_SIZE = len(_RECORD_HEAD) + _RECORD.size
_SEAL_HEAD = b"\xc1\x3e"  # the tag of field 1000, fixed64
Extent = tuple[int, int, int]  # start and end of a body in a segment, its number of items
_NAME = re.compile(r"(\d{20})-(\d+)(?:-d(\d+))?(?:-r(\d+))?\.(sealed|loading|loaded)")


@dataclass(frozen=True)
class Segment:
    """A complete segment, which can be loaded.

    items: the number of items in it; damaged, refused: of items that were lost to damage, or set
    aside because the engine refuses them; received_at: the time of its first request, in seconds
    since 1970."""

    signal: str
    id: int
    items: int
    path: Path
    received_at: float
    damaged: int = 0
    refused: int = 0

    @classmethod
    def from_path(cls, signal: str, path: Path) -> Segment | None:
        """The segment that a file's name describes; None if it is not a segment's name."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        segment, items, damaged, refused = (int(part or 0) for part in match.groups()[:4])
        return cls(signal, segment, items, path, path.stat().st_mtime, damaged, refused)

    @property
    def received(self) -> int:
        """The number of acknowledged items, including those that will not be stored."""
        return self.items + self.damaged + self.refused

    @property
    def rejected(self) -> dict[str, int]:
        """The number of acknowledged items that will not be stored, by reason."""
        reasons = {DAMAGED_IN_SPOOL: self.damaged, REFUSED_BY_ENGINE: self.refused}
        return {reason: items for reason, items in reasons.items() if items}

    @property
    def ambiguous(self) -> bool:
        """Whether some of it may be in the tables already."""
        return self.path.suffix == ".loading"

    @property
    def loaded(self) -> bool:
        """Whether all of it is in the tables."""
        return self.path.suffix == ".loaded"

    def mark_loading(self) -> Segment:
        """Record on disk that loading starts: the segment is ambiguous until it is loaded. Raises
        OSError, and leaves the name as it was."""
        if self.ambiguous:
            return self
        segment = self._renamed(".loading")
        try:
            sync_directory(self.path.parent)
        except OSError:
            segment.path.rename(self.path)
            raise
        return segment

    def mark_loaded(self) -> Segment:
        """Record that it is loaded. A power cut may undo that: then it is reloaded."""
        return self._renamed(".loaded")

    def remove(self) -> None:
        """Delete the file. The segment must be in the tables and in the ledger."""
        self.path.unlink(missing_ok=True)

    def batches(self) -> Iterator[Batch]:
        """The requests in it, without damaged ones."""
        data = self.path.read_bytes()
        for start, end, items in read_records(data):
            yield Batch(data[start:end], items)

    def without_damage(self) -> Segment:
        """The segment itself if every checksum matches; otherwise it is rewritten with the requests
        that can still be read, and the items of the others are counted as damaged."""
        if self._is_intact():
            return self
        batches = list(self.batches())
        lost = self.items - sum(batch.items for batch in batches)
        logger.error("%s is damaged: %d of its %d items are lost", self.path, lost, self.items)
        return self._with_batches(batches, damaged=self.damaged + lost)

    def _is_intact(self) -> bool:
        if self.path.stat().st_size == 0:  # mmap refuses an empty file
            return False
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            records = list(read_intact_records(data))
            end = records[-1][1] + _RECORD_SIZE if records else 0
            items = sum(count for _, _, count in records)
            return items == self.items and data[end:] == encode_seal(self.id)

    def without(self, refused: list[Batch]) -> Segment:
        """The segment rewritten without these requests; their items are counted as refused."""
        bodies = {batch.body for batch in refused}
        batches = [batch for batch in self.batches() if batch.body not in bodies]
        lost = self.items - sum(batch.items for batch in batches)
        return self._with_batches(batches, refused=self.refused + lost)

    def rewrite(self, change: Callable[[bytes], bytes]) -> None:
        """Replace the body of every request by `change(body)`; the items stay the same.

        Raises OSError, and changes nothing, if not every request can be read."""
        changed = [Batch(change(batch.body), batch.items) for batch in self.batches()]
        items = sum(batch.items for batch in changed)
        if items != self.items:
            raise OSError(f"{self.path} is damaged: {items} of its {self.items} items can be read")
        self._rewrite_file(changed)

    def _with_batches(self, batches: list[Batch], *, damaged: int = 0, refused: int = 0) -> Segment:
        """If the process is killed between the two steps, the file's name counts more items than
        the file has; the next `without_damage` counts the difference as damaged."""
        self._rewrite_file(batches)
        rewritten = replace(
            self,
            items=sum(batch.items for batch in batches),
            damaged=damaged or self.damaged,
            refused=refused or self.refused,
        )
        return rewritten._renamed(self.path.suffix)

    def _rewrite_file(self, batches: list[Batch]) -> None:
        new = self.path.with_suffix(REWRITING)
        with new.open("wb") as file:
            file.write(encode_segment(batches, self.id))
            file.flush()
            os.fsync(file.fileno())
        os.utime(new, (self.received_at, self.received_at))
        new.rename(self.path)
        sync_directory(self.path.parent)

    def _renamed(self, suffix: str) -> Segment:
        damaged = f"-d{self.damaged}" if self.damaged else ""
        refused = f"-r{self.refused}" if self.refused else ""
        path = self.path.with_name(f"{self.id:020}-{self.items}{damaged}{refused}{suffix}")
        self.path.rename(path)
        return replace(self, path=path)


def complete(path: Path, signal: str, segment: int, items: int) -> Segment:
    """Rename a sealed file to `.sealed`. After a power cut it may be `.open` again, and is then
    recovered."""
    received_at = path.stat().st_mtime
    return Segment(signal, segment, items, path, received_at)._renamed(".sealed")


def recover_open(path: Path, signal: str) -> Segment | None:
    """Complete a file that a process was appending to when it ended; None, and the file is removed,
    if it holds no item.

    A torn tail was never acknowledged and is cut off. Damaged requests are counted where their
    record can be read, also at the end of the file, where it is unknown whether the request was
    acknowledged or torn."""
    segment = int(path.stem)
    received_at = path.stat().st_mtime
    data = path.read_bytes()
    records = list(read_records(data))
    lost = _count_lost(data, records)
    items = sum(count for _, _, count in records)
    if items + lost == 0:
        path.unlink()
        return None
    size = records[-1][1] + _RECORD_SIZE if records else 0
    if len(data) > size:
        logger.info("%s: cut off %d bytes after its last whole request", path, len(data) - size)
    with path.open("r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.write(encode_seal(segment))
        file.flush()
        os.fsync(file.fileno())
    os.utime(path, (received_at, received_at))
    recovered = complete(path, signal, segment, items + lost)
    return recovered.without_damage() if lost else recovered


def encode_record(batch: Batch) -> bytes:
    """The record that follows the batch's body in a segment."""
    digest = xxhash.xxh3_64_intdigest(batch.body, batch.items)
    return _RECORD_HEAD + _RECORD.pack(len(batch.body), batch.items, digest)


def encode_segment(batches: Iterable[Batch], segment: int) -> bytes:
    """The content of a complete segment with this id."""
    parts = [part for batch in batches for part in (batch.body, encode_record(batch))]
    return b"".join([*parts, encode_seal(segment)])


def encode_seal(segment: int) -> bytes:
    """The last bytes of a complete segment with this id."""
    return _SEAL_HEAD + struct.pack("<Q", segment)


def read_intact_records(data: bytes | mmap.mmap, start: int = 0) -> Iterator[Extent]:
    """The requests from `start` up to the first that is not intact: the start and end of each body,
    and its number of items.

    Stops at the seal, at the end of the data, at damage, or at a torn tail."""
    position = start
    with memoryview(data) as view:  # slices of it do not copy
        while position < len(data):
            tag, position = _varint(data, position)
            if tag == _BODY_TAG:
                length, position = _varint(data, position)
                position += length
            elif tag == _RECORD_TAG and position + 1 + _RECORD.size <= len(data):
                end = position - 2
                length, items, digest = _RECORD.unpack_from(data, position + 1)
                if (
                    length != end - start
                    or xxhash.xxh3_64_intdigest(view[start:end], items) != digest
                ):
                    return
                yield start, end, items
                start = position = position + 1 + _RECORD.size
            else:
                return


def read_records(data: bytes) -> Iterator[Extent]:
    """Every intact request, also after damage, as `read_intact_records` yields them."""
    position = 0
    while True:
        for start, end, items in read_intact_records(data, position):
            yield start, end, items
            position = end + _RECORD_SIZE
        next_start = next(
            (start for start, _, _ in _candidates(data, position) if start >= position
             and next(read_intact_records(data, start), None) is not None), None
        )  # fmt: skip
        if next_start is None:
            return
        position = next_start


def _candidates(data: bytes, position: int) -> Iterator[Extent]:
    """Every request whose record can be read, whether or not its checksum matches."""
    while (end := data.find(_RECORD_HEAD, position)) != -1 and end + _RECORD_SIZE <= len(data):
        length, items, _ = _RECORD.unpack_from(data, end + len(_RECORD_HEAD))
        yield end - length, end, items
        position = end + 1


def _count_lost(data: bytes, intact: list[Extent]) -> int:
    """The items of damaged requests, as far as their records can be read."""
    lost = position = 0
    for start, end, _ in [*intact, (len(data), len(data), 0)]:
        while position < start:
            damaged = next(
                ((body_end, items) for body_start, body_end, items in _candidates(data, position)
                 if body_start == position and body_end < start), None
            )  # fmt: skip
            if damaged is None:
                break
            body_end, items = damaged
            lost += items
            position = body_end + _RECORD_SIZE
        position = end + _RECORD_SIZE
    return lost


def _varint(data: bytes | mmap.mmap, position: int) -> tuple[int, int]:
    """The varint at `position` and the position after it; (0, end of data) if it is cut off."""
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return 0, len(data)
