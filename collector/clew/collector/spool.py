"""The spool: what was acknowledged is in one of its files, on the disk, until it is in the tables.

A segment is a file of requests of one signal, and itself one valid request (collector.otlp):

    segment = { body  record }  seal
    body    = the request: its resources, field 1
    record  = field 1001, 24 bytes: the body's length and item count, and xxh3 of the body
    seal    = field 1000, the segment's id as fixed64: the engine gives it to every row

The engine's reduced schema does not declare field 1001 and skips it. A file's name says how far
the segment is:

    <id>.open              being appended to; after a crash it is cut behind its last whole record
    <id>-<items>.sealed    complete; no row of it is in the tables
    <id>-<items>.loading   complete; nobody knows how much of it is in the tables, if it is found
                           at the start of a process
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import re
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from clew.collector.limits import Footprint, Overloaded
from clew.collector.otlp import Batch

logger = logging.getLogger(__name__)

REWRITING = ".rewriting"

SEGMENT_BYTES = 32 << 20  # a segment is sealed when it has grown to this,
SEGMENT_AGE = (
    0.5  # or, while the loader has nothing else to do, this many seconds after its first request
)

_BODY_TAG = 1 << 3 | 2
_RECORD_TAG = 1001 << 3 | 2
_RECORD = struct.Struct("<QQQ")
_RECORD_HEAD = b"\xca\x3e\x18"  # the tag as a varint, and the length of what follows
_SEAL_HEAD = b"\xc1\x3e"  # the tag of field 1000, fixed64


@dataclass(frozen=True)
class Segment:
    """A complete segment: what the loader takes."""

    signal: str
    id: int
    items: int
    path: Path

    @property
    def ambiguous(self) -> bool:
        """Whether some of it may be in the tables already."""
        return self.path.suffix == ".loading"

    def begin(self) -> Segment:
        """Say on the disk that loading begins; from here on it is ambiguous until it is dropped."""
        if self.ambiguous:
            return self
        path = self.path.with_suffix(".loading")
        self.path.rename(path)
        sync_directory(path.parent)
        return Segment(self.signal, self.id, self.items, path)

    def drop(self) -> None:
        """It is certainly in the tables."""
        self.path.unlink(missing_ok=True)

    def batches(self) -> Iterator[Batch]:
        """The requests in it, one by one."""
        data = self.path.read_bytes()
        for start, end, items in records(data):
            yield Batch(data[start:end], items)

    def rewrite(self, change: Callable[[bytes], bytes]) -> None:
        """Replace every request in it by what `change` makes of it; the items stay the same.

        Raises OSError, and leaves it as it was, when not every request in it can be read."""
        new = self.path.with_suffix(REWRITING)
        items = 0
        with new.open("wb") as file:
            for batch in self.batches():
                changed = Batch(change(batch.body), batch.items)
                file.write(changed.body + record(changed))
                items += batch.items
            if items != self.items:
                raise OSError(f"{self.path} is damaged behind its first {items} items")
            file.write(seal(self.id))
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.path)
        sync_directory(self.path.parent)


class Spool:
    """The open segment of each signal. `sealed` is told of every segment that is complete;
    `is_idle` says whether the loader has nothing of a signal to do: then waiting gains nothing.
    `limit` is how many bytes all segments may have together."""

    def __init__(
        self,
        directory: Path,
        signals: tuple[str, ...],
        sealed: Callable[[Segment], None],
        is_idle: Callable[[str], bool] = lambda signal: True,
        limit: int = 1 << 40,
    ) -> None:
        self._ids = _Ids()
        leftover: list[Segment] = []
        for signal in signals:
            (directory / signal).mkdir(parents=True, exist_ok=True)
            leftover += _recover(directory / signal, signal, self._ids)
        sync_directory(directory)
        # What is ambiguous comes first: nothing is loaded before it is settled.
        for segment in sorted(leftover, key=lambda segment: (not segment.ambiguous, segment.id)):
            sealed(segment)
        footprint = Footprint(directory, limit)
        self._writers = {
            signal: _Writer(directory / signal, signal, self._ids, sealed, is_idle, footprint)
            for signal in signals
        }

    async def append(self, signal: str, batch: Batch) -> None:
        """Put the batch on the disk: when this returns it survives a power cut.

        Raises Overloaded when it is not there and will not be."""
        loop = asyncio.get_running_loop()
        synced: asyncio.Future[None] = loop.create_future()
        self._writers[signal].append(_Waiting(batch, loop, synced))
        await synced

    def close(self) -> None:
        """Write what waits, seal what is open, stop."""
        for writer in self._writers.values():
            writer.close()


@dataclass(frozen=True)
class _Waiting:
    """A request that is to be answered once its batch is on the disk."""

    batch: Batch
    loop: asyncio.AbstractEventLoop
    synced: asyncio.Future[None]


class _Ids:
    """Segment ids: nanoseconds with the low bits replaced by this process's own; they only grow."""

    def __init__(self) -> None:
        self._last = 0
        self._own = secrets.randbits(10)
        self._lock = threading.Lock()

    def seen(self, used: int) -> None:
        self._last = max(self._last, used)

    def next(self) -> int:
        with self._lock:
            tick = max(time.time_ns() >> 10, (self._last >> 10) + 1)
            self._last = tick << 10 | self._own
            return self._last


class _Writer:
    """One signal's thread: appends what waits, syncs once for all of it, then tells them."""

    def __init__(
        self,
        directory: Path,
        signal: str,
        ids: _Ids,
        sealed: Callable[[Segment], None],
        is_idle: Callable[[str], bool],
        footprint: Footprint,
    ) -> None:
        self._directory = directory
        self._signal = signal
        self._ids = ids
        self._sealed = sealed
        self._is_idle = is_idle
        self._footprint = footprint
        self._refusing = False
        self._waiting: list[_Waiting] = []
        self._wake = threading.Condition()
        self._closing = False
        self._open: _OpenSegment | None = None
        self._thread = threading.Thread(target=self._run, name=f"spool-{signal}", daemon=True)
        self._thread.start()

    def append(self, waiting: _Waiting) -> None:
        with self._wake:
            if self._closing:
                raise Overloaded("clew is stopping")
            self._waiting.append(waiting)
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._waiting and not self._closing:
                    self._wake.wait(self._until_seal())
                waiting, self._waiting = self._waiting, []
                closing = self._closing
            if waiting:
                _answer(waiting, self._write([each.batch for each in waiting]))
            if self._open is not None and (closing or self._is_due(self._open)):
                self._seal(self._open)
            if closing and not waiting:
                return

    def _until_seal(self) -> float | None:
        if self._open is None:
            return None
        return max(0.02, self._open.born + SEGMENT_AGE - time.monotonic())

    def _is_due(self, segment: _OpenSegment) -> bool:
        if segment.size >= SEGMENT_BYTES:
            return True
        return time.monotonic() - segment.born >= SEGMENT_AGE and self._is_idle(self._signal)

    def _write(self, batches: list[Batch]) -> Overloaded | None:
        try:
            self._footprint.check()
            if self._open is None:
                self._open = _OpenSegment(self._directory, self._ids.next())
            self._open.append(batches)
        except Overloaded as error:
            self._refuse(str(error))
            return error
        except OSError as error:
            if self._open is not None and not self._open.cut_back():
                self._open = None
            reason = f"the spool cannot be written: {error.strerror}"
            self._refuse(reason)
            return Overloaded(reason)
        if self._refusing:
            self._refusing = False
            logger.info("%s are taken again", self._signal)
        return None

    def _refuse(self, reason: str) -> None:
        if not self._refusing:
            self._refusing = True
            logger.error("%s are refused for now: %s", self._signal, reason)

    def _seal(self, segment: _OpenSegment) -> None:
        """A segment that cannot be sealed just now (a full disk) stays open, and is tried again."""
        try:
            complete = segment.seal(self._signal)
        except OSError as error:
            logger.error("a segment in %s cannot be sealed yet: %s", self._directory, error)
            segment.cut_back()
            segment.born = time.monotonic()
            return
        self._open = None
        if complete is not None:
            self._sealed(complete)


class _OpenSegment:
    """The file being appended to. `size` and `items` count what is on the disk for certain."""

    def __init__(self, directory: Path, segment: int) -> None:
        self.id = segment
        self.path = directory / f"{segment:020}.open"
        self.size = 0
        self.items = 0
        self.born = time.monotonic()
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        sync_directory(directory)

    def append(self, batches: list[Batch]) -> None:
        """Write the batches and sync. Raises OSError; then `cut_back`."""
        pieces = [piece for batch in batches for piece in (batch.body, record(batch))]
        written = sum(map(len, pieces))
        _write_all(self._file, pieces)
        os.fdatasync(self._file)
        self.size += written
        self.items += sum(batch.items for batch in batches)

    def cut_back(self) -> bool:
        """Take away what was written but never synced; False when the file is not to be trusted
        any more: it is left for the next start to recover what was acknowledged."""
        try:
            os.ftruncate(self._file, self.size)
            os.lseek(self._file, self.size, os.SEEK_SET)
            os.fdatasync(self._file)
        except OSError as error:
            logger.error("%s is left as it is: %s", self.path, error)
            os.close(self._file)
            return False
        return True

    def seal(self, signal: str) -> Segment | None:
        """Complete the file and give it its name; None when it held no item and is gone."""
        if self.items == 0:
            os.close(self._file)
            self.path.unlink()
            return None
        _write_all(self._file, [seal(self.id)])
        os.fdatasync(self._file)
        os.close(self._file)
        return _sealed(self.path, signal, self.id, self.items)


def _answer(waiting: list[_Waiting], error: Exception | None) -> None:
    """Tell each event loop once, for all of its requests."""

    def answer(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            if not future.done():  # the client may have gone away
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    for loop in {each.loop for each in waiting}:
        futures = [each.synced for each in waiting if each.loop is loop]
        with contextlib.suppress(RuntimeError):  # a loop that was closed waits for nothing
            loop.call_soon_threadsafe(answer, futures)


def record(batch: Batch) -> bytes:
    """What stands behind a body in a segment."""
    digest = xxhash.xxh3_64_intdigest(batch.body)
    return _RECORD_HEAD + _RECORD.pack(len(batch.body), batch.items, digest)


def seal(segment: int) -> bytes:
    """What stands at the end of a complete segment."""
    return _SEAL_HEAD + struct.pack("<Q", segment)


def records(data: bytes | mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """The whole records from the start of a segment: where each body begins and ends, its items.

    Ends where something else than a whole record stands: the seal, the end, or a torn tail."""
    start = position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        if tag == _BODY_TAG:
            length, position = _varint(data, position)
            position += length
        elif tag == _RECORD_TAG and position + 1 + _RECORD.size <= len(data):
            end = position - 2
            length, items, digest = _RECORD.unpack_from(data, position + 1)
            if length != end - start or xxhash.xxh3_64_intdigest(data[start:end]) != digest:
                return
            yield start, end, items
            start = position = position + 1 + _RECORD.size
        else:
            return


def sync_directory(directory: Path) -> None:
    """Have the directory's entries on the disk: a new or renamed file outlasts a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def _write_all(file: int, pieces: list[bytes]) -> None:
    for first in range(0, len(pieces), 512):
        batch = pieces[first : first + 512]
        written = os.writev(file, batch)
        rest = b"".join(batch)[written:] if written < sum(map(len, batch)) else b""
        while rest:
            rest = rest[os.write(file, rest) :]


def _sealed(path: Path, signal: str, segment: int, items: int) -> Segment:
    complete = path.with_name(f"{segment:020}-{items}.sealed")
    path.rename(complete)
    sync_directory(path.parent)
    return Segment(signal, segment, items, complete)


def _recover(directory: Path, signal: str, ids: _Ids) -> list[Segment]:
    """The segments that an earlier process left; what it was appending to is cut and sealed."""
    found = []
    for path in sorted(directory.iterdir()):
        if path.suffix == REWRITING:
            path.unlink()
            continue
        match = re.fullmatch(r"(\d{20})(?:-(\d+))?\.(open|sealed|loading)", path.name)
        if match is None:
            logger.warning("%s is no segment and is left alone", path)
            continue
        segment = int(match[1])
        ids.seen(segment)
        if match[3] != "open":
            found.append(Segment(signal, segment, int(match[2]), path))
        elif (recovered := _recover_open(path, signal, segment)) is not None:
            found.append(recovered)
    return found


def _recover_open(path: Path, signal: str, segment: int) -> Segment | None:
    size = path.stat().st_size
    whole = items = 0
    if size:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for _, end, count in records(data):
                whole = end + len(_RECORD_HEAD) + _RECORD.size
                items += count
    if items == 0:
        path.unlink()
        return None
    if size > whole:
        logger.info("%s: cut behind its last whole request, %d bytes", path, size - whole)
    with path.open("r+b") as cut:
        cut.truncate(whole)
        cut.seek(whole)
        cut.write(seal(segment))
        cut.flush()
        os.fsync(cut.fileno())
    return _sealed(path, signal, segment, items)
