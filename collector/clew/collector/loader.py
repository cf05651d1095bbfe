"""Sealed segments into the tables, each exactly once."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, time
from typing import Protocol

from clew.collector import deadletter, otlp, values
from clew.collector import segment as segments
from clew.collector.otlp import Batch
from clew.collector.segment import Segment
from clew.storage import SIGNALS, NestedValues, Signal, Stored, Unacceptable

logger = logging.getLogger(__name__)

WORKERS = 2  # an insert parses on one thread: two keep two cores busy
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds before the next attempt, after one that failed
WRITE_OUT_AHEAD = (
    60.0  # seconds for which a signal's segments are written out before they are inserted
)


class Sink(Protocol):
    """Where segments go: storage.Ingest, whose methods say what each promises."""

    def load(
        self, signal: Signal, path: Path, segment: int, items: int, began: float
    ) -> Mapping[str, Stored]: ...

    def reload(
        self, signal: Signal, path: Path, segment: int, items: int, began: float
    ) -> Mapping[str, Stored]: ...

    def count(self, signal: Signal, segment: int, began: float) -> Mapping[str, Stored]: ...


Loaded = Callable[[Segment, Mapping[str, Stored]], None]
Inserted = Callable[[str, float, float], None]


class Loader:
    """A few threads that load what they are offered, in order of age.

    A segment whose insert did not report success is ambiguous. It is reloaded while nothing else is
    loaded. If the reload fails, one other segment is loaded before the next attempt: no segment
    waits for one that can never be loaded, and while the engine is down, few become ambiguous.

    Requests that the engine refuses, alone among their neighbours, are put into `dead_letters`.
    `loaded` is told of a segment that is in the tables for certain, whose file is then its to
    remove; `inserted(signal, seconds, fresh)` how long that took, and how many seconds after its
    first item came.
    """

    def __init__(
        self,
        sink: Sink,
        loaded: Loaded = lambda segment, stored: segment.drop(),
        inserted: Inserted = lambda signal, seconds, fresh: None,
        dead_letters: Path | None = None,
        workers: int = WORKERS,
    ) -> None:
        self._sink = sink
        self._loaded = loaded
        self._inserted = inserted
        self._dead_letters = dead_letters
        self._ready: list[tuple[int, int, Segment]] = []
        self._order = itertools.count()
        self._ambiguous: deque[Segment] = deque()
        self._change = threading.Condition()
        self._loading = 0
        self._alone = False  # what is loading now has the tables for itself
        self._held = 0
        self._neighbour_first = False
        self._pause = 0.0
        self._not_before = 0.0
        self._outstanding: dict[str, set[int]] = {name: set() for name in SIGNALS}
        self._stopping = False
        self._written_out_until: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._run, name=f"loader-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def offer(self, segment: Segment) -> None:
        """Take on a complete segment."""
        with self._change:
            self._outstanding[segment.signal].add(segment.id)
            self._put(segment)
            self._change.notify()

    def is_idle(self, signal: str) -> bool:
        """Whether nothing of the signal waits or is being loaded. While that is not so, what comes
        in gathers into a larger segment: 30 ms of an insert's CPU time are its planning."""
        return not self._outstanding[signal]

    def close(self, seconds: float = 60.0) -> bool:
        """Finish what is being loaded; what waits stays on the disk for the next start.

        Whether all threads have ended within that time."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        deadline = monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def drained(self) -> bool:
        """Whether all that was offered is in the tables."""
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
                self._held += 1
                self._change.wait_for(lambda: not self._loading)
                if reloaded_within is None or not self._ambiguous:
                    break
                self._held -= 1
                self._change.notify_all()
                if not self._change.wait_for(
                    lambda: not self._ambiguous and not self._alone, deadline - monotonic()
                ):
                    raise TimeoutError("a segment that may be partly loaded could not be reloaded")
        try:
            yield
        finally:
            with self._change:
                self._held -= 1
                self._change.notify_all()

    def _put(self, segment: Segment) -> None:
        if segment.ambiguous:
            self._ambiguous.append(segment)
        else:
            heapq.heappush(self._ready, (segment.id, next(self._order), segment))

    def _run(self) -> None:
        while (segment := self._take()) is not None:
            try:
                self._work(segment)
            except Exception as error:  # of any kind: the thread goes on, and so does the segment
                self._failed(segment, error)
            finally:
                with self._change:
                    self._loading -= 1
                    self._alone = False
                    self._change.notify_all()

    def _take(self) -> Segment | None:
        with self._change:
            while not self._stopping:
                wait = self._not_before - monotonic()
                if wait <= 0:
                    segment = None if self._alone or self._held else self._next()
                    if segment is not None:
                        self._loading += 1
                        self._alone = segment.ambiguous
                        return segment
                self._change.wait(wait if wait > 0 else None)
            return None

    def _next(self) -> Segment | None:
        if self._ambiguous and not (self._neighbour_first and self._ready):
            return None if self._loading else self._ambiguous.popleft()
        self._neighbour_first = False
        return heapq.heappop(self._ready)[2] if self._ready else None

    def _work(self, segment: Segment) -> None:
        signal = SIGNALS[segment.signal]
        began = monotonic()
        if segment.loaded:
            self._done(segment, self._sink.count(signal, segment.id, segment.began))
            return
        segment = segment.without_damage()
        if not segment.items:
            self._done(segment, {})
        elif segment.ambiguous:
            self._done(*self._reload(signal, segment))
        else:
            if monotonic() < self._written_out_until.get(segment.signal, 0.0):
                write_out(segment)
            self._done(*self._load(signal, segment.begin()))
        self._inserted(segment.signal, monotonic() - began, time() - segment.began)

    def _load(self, signal: Signal, segment: Segment) -> tuple[Segment, Mapping[str, Stored]]:
        arguments = (signal, segment.path, segment.id, segment.items, segment.began)
        try:
            return segment, self._sink.load(*arguments)
        except NestedValues:
            self._written_out_until[segment.signal] = monotonic() + WRITE_OUT_AHEAD
            write_out(segment)
            return segment, self._sink.load(*arguments)

    def _reload(self, signal: Signal, segment: Segment) -> tuple[Segment, Mapping[str, Stored]]:
        def attempt(segment: Segment) -> tuple[Segment, Mapping[str, Stored]]:
            return segment, self._sink.reload(
                signal, segment.path, segment.id, segment.items, segment.began
            )

        try:
            return attempt(segment)
        except (NestedValues, Unacceptable) as error:
            logger.warning("%s is written out: %s", segment.path.name, error)
        # Besides nested values: the engine reads some bytes otherwise than protobuf does, such as
        # a field of another type than it should be; written out, those are left out.
        write_out(segment)
        try:
            return attempt(segment)
        except Unacceptable:
            segment = self._without_refused(signal, segment)
            return attempt(segment) if segment.items else (segment, {})

    def _without_refused(self, signal: Signal, segment: Segment) -> Segment:
        """Find the requests that the engine refuses, by halves, and set them aside."""
        probe = segment.path.with_suffix(segments.REWRITING)

        def refusal(batches: list[Batch]) -> Unacceptable | None:
            probe.write_bytes(segments.file_of(batches, segment.id))
            items = sum(batch.items for batch in batches)
            try:
                self._sink.reload(signal, probe, segment.id, items, segment.began)
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
            raise RuntimeError("nowhere to set refused requests aside")
        if (error := refusal([])) is not None:
            raise error  # it refuses even nothing: the requests are not to blame
        refused = search(list(segment.batches()))
        for batch, error in refused:
            deadletter.set_aside(self._dead_letters, segment, batch, str(error))
        return segment.without([batch for batch, _ in refused])

    def _done(self, segment: Segment, stored: Mapping[str, Stored]) -> None:
        if not segment.loaded:
            segment = segment.finish()
        self._loaded(segment, stored)
        with self._change:
            self._outstanding[segment.signal].discard(segment.id)
            self._pause = 0.0

    def _failed(self, segment: Segment, error: Exception) -> None:
        """Put it back, as it now is on the disk, and have everybody wait."""
        logger.warning("%s is not loaded yet: %s", segment.path.name, error)
        directory = segment.path.parent
        now = next(
            (found for path in directory.glob(f"{segment.id:020}-*")
             if (found := Segment.found(segment.signal, path)) is not None), segment,
        )  # fmt: skip
        with self._change:
            self._neighbour_first = segment.ambiguous
            if not isinstance(error, Unacceptable) or segment.ambiguous:
                self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
                self._not_before = monotonic() + self._pause
            self._put(now)


def write_out(segment: Segment) -> None:
    """Replace every nested value in the segment by its text, and write it as protobuf would."""
    request = otlp.KINDS[segment.signal].request
    segment.rewrite(lambda body: values.write_out(request, body))
