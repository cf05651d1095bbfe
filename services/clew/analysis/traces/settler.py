"""Background thread that settles traces: computes per-trace results once new spans have arrived.

A pass takes the traces with rows since the last pass, newest first, and once more those that have
been quiet for a while. Behind it, steps (clew.analysis.steps) compute what rests on settled traces.
How far each has come is in the tables (clew_settler): a restart goes on from there, and does again
what was cut short. Of several processes on one server the one that holds the lease works.
"""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol

from clew.analysis.steps import Interval, Step
from clew.analysis.traces.cursor import QUIET, REMEMBERED, InsertCursor
from clew.analysis.traces.settling import (
    REQUEUED_AT_ONCE,
    Chunk,
    Progress,
    Settling,
    Window,
    statements_of,
)
from clew.background import Stop, Stopped, Worker
from clew.storage import Store
from clew.storage.statements import Statements

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0  # seconds; only on a server, where others write too
SHORTEST_REST = 3.0  # seconds after a pass: the smallest costs 0.3 s, for its planning,
REST = 4  # or so many times what it took: a fifth of one core at the most
LEASE = 120.0  # seconds
AGREE_WITHIN = 0.5  # seconds for others who want the lease to say so
ATTEMPTS = 3  # of a pass, before what fails in it is looked for
MOST_LEFT_OUT = 20  # traces of a chunk
LONGEST_PAUSE = 30.0  # seconds before the next attempt of a pass,
LONGEST_STEP_PAUSE = 600.0  # and of a step
NO_CHUNK = (1 << 32) - 1
PASSES = "pass"  # the row of the passes in clew_settler


class Definitions(Protocol):
    """What else is computed for whole traces, chunk by chunk: clew.analysis.Occurrences."""

    def log_attributes(self) -> Sequence[str]:
        """The attributes that log records are looked at for."""

    def settle(self, trace_ids: Sequence[str], start: str, end: str, version: int) -> None:
        """Make the rows of these traces again. All their spans lie in `start` … `end`; `version` is
        greater by two or more than that of any call before."""

    def stop(self) -> None:
        """Begin nothing more, and end what is running; for another thread."""


class Settler:
    """`wake` it when spans or log records were inserted; where others insert too, as on a server,
    it looks by itself as well.

    `statements`: those of the steps, when they have any (statements_of(store)). `steps` run in
    their order."""

    def __init__(
        self,
        store: Store,
        definitions: Definitions | None = None,
        statements: Statements | None = None,
        steps: Sequence[Step] = (),
    ) -> None:
        self._store = store
        self._statements = statements or statements_of(store)
        self._settling = Settling(store, self._statements)
        self._definitions = definitions
        self._steps = [_Schedule(step) for step in steps]
        # One process has the embedded engine: a lease from before it was killed is its own.
        self._holder = "embedded" if store.embedded else uuid.uuid4().hex
        self._lease_until = 0.0
        self._cursor: InsertCursor | None = None
        self._left_out = 0
        self._requeued: list[str] = []
        self._lock = threading.Lock()  # of what is requeued
        self._worker = Worker(
            "settler",
            self._run,
            "traces are not settled yet",
            pauses=(1.0, LONGEST_PAUSE),
            rest=lambda took: max(SHORTEST_REST, REST * took),
        )

    def start(self) -> None:
        self._worker.start()

    def wake(self) -> None:
        """Something was inserted."""
        self._worker.wake()

    def requeue(self, trace_ids: Sequence[str]) -> None:
        """Settle these traces again: they have lost spans. Kept in memory only: when the process
        ends first, they are left without a row, as traces that are too large are."""
        if trace_ids:
            with self._lock:
                self._requeued += trace_ids
            self._worker.wake()

    def stop(self) -> None:
        """Begin nothing more, and end the statement that is running."""
        self._worker.stop()
        with suppress(Exception):  # the engine may be what is in trouble
            self._statements.cancel()
            if self._definitions is not None:
                self._definitions.stop()

    def close(self, seconds: float) -> bool:
        """Whether the thread has ended within that time. What was cut short is done again."""
        self.stop()
        ended = self._worker.close(seconds)
        if ended and self._store.shared and self._cursor is not None:
            self._lease_until = 0.0
            with suppress(Exception):  # others wait until the lease has run out
                self._save_progress()
        return ended

    def paused(self) -> AbstractContextManager[None]:
        """Nothing is written from when this is entered until it is left."""
        return self._worker.paused()

    def _run(self, stop: Stop) -> float:
        """A pass, and the steps that are due; in how many seconds to run though nobody wakes it."""
        settling = self._settling
        now, oldest_insert = settling.clock()
        if not self._has_lease(now):
            return LOOK_EVERY
        if self._cursor is None:
            self._cursor = self._resume(now)
        cursor = self._cursor
        pending = settling.pending(cursor.settled_up_to)
        window = cursor.window(now, pending)
        with self._lock:
            requeued = self._requeued[:REQUEUED_AT_ONCE]
        chunks: list[Chunk] = []
        if pending or requeued or not cursor.is_quiet:
            stop.check()
            chunks = settling.find(window, requeued)
            for chunk in chunks:
                stop.check()
                self._settle_or_leave_out(chunk)
        stop.check()
        self._settle_logged(window, chunks)
        if self._has_lease(now):
            cursor.advance(window, now, oldest_insert)
            self._lease_until = now + LEASE
            self._save_progress()
            self._run_steps(stop)
        with self._lock:
            del self._requeued[: len(requeued)]
            return 0 if self._requeued else self._seconds_until_due(now)

    def _resume(self, now: float) -> InsertCursor:
        """Where the last process was, before the last start or on another node."""
        progress = self._settling.progress()
        if PASSES in progress:
            start = progress[PASSES].settled_until
        else:
            oldest = self._settling.oldest()
            start = now - 1 if oldest is None else oldest
        for schedule in self._steps:
            saved = progress.get(schedule.step.name)
            schedule.since = saved.settled_until if saved else start
            schedule.is_stale = True
        return InsertCursor(start, self._settling.thinned(now - REMEMBERED))

    def _settle_or_leave_out(self, chunk: Chunk) -> None:
        try:
            self._settle(chunk)
        except Exception as error:
            if self._worker.failures < ATTEMPTS - 1 or self._worker.stopping:
                raise
            self._left_out = 0
            self._leave_out(chunk, error)

    def _settle(self, chunk: Chunk) -> None:
        if self._definitions is not None:
            trace_ids = self._settling.trace_ids(chunk)
            version = self._settling.next_version()
            self._definitions.settle(trace_ids, chunk.start, chunk.end, version)
        if chunk.number:
            self._settling.settle(chunk)
            for schedule in self._steps:
                schedule.is_stale = True

    def _leave_out(self, chunk: Chunk, error: Exception) -> None:
        """Find by halves the traces that cannot be settled, and leave them out; when there are
        many, the rest of the chunk with them."""
        trace_ids = self._settling.trace_ids(chunk)
        if not trace_ids:
            return
        if len(trace_ids) == 1 or self._left_out >= MOST_LEFT_OUT:
            self._settle(replace(chunk, number=NO_CHUNK))  # or is it the engine that cannot?
            self._left_out += 1
            more = f" and {len(trace_ids) - 1} more" if len(trace_ids) > 1 else ""
            logger.error(
                "traces cannot be settled and are left out: %s%s: %s", trace_ids[0], more, error
            )
            return
        for half in chunk.halves():
            try:
                self._settle(half)
            except Exception as half_error:
                if self._worker.stopping:
                    raise
                self._leave_out(half, half_error)

    def _settle_logged(self, window: Window, chunks: Sequence[Chunk]) -> None:
        """Apply the definitions to traces that got log records and no spans."""
        if self._definitions is not None:
            attributes = self._definitions.log_attributes()
            for traces in self._settling.logged(window, chunks, attributes):
                version = self._settling.next_version()
                self._definitions.settle(traces.trace_ids, traces.start, traces.end, version)

    def _run_steps(self, stop: Stop) -> None:
        """Run the steps that are due. One that fails waits longer each time; the others go on."""
        assert self._cursor is not None
        until = self._cursor.oldest_possible
        for schedule in self._steps:
            if not schedule.is_stale or monotonic() < schedule.due:
                continue
            stop.check()
            interval = Interval(
                schedule.since, max(schedule.since, until), self._settling.next_version()
            )
            try:
                schedule.step.run(interval, stop)
            except Stopped:
                raise
            except Exception as error:
                if self._worker.stopping:
                    raise
                schedule.failed(error)
                continue
            # What was inserted later is settled later: then there is more to do.
            schedule.done(interval, is_stale=self._cursor.newest >= until)
            self._save_progress()

    def _has_lease(self, now: float) -> bool:
        """On a server: whether it is this process's turn. It asks for the lease when that is
        nobody's."""
        if not self._store.shared:
            return True
        held = self._settling.progress().get(PASSES)
        if held is not None and held.holder != self._holder and held.until > now:
            self._cursor = None
            return False
        if held is None or held.holder != self._holder:
            self._cursor = self._resume(now)
            self._lease_until = now + LEASE
            self._save_progress()
            self._worker.wait(AGREE_WITHIN)
            return self._settling.progress()[PASSES].holder == self._holder
        return True

    def _save_progress(self) -> None:
        assert self._cursor is not None
        reached = {PASSES: self._cursor.oldest_possible}
        reached |= {schedule.step.name: schedule.since for schedule in self._steps}
        self._settling.advance(
            {name: Progress(self._holder, self._lease_until, at) for name, at in reached.items()}
        )

    def _seconds_until_due(self, now: float) -> float:
        assert self._cursor is not None
        seconds = [math.inf]
        if self._cursor.is_behind:
            seconds.append(0)
        if not self._cursor.is_quiet:
            seconds.append(self._cursor.newest + QUIET + 2 - now)
        seconds += [schedule.due - monotonic() for schedule in self._steps if schedule.is_stale]
        if self._store.shared:
            seconds.append(LOOK_EVERY)
        return min(seconds)


@dataclass
class _Schedule:
    """When a step runs next (`due`, by monotonic()), from which second of insertion on (`since`),
    and whether there is anything for it to do (`is_stale`)."""

    step: Step
    since: float = 0.0
    due: float = -math.inf
    is_stale: bool = False
    failures: int = 0

    def done(self, interval: Interval, *, is_stale: bool) -> None:
        self.since, self.is_stale, self.failures = interval.until, is_stale, 0
        self.due = monotonic() + self.step.every

    def failed(self, error: Exception) -> None:
        pause = min(self.step.every * 2.0**self.failures, LONGEST_STEP_PAUSE)
        self.failures += 1
        self.due = monotonic() + pause
        logger.warning("%s: not computed yet, again in %.0f s: %s", self.step.name, pause, error)
