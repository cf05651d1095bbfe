"""Loads sealed segments into the tables, each exactly once."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, process_time, time
from typing import Protocol

from clew.collector import deadletter, otlp, values
from clew.collector.otlp import Batch
from clew.collector.segment import REWRITING, Segment, encode_segment
from clew.storage import SIGNALS, NestedValues, Signal, StoredItems, Unacceptable
from clew.storage.freshness import Budget

logger = logging.getLogger(__name__)

WORKERS = 2  # an insert parses on one thread: two keep two cores busy
PROMPT = 2.0  # seconds in which a sealed segment is loaded, while the loader keeps up
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds before the next attempt, after one that failed
# After a segment with nested values, write out this signal's segments up front for so many seconds.
WRITE_OUT_PERIOD = 60.0
# What was in the spool at the start may use this share of a core while somebody reads, unless more
# segments than MAX_WAITING have come since: a spool that fills up is worse than slow reads.
RECOVERY_SHARE, RECOVERY_RESERVE, MAX_WAITING = 0.5, 0.5, 4
RECOVERY_POLL = 0.5  # seconds


class Sink(Protocol):
    """Where segments are loaded: storage.Ingest, which documents these methods."""

    def load(
        self, signal: Signal, path: Path, segment: int, items: int, received_at: float
    ) -> Mapping[str, StoredItems]: ...

    def reload(
        self, signal: Signal, path: Path, segment: int, items: int, received_at: float
    ) -> Mapping[str, StoredItems]: ...

    def count(
        self, signal: Signal, segment: int, received_at: float
    ) -> Mapping[str, StoredItems]: ...


OnLoaded = Callable[[Segment, Mapping[str, StoredItems]], None]
OnInserted = Callable[[str, float, float], None]


class Loader:
    """Threads that load segments, the oldest first.

    A segment whose insert did not report success is ambiguous. It is reloaded while nothing else is
    loaded. If the reload fails, one other segment is loaded before the next attempt: no segment
    waits for one that can never be loaded, and while the engine is down, few become ambiguous.

    While `is_read` says that somebody reads, the segments that were offered before the start are
    loaded one at a time, with rests: reads come first.

    Requests that the engine refuses are found by bisection and set aside in the folder
    `dead_letters`. Callbacks, on a loader's thread: `on_loaded` takes each segment that is in the
    tables, with its items by service, and has to remove its file; `on_inserted(signal, seconds,
    freshness)` takes the seconds that the insert took, and the seconds since the segment's first
    request.
    """

    def __init__(
        self,
        sink: Sink,
        on_loaded: OnLoaded = lambda segment, stored: segment.remove(),
        on_inserted: OnInserted = lambda signal, seconds, freshness: None,
        dead_letters: Path | None = None,
        workers: int = WORKERS,
        is_read: Callable[[], bool] = lambda: False,
    ) -> None:
        self._sink = sink
        self._on_loaded = on_loaded
        self._on_inserted = on_inserted
        self._dead_letters = dead_letters
        self._ready: list[tuple[int, int, Segment]] = []
        self._order = itertools.count()
        self._ambiguous: deque[Segment] = deque()
        self._change = threading.Condition()
        self._loading = 0
        self._reloading = False  # then nothing else is loaded
        self._paused = 0  # how many callers have it paused
        self._ready_first = False  # load another segment before the next ambiguous one
        self._pause = 0.0
        self._resume_at = 0.0
        # By signal and id, when a segment was offered.
        self._outstanding: dict[str, dict[int, float]] = {name: {} for name in SIGNALS}
        self._is_read = is_read
        self._recovered: set[tuple[str, int]] = set()  # signal and id, of segments before the start
        self._recovery = Budget(monotonic(), RECOVERY_SHARE, RECOVERY_RESERVE)
        self._stopping = False
        self._write_out_until: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._run, name=f"loader-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        with self._change:
            self._recovered = self._keys()
        for thread in self._threads:
            thread.start()

    def offer(self, segment: Segment) -> None:
        """Add a complete segment to the queue."""
        with self._change:
            self._outstanding[segment.signal][segment.id] = monotonic()
            self._enqueue(segment)
            self._change.notify()

    def is_idle(self, signal: str) -> bool:
        """Whether no segment of the signal waits or is being loaded. Otherwise requests gather in a
        larger segment, since planning takes 30 ms of an insert's CPU time."""
        return not self._outstanding[signal]

    def is_behind(self) -> bool:
        """Whether a segment that is offered now is not loaded at once: the loader is paused, a
        segment failed or is reloaded, or one has waited for long."""
        with self._change:
            if self._paused or self._ambiguous or self._reloading or self._resume_at > monotonic():
                return True
            return monotonic() - self._oldest_offer() > PROMPT

    def close(self, seconds: float = 60.0, drain: float = 0.0) -> bool:
        """Load what was offered, for at most `drain` seconds and while nothing fails. Then finish
        the segments that are being loaded; the others stay on disk for the next start.

        Returns whether all threads have ended within `seconds`."""
        deadline = monotonic() + seconds
        with self._change:
            self._change.wait_for(
                lambda: not any(self._outstanding.values()) or self._ambiguous or self._pause, drain
            )
            self._stopping = True
            self._change.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def drained(self) -> bool:
        """Whether every segment that was offered is in the tables."""
        with self._change:
            return not any(self._outstanding.values())

    @contextmanager
    def paused(self, reloaded_within: float | None = None) -> Iterator[None]:
        """A context in which no insert runs.

        With `reloaded_within`, it is entered only once no segment is ambiguous. Raises TimeoutError
        if that takes longer, in seconds."""
        with self._change:
            deadline = monotonic() + (reloaded_within or 0.0)
            while True:
                self._paused += 1
                self._change.wait_for(lambda: not self._loading)
                if reloaded_within is None or not self._ambiguous:
                    break
                self._paused -= 1
                self._change.notify_all()
                if not self._change.wait_for(
                    lambda: not self._ambiguous and not self._reloading, deadline - monotonic()
                ):
                    raise TimeoutError("a segment that may be partly loaded could not be reloaded")
        try:
            yield
        finally:
            with self._change:
                self._paused -= 1
                self._change.notify_all()

    def _oldest_offer(self) -> float:
        """When the segment was offered that has waited longest, as of monotonic()."""
        offers = (time for segments in self._outstanding.values() for time in segments.values())
        return min(offers, default=math.inf)

    def _enqueue(self, segment: Segment) -> None:
        if segment.ambiguous:
            self._ambiguous.append(segment)
        else:
            heapq.heappush(self._ready, (segment.id, next(self._order), segment))

    def _run(self) -> None:
        while (segment := self._wait_for_segment()) is not None:
            spent = process_time()
            try:
                self._process(segment)
            except Exception as error:  # whatever it is, the segment is tried again
                self._requeue(segment, error)
            finally:
                with self._change:
                    # That of the whole process: reads count too, and merges.
                    if (segment.signal, segment.id) in self._recovered:
                        self._recovery.spend(process_time() - spent, monotonic())
                    self._recovered.intersection_update(self._keys())
                    self._loading -= 1
                    self._reloading = False
                    self._change.notify_all()

    def _wait_for_segment(self) -> Segment | None:
        """The next segment to load; None when the loader stops."""
        with self._change:
            while not self._stopping:
                wait = self._resume_at - monotonic()
                if wait <= 0:
                    wait = self._rest()
                if wait <= 0:
                    segment = None if self._reloading or self._paused else self._dequeue()
                    if segment is not None:
                        self._loading += 1
                        self._reloading = segment.ambiguous
                        return segment
                self._change.wait(wait if wait > 0 else None)
            return None

    def _rest(self) -> float:
        """Seconds until the next segment may be loaded, or until to ask again."""
        if not self._recovered or not self._ready or self._ambiguous:
            return 0.0
        segment = self._ready[0][2]
        waiting = len(self._keys() - self._recovered)
        is_free = (segment.signal, segment.id) not in self._recovered or waiting > MAX_WAITING
        if is_free or not self._is_read():
            return 0.0
        if self._loading:
            return RECOVERY_POLL
        return min(self._recovery.seconds_until_available(monotonic()), RECOVERY_POLL)

    def _keys(self) -> set[tuple[str, int]]:
        """Signal and id of every segment that is not in the tables."""
        return {(signal, id) for signal, segments in self._outstanding.items() for id in segments}

    def _dequeue(self) -> Segment | None:
        if self._ambiguous and not (self._ready_first and self._ready):
            return None if self._loading else self._ambiguous.popleft()
        self._ready_first = False
        return heapq.heappop(self._ready)[2] if self._ready else None

    def _process(self, segment: Segment) -> None:
        signal = SIGNALS[segment.signal]
        start = monotonic()
        if segment.loaded:
            self._finish(segment, self._sink.count(signal, segment.id, segment.received_at))
            return
        segment = segment.without_damage()
        if not segment.items:
            self._finish(segment, {})
        elif segment.ambiguous:
            self._finish(*self._reload(signal, segment))
        else:
            if monotonic() < self._write_out_until.get(segment.signal, 0.0):
                write_out(segment)
            self._finish(*self._load(signal, segment.mark_loading()))
        self._on_inserted(segment.signal, monotonic() - start, time() - segment.received_at)

    def _load(self, signal: Signal, segment: Segment) -> tuple[Segment, Mapping[str, StoredItems]]:
        arguments = (signal, segment.path, segment.id, segment.items, segment.received_at)
        try:
            return segment, self._sink.load(*arguments)
        except NestedValues:
            self._write_out_until[segment.signal] = monotonic() + WRITE_OUT_PERIOD
            write_out(segment)
            return segment, self._sink.load(*arguments)

    def _reload(
        self, signal: Signal, segment: Segment
    ) -> tuple[Segment, Mapping[str, StoredItems]]:
        def attempt(segment: Segment) -> tuple[Segment, Mapping[str, StoredItems]]:
            return segment, self._sink.reload(
                signal, segment.path, segment.id, segment.items, segment.received_at
            )

        try:
            return attempt(segment)
        except (NestedValues, Unacceptable) as error:
            logger.warning("%s is written out and reloaded: %s", segment.path.name, error)
        # The engine reads some malformed fields differently from protobuf, such as a field of the
        # wrong type. Writing the segment out removes them.
        write_out(segment)
        try:
            return attempt(segment)
        except Unacceptable:
            segment = self._set_refused_aside(signal, segment)
            return attempt(segment) if segment.items else (segment, {})

    def _set_refused_aside(self, signal: Signal, segment: Segment) -> Segment:
        """Find the requests that the engine refuses, by bisection, and set them aside. Returns the
        segment without them."""
        probe = segment.path.with_suffix(REWRITING)

        def refusal(batches: list[Batch]) -> Unacceptable | None:
            probe.write_bytes(encode_segment(batches, segment.id))
            items = sum(batch.items for batch in batches)
            try:
                self._sink.reload(signal, probe, segment.id, items, segment.received_at)
            except Unacceptable as error:
                return error
            return None

        def search(batches: list[Batch]) -> list[tuple[Batch, Unacceptable]]:
            error = refusal(batches)
            if error is None:
                return []
            if len(batches) == 1:
                return [(batches[0], error)]
            half = len(batches) // 2
            return search(batches[:half]) + search(batches[half:])

        if self._dead_letters is None:
            raise RuntimeError("no folder for dead letters")
        if (error := refusal([])) is not None:
            raise error  # it refuses an empty segment too, so the requests are not the cause
        refused = search(list(segment.batches()))
        for batch, error in refused:
            deadletter.set_aside(self._dead_letters, segment, batch, str(error))
        return segment.without([batch for batch, _ in refused])

    def _finish(self, segment: Segment, stored: Mapping[str, StoredItems]) -> None:
        if not segment.loaded:
            segment = segment.mark_loaded()
        self._on_loaded(segment, stored)
        with self._change:
            self._outstanding[segment.signal].pop(segment.id, None)
            self._pause = 0.0

    def _requeue(self, segment: Segment, error: Exception) -> None:
        """Enqueue the segment again, in its state on disk, and pause all threads."""
        logger.warning("%s is not loaded yet: %s", segment.path.name, error)
        directory = segment.path.parent
        current = next(
            (state for path in directory.glob(f"{segment.id:020}-*")
             if (state := Segment.from_path(segment.signal, path)) is not None), segment,
        )  # fmt: skip
        with self._change:
            self._ready_first = segment.ambiguous
            if not isinstance(error, Unacceptable) or segment.ambiguous:
                self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
                self._resume_at = monotonic() + self._pause
            self._enqueue(current)


def write_out(segment: Segment) -> None:
    """Rewrite the segment as protobuf encodes it, with the nested values as text. Raises OSError
    when it is damaged."""
    request = otlp.MESSAGES[segment.signal].request
    segment.rewrite(lambda body: values.write_out(request, body))
