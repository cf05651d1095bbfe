"""A segment: a file of requests of one signal, and itself one valid request (collector.otlp).

    segment = { body  record }  seal
    body    = the request: its resources, field 1
    record  = field 1001, 24 bytes: the body's length and item count, and xxh3 of the body, seeded
              with the count
    seal    = field 1000, the segment's id as fixed64: the engine gives it to every row

The engine's reduced schema does not declare field 1001 and skips it. A file's name says how far
the segment is:

    <id>.open                 being appended to; after a crash cut behind its last whole record
    <id>-<items>.sealed       complete; no row of it is in the tables
    <id>-<items>.loading      complete; nobody knows how much of it is in the tables, if it is found
                              at the start of a process
    <id>-<items>.loaded       all of it is in the tables; the ledger is to be told

and behind the items, `-d<n>` if n more were lost to damage on the disk, `-r<n>` if n more were set
aside because the engine refused them. The file's modification time is when the segment began.
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

DAMAGED = "damaged_in_spool"
REFUSED = "refused_by_engine"
REWRITING = ".rewriting"

_BODY_TAG = 1 << 3 | 2
_RECORD_TAG = 1001 << 3 | 2
_RECORD = struct.Struct("<QQQ")
_RECORD_HEAD = b"\xca\x3e\x18"  # the tag as a varint, and the length of what follows
_RECORD_SIZE = len(_RECORD_HEAD) + _RECORD.size
_SEAL_HEAD = b"\xc1\x3e"  # the tag of field 1000, fixed64
_NAME = re.compile(r"(\d{20})-(\d+)(?:-d(\d+))?(?:-r(\d+))?\.(sealed|loading|loaded)")


@dataclass(frozen=True)
class Segment:
    """A complete segment: what the loader takes.

    items: what is in it; damaged, refused: what was in it and is not any more;
    began: when its first request came, in seconds since 1970."""

    signal: str
    id: int
    items: int
    path: Path
    began: float
    damaged: int = 0
    refused: int = 0

    @classmethod
    def found(cls, signal: str, path: Path) -> Segment | None:
        """The segment in a file, from the file's name; None when it has no such name."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        segment, items, damaged, refused = (int(part or 0) for part in match.groups()[:4])
        return cls(signal, segment, items, path, path.stat().st_mtime, damaged, refused)

    @property
    def received(self) -> int:
        """How many items were acknowledged."""
        return self.items + self.damaged + self.refused

    @property
    def rejected(self) -> dict[str, int]:
        """How many of them will not be stored, by reason."""
        reasons = {DAMAGED: self.damaged, REFUSED: self.refused}
        return {reason: items for reason, items in reasons.items() if items}

    @property
    def ambiguous(self) -> bool:
        """Whether some of it may be in the tables already."""
        return self.path.suffix == ".loading"

    @property
    def loaded(self) -> bool:
        """Whether all of it is in the tables for certain."""
        return self.path.suffix == ".loaded"

    def begin(self) -> Segment:
        """Say on the disk that loading begins; from here on it is ambiguous until it is loaded."""
        if self.ambiguous:
            return self
        segment = self._renamed(".loading")
        try:
            sync_directory(self.path.parent)
        except OSError:
            segment.path.rename(self.path)
            raise
        return segment

    def finish(self) -> Segment:
        """Mark it as loaded. A power cut may undo that: then it is reloaded."""
        return self._renamed(".loaded")

    def drop(self) -> None:
        """It is in the tables and in the ledger."""
        self.path.unlink(missing_ok=True)

    def batches(self) -> Iterator[Batch]:
        """The requests in it, one by one, without those that are damaged."""
        data = self.path.read_bytes()
        for start, end, items in readable(data):
            yield Batch(data[start:end], items)

    def without_damage(self) -> Segment:
        """The segment with every checksum true: itself, or what can still be read of it."""
        if self._is_intact():
            return self
        kept = list(self.batches())
        lost = self.items - sum(batch.items for batch in kept)
        logger.error("%s is damaged: %d of its %d items are lost", self.path, lost, self.items)
        return self._of(kept, damaged=self.damaged + lost)

    def _is_intact(self) -> bool:
        if self.path.stat().st_size == 0:  # which cannot be mapped
            return False
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            found = list(records(data))
            whole = found[-1][1] + _RECORD_SIZE if found else 0
            items = sum(count for _, _, count in found)
            return items == self.items and data[whole:] == seal(self.id)

    def without(self, refused: list[Batch]) -> Segment:
        """The segment without those requests, which have been put elsewhere."""
        aside = {batch.body for batch in refused}
        kept = [batch for batch in self.batches() if batch.body not in aside]
        lost = self.items - sum(batch.items for batch in kept)
        return self._of(kept, refused=self.refused + lost)

    def rewrite(self, change: Callable[[bytes], bytes]) -> None:
        """Replace every request in it by what `change` makes of it; the items stay the same.

        Raises OSError, and leaves it as it was, when not every request in it can be read."""
        changed = [Batch(change(batch.body), batch.items) for batch in self.batches()]
        found = sum(batch.items for batch in changed)
        if found != self.items:
            raise OSError(f"{self.path} is damaged: {found} of its {self.items} items can be read")
        self._replace(changed)

    def _of(self, batches: list[Batch], *, damaged: int = 0, refused: int = 0) -> Segment:
        """Killed between the two steps, it is found with more items in its name than it holds."""
        self._replace(batches)
        now = replace(
            self,
            items=sum(batch.items for batch in batches),
            damaged=damaged or self.damaged,
            refused=refused or self.refused,
        )
        return now._renamed(self.path.suffix)

    def _replace(self, batches: list[Batch]) -> None:
        new = self.path.with_suffix(REWRITING)
        with new.open("wb") as file:
            file.write(file_of(batches, self.id))
            file.flush()
            os.fsync(file.fileno())
        os.utime(new, (self.began, self.began))
        new.rename(self.path)
        sync_directory(self.path.parent)

    def _renamed(self, suffix: str) -> Segment:
        damaged = f"-d{self.damaged}" if self.damaged else ""
        refused = f"-r{self.refused}" if self.refused else ""
        path = self.path.with_name(f"{self.id:020}-{self.items}{damaged}{refused}{suffix}")
        self.path.rename(path)
        return replace(self, path=path)


def complete(path: Path, signal: str, segment: int, items: int) -> Segment:
    """Give a sealed file its name. After a power cut it may be `.open` again, and is recovered."""
    began = path.stat().st_mtime
    return Segment(signal, segment, items, path, began)._renamed(".sealed")


def recover_open(path: Path, signal: str) -> Segment | None:
    """Complete what a process was appending to when it ended; None when nothing is in it.

    A torn tail was never acknowledged and is cut off. What is damaged is counted where its record
    can be read: also at the end, where it may have been acknowledged or torn, and nobody knows."""
    segment = int(path.stem)
    began = path.stat().st_mtime
    data = path.read_bytes()
    kept = list(readable(data))
    lost = _items_lost(data, kept)
    items = sum(count for _, _, count in kept)
    if items + lost == 0:
        path.unlink()
        return None
    whole = kept[-1][1] + _RECORD_SIZE if kept else 0
    if len(data) > whole:
        logger.info("%s: cut behind its last whole request, %d bytes", path, len(data) - whole)
    with path.open("r+b") as cut:
        cut.truncate(whole)
        cut.seek(whole)
        cut.write(seal(segment))
        cut.flush()
        os.fsync(cut.fileno())
    os.utime(path, (began, began))
    found = complete(path, signal, segment, items + lost)
    return found.without_damage() if lost else found


def record(batch: Batch) -> bytes:
    """What stands behind a body in a segment."""
    digest = xxhash.xxh3_64_intdigest(batch.body, batch.items)
    return _RECORD_HEAD + _RECORD.pack(len(batch.body), batch.items, digest)


def file_of(batches: Iterable[Batch], segment: int) -> bytes:
    """A complete segment's content."""
    parts = [part for batch in batches for part in (batch.body, record(batch))]
    return b"".join([*parts, seal(segment)])


def seal(segment: int) -> bytes:
    """What stands at the end of a complete segment."""
    return _SEAL_HEAD + struct.pack("<Q", segment)


def records(data: bytes | mmap.mmap, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """The whole records from `start` on: where each body begins and ends, its items.

    Ends where something else than a whole record stands: the seal, the end, damage, a torn tail."""
    position = start
    with memoryview(data) as view:  # a slice of it is no copy
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


def readable(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Every whole record, those behind damage too."""
    position = 0
    while True:
        for start, end, items in records(data, position):
            yield start, end, items
            position = end + _RECORD_SIZE
        following = next(
            (start for start, end, _ in _candidates(data, position) if start >= position
             and next(records(data, start), None) is not None), None
        )  # fmt: skip
        if following is None:
            return
        position = following


def _candidates(data: bytes, position: int) -> Iterator[tuple[int, int, int]]:
    """What looks like a record, whether or not its checksum is true: its body's start and end, its
    items."""
    while (end := data.find(_RECORD_HEAD, position)) != -1 and end + _RECORD_SIZE <= len(data):
        length, items, _ = _RECORD.unpack_from(data, end + len(_RECORD_HEAD))
        yield end - length, end, items
        position = end + 1


def _items_lost(data: bytes, kept: list[tuple[int, int, int]]) -> int:
    """The items of damaged requests, as far as their records can be read."""
    lost = position = 0
    for start, end, _ in [*kept, (len(data), len(data), 0)]:
        while position < start:
            found = next(
                ((stop, items) for begin, stop, items in _candidates(data, position)
                 if begin == position and stop < start), None
            )  # fmt: skip
            if found is None:
                break
            lost += found[1]
            position = found[0] + _RECORD_SIZE
        position = end + _RECORD_SIZE
    return lost


def _varint(data: bytes | mmap.mmap, position: int) -> tuple[int, int]:
    """The varint at `position` and where it ends; (0, end) when it is cut off."""
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return 0, len(data)
