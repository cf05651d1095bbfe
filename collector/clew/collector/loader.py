"""Sealed segments into the tables, each exactly once."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Protocol

from clew.collector import otlp, values
from clew.collector.spool import Segment
from clew.storage import SIGNALS, InsertError, NestedValues, Signal

logger = logging.getLogger(__name__)

WORKERS = 2  # an insert parses on one thread: two keep two cores busy
LONGEST_PAUSE = 10.0  # seconds between two attempts to settle a segment
WRITE_OUT_AHEAD = (
    60.0  # seconds for which a signal's segments are written out before they are inserted
)


class Sink(Protocol):
    """Where segments go: storage.Ingest, whose methods say what each promises."""

    def load(self, signal: Signal, path: Path, segment: int, items: int) -> None: ...

    def settle(self, signal: Signal, path: Path, segment: int, items: int) -> None: ...


class Loader:
    """A few threads that load what they are offered, in order of age.

    An insert that did not report success leaves its segment ambiguous. Then the others finish
    what they are at, and nothing else is loaded until that segment is settled.
    """

    def __init__(self, sink: Sink, workers: int = WORKERS) -> None:
        self._sink = sink
        self._queue: list[tuple[bool, int, int, Segment]] = []
        self._order = itertools.count()
        self._change = threading.Condition()
        self._loading = 0
        self._outstanding: dict[str, set[int]] = {name: set() for name in SIGNALS}
        self._settling = False
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
        """Take on a complete segment; those that may be partly loaded go first."""
        with self._change:
            entry = (not segment.ambiguous, segment.id, next(self._order), segment)
            heapq.heappush(self._queue, entry)
            self._outstanding[segment.signal].add(segment.id)
            self._change.notify()

    def is_idle(self, signal: str) -> bool:
        """Whether nothing of the signal waits or is being loaded. While that is not so, what comes
        in gathers into a larger segment: 30 ms of an insert's CPU time are its planning."""
        return not self._outstanding[signal]

    def close(self) -> None:
        """Finish what is being loaded; what waits stays on the disk for the next start."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def drained(self) -> bool:
        """Whether all that was offered is in the tables."""
        with self._change:
            return not any(self._outstanding.values())

    def _run(self) -> None:
        while (segment := self._take()) is not None:
            try:
                if segment.ambiguous:
                    self._settle(segment)
                else:
                    self._load(segment)
            finally:
                with self._change:
                    self._loading -= 1
                    self._change.notify_all()

    def _take(self) -> Segment | None:
        with self._change:
            while True:
                if self._stopping:
                    return None
                if (
                    self._queue
                    and not self._settling
                    and not (self._queue[0][3].ambiguous and self._loading)
                ):
                    segment = heapq.heappop(self._queue)[3]
                    self._loading += 1
                    self._settling = segment.ambiguous
                    return segment
                self._change.wait()

    def _load(self, segment: Segment) -> None:
        try:
            segment = segment.begin()
            if monotonic() < self._written_out_until.get(segment.signal, 0.0):
                write_out(segment)
            self._attempt(segment, self._sink.load)
            self._done(segment)
        except Exception as error:
            logger.warning("%s: %s", segment.path.name, error)
            if not segment.ambiguous:  # it could not even begin: the disk refuses
                self._pause(LONGEST_PAUSE)
            self.offer(segment)

    def _settle(self, segment: Segment) -> None:
        pause = 0.1
        as_protobuf_writes_it = False
        try:
            while True:
                try:
                    self._attempt(segment, self._sink.settle)
                    self._done(segment)
                    return
                except Exception as error:
                    logger.warning("%s is not settled yet: %s", segment.path.name, error)
                    if isinstance(error, InsertError) and not as_protobuf_writes_it:
                        # The engine reads some bytes otherwise than protobuf does, such as a field
                        # of another type than it should be; protobuf leaves those out.
                        as_protobuf_writes_it = _try_to_write_out(segment)
                if self._pause(pause):
                    return
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            with self._change:
                self._settling = False
                self._change.notify_all()

    def _pause(self, seconds: float) -> bool:
        """Wait; whether the loader is to stop."""
        with self._change:
            return self._change.wait_for(lambda: self._stopping, seconds)

    def _done(self, segment: Segment) -> None:
        segment.drop()
        with self._change:
            self._outstanding[segment.signal].discard(segment.id)

    def _attempt(self, segment: Segment, attempt: Callable[[Signal, Path, int, int], None]) -> None:
        signal = SIGNALS[segment.signal]
        try:
            attempt(signal, segment.path, segment.id, segment.items)
        except NestedValues:
            self._written_out_until[segment.signal] = monotonic() + WRITE_OUT_AHEAD
            write_out(segment)
            attempt(signal, segment.path, segment.id, segment.items)


def write_out(segment: Segment) -> None:
    """Replace every nested value in the segment by its text, and write it as protobuf would."""
    request = otlp.KINDS[segment.signal].request
    segment.rewrite(lambda body: values.write_out(request, body))


def _try_to_write_out(segment: Segment) -> bool:
    try:
        write_out(segment)
    except OSError as error:  # a full disk, perhaps: it is tried again
        logger.warning("%s cannot be rewritten: %s", segment.path.name, error)
        return False
    return True
