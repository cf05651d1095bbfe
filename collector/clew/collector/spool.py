"""The spool: what was acknowledged is in one of its segments, on the disk, until it is in the
tables (and in the ledger). What a segment is: collector.segment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clew.collector import segment as segments
from clew.collector.limits import Footprint, Overloaded
from clew.collector.otlp import Batch
from clew.collector.segment import Segment
from clew.storage.files import make_directory, sync_directory

logger = logging.getLogger(__name__)

# A segment is sealed when it has grown to this, or, while the loader has nothing else to do, this
# many seconds after its first request.
SEGMENT_BYTES = 32 << 20
SEGMENT_AGE = 0.5

# Seconds after which a refusal says nothing about the next request: a load balancer sends none to
# who is not ready, so it has to be let try again.
REFUSAL = 5.0

# Seconds that a group of requests waits for more, when the one before was no single request: a sync
# costs as much CPU time for one request as for ten.
GATHER = 0.001


Received = Callable[[str, int, int, float], None]
Observe = Callable[[float], None]


class Spool:
    """The open segment of each signal. `sealed` is told of every segment that is complete;
    `is_idle` says whether the loader has nothing of a signal to do: then waiting gains nothing.
    `limit` is how many bytes all segments may have together. `received(signal, segment, items,
    began)` is told of items that are on the disk, before anybody is answered; `synced` of the
    seconds that writing a group of requests took."""

    def __init__(
        self,
        directory: Path,
        signals: tuple[str, ...],
        sealed: Callable[[Segment], None],
        is_idle: Callable[[str], bool] = lambda signal: True,
        limit: int = 1 << 40,
        received: Received = lambda signal, segment, items, began: None,
        synced: Observe = lambda seconds: None,
    ) -> None:
        self._ids = Ids()
        leftover: list[Segment] = []
        for signal in signals:
            make_directory(directory / signal)
            leftover += _recover(directory / signal, signal, self._ids)
        sync_directory(directory.parent)
        # Ambiguous segments first: nothing else is loaded before they are reloaded.
        for segment in sorted(leftover, key=lambda segment: (not segment.ambiguous, segment.id)):
            received(segment.signal, segment.id, segment.received, segment.began)
            sealed(segment)
        self._footprint = Footprint(directory, limit)
        self._writers = {
            signal: _Writer(
                *(directory / signal, signal, self._ids, sealed, is_idle, self._footprint),
                *(received, synced),
            )
            for signal in signals
        }

    async def append(self, signal: str, batch: Batch) -> None:
        """Put the batch on the disk: when this returns it survives a power cut.

        Raises Overloaded when it is not there and will not be."""
        loop = asyncio.get_running_loop()
        synced: asyncio.Future[None] = loop.create_future()
        self._writers[signal].append(_Waiting(batch, loop, synced))
        await synced

    def size(self) -> int:
        """The bytes of its files."""
        return self._footprint.used()

    def accepts(self) -> bool:
        """Whether requests are taken, of every signal, as far as is known: no refusal is recent."""
        return not any(writer.refuses() for writer in self._writers.values())

    def close(self) -> None:
        """Write what waits, seal what is open, stop."""
        for writer in self._writers.values():
            writer.close()


class Ids:
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


@dataclass(frozen=True)
class _Waiting:
    """A request that is to be answered once its batch is on the disk."""

    batch: Batch
    loop: asyncio.AbstractEventLoop
    synced: asyncio.Future[None]


class _Writer:
    """One signal's thread: appends what waits, syncs once for all of it, then tells them."""

    def __init__(
        self,
        directory: Path,
        signal: str,
        ids: Ids,
        sealed: Callable[[Segment], None],
        is_idle: Callable[[str], bool],
        footprint: Footprint,
        received: Received,
        synced: Observe,
    ) -> None:
        self._directory = directory
        self._signal = signal
        self._ids = ids
        self._sealed = sealed
        self._is_idle = is_idle
        self._footprint = footprint
        self._received = received
        self._synced = synced
        self._refused: float | None = None  # when, since one was taken
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
        together = False
        while True:
            with self._wake:
                if not self._waiting and not self._closing:
                    self._wake.wait(self._until_seal())
            if together and not self._closing:
                time.sleep(GATHER)
            with self._wake:
                waiting, self._waiting = self._waiting, []
                closing = self._closing
            together = len(waiting) > 1
            if waiting:
                _answer(waiting, self._write([each.batch for each in waiting]))
            if self._open is not None and (closing or self._is_due(self._open)):
                self._seal(self._open)
            if closing and not waiting:
                return

    def _until_seal(self) -> float | None:
        if self._open is None:
            return None
        return max(0.02, self._open.due - time.monotonic())

    def _is_due(self, segment: _OpenSegment) -> bool:
        if segment.size >= SEGMENT_BYTES or segment.suspect:
            return True
        return time.monotonic() >= segment.due and self._is_idle(self._signal)

    def _write(self, batches: list[Batch]) -> Overloaded | None:
        """Have the batches on the disk; otherwise what to answer their clients."""
        try:
            self._footprint.check()
            if self._open is not None and self._open.suspect:
                self._complete(self._open)
            if self._open is None:
                self._open = _OpenSegment(self._directory, self._ids.next())
            began = time.monotonic()
            self._open.append(batches)
        except Overloaded as error:
            self._refuse(str(error))
            return error
        except OSError as error:
            reason = f"the spool cannot be written: {error.strerror}"
            self._refuse(reason)
            return Overloaded(reason)
        self._synced(time.monotonic() - began)
        items = sum(batch.items for batch in batches)
        self._received(self._signal, self._open.id, items, self._open.began)
        if self._refused is not None:
            self._refused = None
            logger.info("%s are taken again", self._signal)
        return None

    def refuses(self) -> bool:
        refused = self._refused  # another thread's
        return refused is not None and time.monotonic() - refused < REFUSAL

    def _refuse(self, reason: str) -> None:
        if self._refused is None:
            logger.error("%s are refused for now: %s", self._signal, reason)
        self._refused = time.monotonic()

    def _seal(self, segment: _OpenSegment) -> None:
        """A segment that cannot be sealed just now (a full disk) is tried again."""
        try:
            self._complete(segment)
        except OSError as error:
            logger.error("a segment in %s cannot be sealed yet: %s", self._directory, error)
            segment.suspect = True
            segment.due = time.monotonic() + SEGMENT_AGE

    def _complete(self, segment: _OpenSegment) -> None:
        complete = segment.seal(self._signal)
        self._open = None
        if complete is not None:
            self._sealed(complete)


class _OpenSegment:
    """The file being appended to. `size` and `items` count what is on the disk for certain.

    Once a write or a sync of it failed it is `suspect`: what was not synced is cut off, never
    synced again and believed (a kernel reports a failed write once), and nothing more is appended.
    """

    def __init__(self, directory: Path, segment: int) -> None:
        self.id = segment
        self.path = directory / f"{segment:020}.open"
        self.size = 0
        self.items = 0
        self.suspect = False
        self.began = time.time()
        self.due = time.monotonic() + SEGMENT_AGE
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            sync_directory(directory)
        except OSError:
            os.close(self._file)
            self.path.unlink()
            raise

    def append(self, batches: list[Batch]) -> None:
        """Write the batches and sync. Raises OSError: then none of them counts."""
        pieces = [piece for batch in batches for piece in (batch.body, segments.record(batch))]
        try:
            _write_all(self._file, pieces)
            os.fdatasync(self._file)
        except OSError:
            self.suspect = True
            raise
        self.size += sum(map(len, pieces))
        self.items += sum(batch.items for batch in batches)

    def seal(self, signal: str) -> Segment | None:
        """Complete the file and give it its name; None when it held no item and is gone.

        May be called again after it raised OSError."""
        if self.suspect:
            os.ftruncate(self._file, self.size)
            os.lseek(self._file, self.size, os.SEEK_SET)
        if self.items:
            _write_all(self._file, [segments.seal(self.id)])
            os.utime(self._file, (self.began, self.began))
            os.fsync(self._file)
            complete = segments.complete(self.path, signal, self.id, self.items)
        else:
            complete = None
            self.path.unlink()
        os.close(self._file)
        return complete


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


def _write_all(file: int, pieces: list[bytes]) -> None:
    for first in range(0, len(pieces), 512):
        batch = pieces[first : first + 512]
        written = os.writev(file, batch)
        rest = b"".join(batch)[written:] if written < sum(map(len, batch)) else b""
        while rest:
            rest = rest[os.write(file, rest) :]


def _recover(directory: Path, signal: str, ids: Ids) -> list[Segment]:
    """The segments that an earlier process left; what it was appending to is cut and sealed."""
    found = []
    for path in sorted(directory.iterdir()):
        if path.suffix == segments.REWRITING:
            path.unlink()
        elif re.fullmatch(r"\d{20}\.open", path.name):
            ids.seen(int(path.stem))
            if (recovered := segments.recover_open(path, signal)) is not None:
                found.append(recovered)
        elif (segment := Segment.found(signal, path)) is not None:
            ids.seen(segment.id)
            found.append(segment)
        else:
            logger.warning("%s is no segment and is left alone", path)
    return found
