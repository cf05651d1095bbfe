"""The spool: every acknowledged request is in one of its segments, on disk, until it is in the
tables and in the ledger. collector.segment describes the files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clew.collector.limits import Footprint, Overloaded
from clew.collector.otlp import Batch
from clew.collector.segment import (
    REWRITING,
    Segment,
    complete,
    encode_record,
    encode_seal,
    recover_open,
)
from clew.storage.files import make_directory, sync_directory

logger = logging.getLogger(__name__)

# A segment is sealed at this size, or, if the loader is idle, at this age in seconds.
SEGMENT_BYTES = 32 << 20
SEGMENT_AGE = 0.5
# To load so many bytes costs hardly more than their rows do: a segment that may wait for longer is
# sealed at SEGMENT_AGE then, so that rows of a busy clew are not late.
WORTH_LOADING = 4 << 20

# For so many seconds after a refusal the spool is not ready. Then it is ready again even if nothing
# was accepted, since a load balancer sends no request to a collector that is not ready.
REFUSAL = 5.0

# Seconds that a write waits for more requests, if the last write had several: a sync takes as much
# CPU time for one request as for ten.
GATHER = 0.001

# A request that comes alone is written on the event loop, if syncs are short: the writer's thread
# would take 0.2 ms of CPU time to begin and to answer. Seconds since the request before, and
# seconds that the last write took.
LONE_AFTER, SHORT_WRITE = 0.005, 0.005


OnReceived = Callable[[str, int, int, float], None]
OnSynced = Callable[[float], None]


class Spool:
    """The open segments, one for each signal, and the threads that write them.

    Segments that an earlier process left in `directory` are recovered first. Callbacks, on any
    thread: `on_sealed` takes every complete segment; `is_idle` returns whether the loader has
    nothing of a signal to load, so that an open segment need not wait; `on_received(signal,
    segment id, items, received_at)` takes items that are on disk, before their clients are
    answered; `on_synced` the seconds that writing a group of requests took. `limit` is the size in
    bytes of all segments above which requests are refused, and `age` that of a segment, in seconds
    after its first request, at which it is sealed if nobody asks for it before. Raises OSError."""

    def __init__(
        self,
        directory: Path,
        signals: tuple[str, ...],
        on_sealed: Callable[[Segment], None],
        is_idle: Callable[[str], bool] = lambda signal: True,
        limit: int = 1 << 40,
        on_received: OnReceived = lambda signal, segment, items, received_at: None,
        on_synced: OnSynced = lambda seconds: None,
        age: float = SEGMENT_AGE,
    ) -> None:
        self._ids = SegmentIds()
        recovered: list[Segment] = []
        for signal in signals:
            make_directory(directory / signal)
            recovered += _recover(directory / signal, signal, self._ids)
        sync_directory(directory.parent)
        # Ambiguous segments first: nothing else is loaded before they are reloaded.
        for segment in sorted(recovered, key=lambda segment: (not segment.ambiguous, segment.id)):
            on_received(segment.signal, segment.id, segment.received, segment.received_at)
            on_sealed(segment)
        self._footprint = Footprint(directory, limit)
        self._writers = {
            signal: _Writer(
                *(directory / signal, signal, self._ids, on_sealed, is_idle, self._footprint),
                *(on_received, on_synced, age),
            )
            for signal in signals
        }

    async def append(self, signal: str, batch: Batch) -> None:
        """Write the batch and sync it: once this returns, it survives a power cut.

        Raises Overloaded if it is not on disk and will not be."""
        writer = self._writers[signal]
        if writer.write_alone(batch):
            return
        loop = asyncio.get_running_loop()
        synced: asyncio.Future[None] = loop.create_future()
        writer.append(_Append(batch, loop, synced))
        await synced

    def seal(self, signal: str, segment: int) -> None:
        """Seal the signal's open segment soon, if its id is not greater than this."""
        self._writers[signal].seal(segment)

    def size(self) -> int:
        """The size of its files in bytes."""
        return self._footprint.used()

    def accepts(self) -> bool:
        """Whether requests of every signal are accepted: none was refused recently."""
        return not any(writer.refuses() for writer in self._writers.values())

    def close(self) -> None:
        """Write the waiting requests, seal the open segments, and stop."""
        for writer in self._writers.values():
            writer.close()


class SegmentIds:
    """Ascending segment ids: the time in nanoseconds, with random low bits, the same for all ids of
    this object, so that processes do not use the same id. Thread-safe."""

    def __init__(self) -> None:
        self._last = 0
        self._low_bits = secrets.randbits(10)
        self._lock = threading.Lock()

    def skip_to(self, segment: int) -> None:
        """Return only greater ids than this one from now on."""
        self._last = max(self._last, segment)

    def next(self) -> int:
        with self._lock:
            tick = max(time.time_ns() >> 10, (self._last >> 10) + 1)
            self._last = tick << 10 | self._low_bits
            return self._last


@dataclass(frozen=True)
class _Append:
    """A batch to be written; `synced` is set, on its event loop, once it is on disk."""

    batch: Batch
    loop: asyncio.AbstractEventLoop
    synced: asyncio.Future[None]


class _Writer:
    """One signal's thread: it writes all waiting batches, syncs once, and then answers them. A
    batch that comes alone is written by the thread that brings it."""

    def __init__(
        self,
        directory: Path,
        signal: str,
        ids: SegmentIds,
        on_sealed: Callable[[Segment], None],
        is_idle: Callable[[str], bool],
        footprint: Footprint,
        on_received: OnReceived,
        on_synced: OnSynced,
        age: float,
    ) -> None:
        self._directory = directory
        self._signal = signal
        self._ids = ids
        self._on_sealed = on_sealed
        self._is_idle = is_idle
        self._footprint = footprint
        self._on_received = on_received
        self._on_synced = on_synced
        self._age = age
        self._seal_up_to = 0
        self._refused_at: float | None = None  # the last refusal, if nothing was accepted since
        self._waiting: list[_Append] = []
        self._writing = threading.Lock()  # held by who writes or seals
        self._last_request, self._last_write = 0.0, math.inf
        self._wake = threading.Condition()
        self._closing = False
        self._open: _OpenSegment | None = None
        self._thread = threading.Thread(target=self._run, name=f"spool-{signal}", daemon=True)
        self._thread.start()

    def write_alone(self, batch: Batch) -> bool:
        """Write the batch and sync it here, if no other one came just before and that takes but a
        moment; returns whether it did. Raises Overloaded."""
        now = time.monotonic()
        is_alone = now - self._last_request >= LONE_AFTER and self._last_write <= SHORT_WRITE
        self._last_request = now
        if not is_alone or not self._writing.acquire(blocking=False):
            return False
        try:
            if self._closing or self._refused_at is not None:
                return False
            due = None if self._open is None else self._open.due
            error = self._write([batch])
            is_news = self._open is None or self._open.due != due or self._is_due(self._open)
        finally:
            self._writing.release()
        if is_news:  # the thread has to seal it, or to wait for that
            with self._wake:
                self._wake.notify()
        if error is not None:
            raise error
        return True

    def append(self, append: _Append) -> None:
        with self._wake:
            if self._closing:
                raise Overloaded("clew is stopping: send again later")
            self._waiting.append(append)
            self._wake.notify()

    def seal(self, segment: int) -> None:
        with self._wake:
            self._seal_up_to = max(self._seal_up_to, segment)
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        several = False  # whether the last write had several batches
        while True:
            with self._wake:
                if not self._waiting and not self._closing and not self._is_asked_for():
                    self._wake.wait(self._seconds_to_seal())
            if several and not self._closing:
                time.sleep(GATHER)
            with self._writing:
                with self._wake:
                    group, self._waiting = self._waiting, []
                    closing = self._closing
                several = len(group) > 1
                if group:
                    _answer(group, self._write([append.batch for append in group]))
                if self._open is not None and (closing or self._is_due(self._open)):
                    self._seal(self._open)
            if closing and not group:
                return

    def _seconds_to_seal(self) -> float | None:
        segment = self._open  # one read: who writes a batch alone may change it
        if segment is None:
            return None
        latest = Footprint.MAX_AGE if self._footprint.is_scarce() else math.inf
        return max(0.02, min(segment.due - time.monotonic(), latest))

    def _is_asked_for(self) -> bool:
        segment = self._open
        return segment is not None and not segment.suspect and segment.id <= self._seal_up_to

    def _is_due(self, segment: _OpenSegment) -> bool:
        if segment.size >= SEGMENT_BYTES or segment.suspect or self._is_asked_for():
            return True
        is_old = time.monotonic() >= segment.due or self._footprint.is_scarce()
        return is_old and self._is_idle(self._signal)

    def _write(self, batches: list[Batch]) -> Overloaded | None:
        """Write the batches and sync them. Returns the error for their clients, if it failed."""
        try:
            self._footprint.check()
            if self._open is not None and self._open.suspect:
                self._complete(self._open)
            if self._open is None:
                self._open = _OpenSegment(self._directory, self._ids.next(), self._age)
            start = time.monotonic()
            self._open.append(batches)
        except Overloaded as error:
            self._refuse(str(error))
            return error
        except OSError as error:
            reason = f"the spool cannot be written ({error.strerror}): send again later"
            self._refuse(reason)
            return Overloaded(reason)
        self._footprint.add(sum(len(batch.body) for batch in batches))
        self._last_write = time.monotonic() - start
        self._on_synced(self._last_write)
        items = sum(batch.items for batch in batches)
        self._on_received(self._signal, self._open.id, items, self._open.received_at)
        if self._refused_at is not None:
            self._refused_at = None
            logger.info("accepting %s again", self._signal)
        return None

    def refuses(self) -> bool:
        """Whether a request was refused recently, and none accepted since."""
        refused_at = self._refused_at  # one read: the writer's thread may change it
        return refused_at is not None and time.monotonic() - refused_at < REFUSAL

    def _refuse(self, reason: str) -> None:
        if self._refused_at is None:
            logger.error("refusing %s for now: %s", self._signal, reason)
        self._refused_at = time.monotonic()

    def _seal(self, segment: _OpenSegment) -> None:
        """Seal the segment; if that fails (as on a full disk), it is due again later."""
        try:
            self._complete(segment)
        except OSError as error:
            logger.error("a segment in %s cannot be sealed yet: %s", self._directory, error)
            segment.suspect = True
            segment.due = time.monotonic() + SEGMENT_AGE  # as soon as it can be

    def _complete(self, segment: _OpenSegment) -> None:
        sealed = segment.seal(self._signal)
        self._open = None
        if sealed is not None:
            self._on_sealed(sealed)


class _OpenSegment:
    """The file to which requests are appended. `size` and `items` count what was synced.

    After a failed write or sync the file is `suspect`: nothing more is appended, and what was not
    synced is cut off. Another sync would prove nothing: the kernel reports a failed write once.
    """

    def __init__(self, directory: Path, segment: int, age: float) -> None:
        self.id = segment
        self.path = directory / f"{segment:020}.open"
        self.size = 0
        self.items = 0
        self.suspect = False
        self.received_at = time.time()
        self._opened_at = time.monotonic()
        self.due = self._opened_at + age
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            sync_directory(directory)
        except OSError:
            os.close(self._file)
            self.path.unlink()
            raise

    def append(self, batches: list[Batch]) -> None:
        """Write the batches and sync. If it raises OSError, none of them is in the segment."""
        chunks = [part for batch in batches for part in (batch.body, encode_record(batch))]
        try:
            _write_all(self._file, chunks)
            os.fdatasync(self._file)
        except OSError:
            self.suspect = True
            raise
        self.size += sum(map(len, chunks))
        self.items += sum(batch.items for batch in batches)
        if self.size >= WORTH_LOADING:
            self.due = min(self.due, self._opened_at + SEGMENT_AGE)

    def seal(self, signal: str) -> Segment | None:
        """Complete and rename the file; None, and the file is removed, if it holds no item.

        The call can be repeated after it raised OSError."""
        if self.suspect:
            os.ftruncate(self._file, self.size)
            os.lseek(self._file, self.size, os.SEEK_SET)
        if self.items:
            _write_all(self._file, [encode_seal(self.id)])
            os.utime(self._file, (self.received_at, self.received_at))
            os.fsync(self._file)
            segment = complete(self.path, signal, self.id, self.items)
        else:
            segment = None
            self.path.unlink()
        os.close(self._file)
        return segment


def _answer(group: list[_Append], error: Exception | None) -> None:
    """Set the futures, with one call for each event loop."""

    def set_futures(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            if not future.done():  # done if its client has disconnected
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    for loop in {append.loop for append in group}:
        futures = [append.synced for append in group if append.loop is loop]
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(set_futures, futures)


def _write_all(file: int, chunks: list[bytes]) -> None:
    for first in range(0, len(chunks), 512):
        vector = chunks[first : first + 512]
        written = os.writev(file, vector)
        remainder = b"".join(vector)[written:] if written < sum(map(len, vector)) else b""
        while remainder:
            remainder = remainder[os.write(file, remainder) :]


def _recover(directory: Path, signal: str, ids: SegmentIds) -> list[Segment]:
    """The segments that an earlier process left, its open segment cut and sealed."""
    recovered = []
    for path in sorted(directory.iterdir()):
        if path.suffix == REWRITING:
            path.unlink()
        elif re.fullmatch(r"\d{20}\.open", path.name):
            ids.skip_to(int(path.stem))
            if (sealed := recover_open(path, signal)) is not None:
                recovered.append(sealed)
        elif (segment := Segment.from_path(signal, path)) is not None:
            ids.skip_to(segment.id)
            recovered.append(segment)
        else:
            logger.warning("%s is not a segment: it is ignored", path)
    return recovered
