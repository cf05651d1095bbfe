"""Background thread that settles traces: computes per-trace results once new spans have arrived.

A pass settles the traces that got rows since the last pass, the newest first, and a second time the
traces that got no rows for a while. After it, the steps that are due run (clew.analysis.steps). The
progress of the passes and of each step is stored in clew_settler: a restart continues from there
and repeats what was interrupted. Of several processes on one server, the one that holds the lease
settles.
"""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from time import monotonic, process_time
from typing import Protocol

from clew.analysis.steps import Interval, Step
from clew.analysis.traces.cursor import QUIET_SECONDS, SAMPLING_MEMORY, InsertCursor
from clew.analysis.traces.settling import (
    MAX_REQUEUED,
    Chunk,
    SettlerProgress,
    Settling,
    Window,
    settler_statements,
)
from clew.background import Stop, Stopped, Worker
from clew.storage import Store
from clew.storage.statements import Statements

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0  # on a server, where other processes insert too
MIN_REST = 3.0  # seconds after a pass: the smallest pass takes 0.3 s, for planning
WORTHWHILE = 6_000  # traces; after a longer rest than MIN_REST a pass has fewer than these
REST_FACTOR = 4  # of the CPU time that a pass took: at most a fifth of one core
CATCH_UP_FACTOR = 1  # while a backlog is caught up with: at most half a core
LEASE_SECONDS = 120.0
LEASE_CONTEST = 0.5  # seconds in which other processes may claim the same lease
PASS_ATTEMPTS = 3  # before the traces that make a pass fail are searched
MAX_SKIPPED = 20  # traces of a chunk that are searched one by one
MAX_PASS_PAUSE = 30.0  # seconds before the next attempt of a pass,
MAX_STEP_PAUSE = 600.0  # and of a step
SETTLER_ROW = "pass"  # the name of the row of clew_settler that has the progress of passes


class OccurrenceSettler(Protocol):
    """Computes the occurrences of defined transactions, see clew.analysis.Occurrences."""

    def log_attributes(self) -> Sequence[str]:
        """The attributes of log records that definitions refer to."""

    def settle(self, trace_ids: Sequence[str], start: str, end: str, version: int) -> None:
        """Compute the rows of these traces again. All their spans lie between `start` and `end`;
        `version` is greater by two or more than that of any call before. Raises StorageError."""

    def stop(self) -> None:
        """Start no further statement and end the running one. For another thread."""


class Settler:
    """Call `wake` after spans or log records were inserted, once they can be read. On a server,
    where other processes insert too, it also polls. Reads ask for a pass by `settle_now`,
    `inserts`, `is_settled` and `is_behind`: see clew.storage.freshness.

    `rest`: seconds between passes, if nobody asks for one and few traces arrive. `occurrences` are
    settled with the traces. `statements`: the object that the steps use, from
    settler_statements(store). `steps` run in their order."""

    def __init__(
        self,
        store: Store,
        occurrences: OccurrenceSettler | None = None,
        statements: Statements | None = None,
        steps: Sequence[Step] = (),
        rest: float | None = None,
    ) -> None:
        self._store = store
        self._rest = MIN_REST if rest is None else rest
        self._traces_per_second = 0.0  # that arrived before the last pass
        # What was reported, and what is settled of it: nothing is known before the first pass.
        self._inserts, self._settled_inserts = 0, -1
        self._requested_steps: set[str] = set()
        self._statements = statements or settler_statements(store)
        self._settling = Settling(store, self._statements)
        self._occurrences = occurrences
        self._steps = [_Schedule(step) for step in steps]
        # Only one process has the embedded engine, so a lease of a killed process is its own.
        self._holder = "embedded" if store.embedded else uuid.uuid4().hex
        self._lease_until = 0.0
        self._cursor: InsertCursor | None = None
        self._skipped = 0
        self._cpu_before = 0.0  # the process' CPU time when the last pass began
        self._requeued: list[str] = []
        self._lock = threading.Lock()  # of _requeued, _inserts and _requested_steps
        self._worker = Worker(
            "settler",
            self._run,
            "traces are not settled yet",
            pauses=(1.0, MAX_PASS_PAUSE),
            cooldown=self._cooldown,
        )

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def wake(self) -> None:
        """Run a pass soon: rows were inserted."""
        with self._lock:
            self._inserts += 1
        self._worker.wake()

    def inserts(self) -> int:
        """How often `wake` was called: the number of the last insert."""
        return self._inserts

    def is_settled(self, insert: int, steps: frozenset[str] = frozenset()) -> bool:
        """Whether the traces are settled that got rows up to this insert, and the steps that can be
        asked for have run over them."""
        return self._settled_inserts >= insert and all(
            schedule.settled_inserts >= insert
            for schedule in self._steps
            if schedule.step.on_demand and schedule.step.name in steps
        )

    def settled_until(self, steps: frozenset[str] = frozenset()) -> float | None:
        """Up to which second of insertion traces are settled and these steps have run, in seconds
        since 1970; None before the first pass, and where other processes may settle."""
        cursor = self._cursor
        if cursor is None or self._store.shared:
            return None
        ends = [schedule.since for schedule in self._steps if schedule.step.name in steps]
        return min([cursor.oldest_possible, *ends])

    def settle_now(self, steps: frozenset[str] = frozenset()) -> None:
        """Run a pass without a rest before it, and these steps after it."""
        with self._lock:
            self._requested_steps |= steps
        self._worker.wake_now()

    def is_behind(self) -> bool:
        """Whether a pass that is asked for now does not run at once, or not over all traces: the
        settler is paused, failed, or has a backlog, or another process settles."""
        cursor = self._cursor
        is_other = self._store.shared and cursor is None
        is_late = cursor is not None and cursor.is_behind
        is_failing = self._worker.failures > 0 or any(
            schedule.failures for schedule in self._steps if schedule.step.on_demand
        )
        is_held = self._worker.is_paused or self._worker.stopping
        return is_held or is_failing or is_other or is_late

    def requeue(self, trace_ids: Sequence[str]) -> None:
        """Settle these traces again, because they lost spans. The ids are kept in memory only: if
        the process ends before, the traces stay without a row."""
        if trace_ids:
            with self._lock:
                self._requeued += trace_ids
            self._worker.wake()

    def stop(self) -> None:
        """Start no further work, and end the running statement. For another thread."""
        self._worker.stop()
        with suppress(Exception):  # the engine may have failed
            self._statements.cancel()
            if self._occurrences is not None:
                self._occurrences.stop()

    def close(self, seconds: float) -> bool:
        """Stop, and wait up to `seconds` for the thread; returns whether it ended. The next start
        repeats interrupted work."""
        self.stop()
        ended = self._worker.close(seconds)
        if ended and self._store.shared and self._cursor is not None:
            self._lease_until = 0.0
            with suppress(Exception):  # then other processes wait until the lease expires
                self._save_progress()
        return ended

    def paused(self) -> AbstractContextManager[None]:
        """A context in which nothing is written."""
        return self._worker.paused()

    def _run(self, stop: Stop) -> float:
        """Run a pass and the steps that are due; returns the seconds until the next run is due
        without a wake."""
        self._cpu_before = process_time()
        self._store.check_free_space()
        settling = self._settling
        with self._lock:
            inserts, requested_steps = self._inserts, frozenset(self._requested_steps)
            self._requested_steps.clear()
        now, oldest_insert = settling.clock()
        if not self._has_lease(now):
            return POLL_SECONDS
        if self._cursor is None:
            self._cursor = self._resume(now)
        cursor = self._cursor
        pending = settling.pending_traces(cursor.settled_up_to)
        window = cursor.window(now, pending)
        with self._lock:
            requeued = self._requeued[:MAX_REQUEUED]
        chunks: list[Chunk] = []
        has_inserts = inserts > max(self._settled_inserts, 0)
        if pending or requeued or has_inserts or not cursor.is_quiet:
            stop.check()
            chunks = settling.plan_chunks(window, requeued)
            for chunk in chunks:
                stop.check()
                self._settle_or_skip(chunk)
        stop.check()
        self._settle_traces_with_logs(window, chunks)
        self._store.check_free_space()  # a full disk may have swallowed rows: repeat them
        if self._has_lease(now):
            traces = sum(chunk.traces for chunk in chunks)
            self._traces_per_second = traces / max(now - cursor.settled_up_to, 1.0)
            cursor.advance(window, now, oldest_insert)
            if not cursor.is_behind:
                self._settled_inserts = inserts
            self._lease_until = now + LEASE_SECONDS
            self._save_progress()
            self._run_steps(stop, requested_steps)
        with self._lock:
            del self._requeued[: len(requeued)]
            return 0 if self._requeued else self._seconds_until_due(now)

    def _resume(self, now: float) -> InsertCursor:
        """Continue where the last process stopped, on this node or another one."""
        progress = self._settling.progress()
        if SETTLER_ROW in progress:
            start = progress[SETTLER_ROW].settled_until
        else:
            oldest = self._settling.oldest_insert()
            start = now - 1 if oldest is None else oldest
        for schedule in self._steps:
            saved = progress.get(schedule.step.name)
            schedule.since = saved.settled_until if saved else start
            schedule.is_stale = True
        return InsertCursor(start, self._settling.sampling(now - SAMPLING_MEMORY))

    def _settle_or_skip(self, chunk: Chunk) -> None:
        try:
            self._settle(chunk)
        except Exception as error:
            if self._worker.failures < PASS_ATTEMPTS - 1 or self._worker.stopping:
                raise
            self._skipped = 0
            self._skip(chunk, error)

    def _settle(self, chunk: Chunk) -> None:
        if self._occurrences is not None:
            trace_ids = self._settling.trace_ids(chunk)
            version = self._settling.next_version()
            self._occurrences.settle(trace_ids, chunk.start, chunk.end, version)
        if chunk.number:
            self._settling.settle(chunk)
            for schedule in self._steps:
                schedule.is_stale = True

    def _skip(self, chunk: Chunk, error: Exception) -> None:
        """Find the traces that cannot be settled by bisection, and skip them. When there are many,
        skip the rest of the chunk with them."""
        trace_ids = self._settling.trace_ids(chunk)
        if not trace_ids:
            return
        if len(trace_ids) == 1 or self._skipped >= MAX_SKIPPED:
            # A chunk without traces: raises when the engine fails whatever it is given.
            self._settle(chunk.without_traces())
            self._skipped += 1
            more = f" and {len(trace_ids) - 1} more" if len(trace_ids) > 1 else ""
            logger.error(
                "skipping traces that cannot be settled: %s%s: %s", trace_ids[0], more, error
            )
            return
        for half in chunk.halves():
            try:
                self._settle(half)
            except Exception as half_error:
                if self._worker.stopping:
                    raise
                self._skip(half, half_error)

    def _settle_traces_with_logs(self, window: Window, chunks: Sequence[Chunk]) -> None:
        """Settle the occurrences of traces that got log records but no spans."""
        if self._occurrences is not None:
            attributes = self._occurrences.log_attributes()
            for group in self._settling.traces_with_logs(window, chunks, attributes):
                version = self._settling.next_version()
                self._occurrences.settle(group.trace_ids, group.start, group.end, version)

    def _run_steps(self, stop: Stop, requested: frozenset[str]) -> None:
        """Run the steps that are due or were requested. A failed step waits longer each time; the
        others continue."""
        assert self._cursor is not None
        until = self._cursor.oldest_possible
        for schedule in self._steps:
            is_requested = schedule.step.on_demand and schedule.step.name in requested
            if not (is_requested or (schedule.is_stale and monotonic() >= schedule.due)):
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
                schedule.record_failure(error)
                continue
            # Rows inserted later are settled later, so the step has more to do then.
            schedule.record_run(interval, is_stale=self._cursor.newest >= until)
            if schedule.step.on_demand:
                schedule.settled_inserts = self._settled_inserts
            self._save_progress()

    def _cooldown(self, seconds: float) -> float:
        """The rest after a pass that took so long. Where the engine is this process its CPU time
        counts: while others want the CPU too, a pass takes long, and costs no more."""
        if self._store.embedded:
            seconds = min(seconds, process_time() - self._cpu_before)
        if self._cursor is not None and self._cursor.is_catching_up:
            return CATCH_UP_FACTOR * seconds
        is_late = self._cursor is not None and self._cursor.is_behind
        gathering = WORTHWHILE / max(self._traces_per_second, 1e-3)
        rest = MIN_REST if is_late else max(MIN_REST, min(self._rest, gathering))
        return max(rest, REST_FACTOR * seconds)

    def _has_lease(self, now: float) -> bool:
        """Whether this process may settle: on a server, only the holder of the lease may. Claims
        the lease when no process holds it."""
        if not self._store.shared:
            return True
        lease = self._settling.progress().get(SETTLER_ROW)
        if lease is not None and lease.holder != self._holder and lease.lease_until > now:
            self._cursor = None
            return False
        if lease is None or lease.holder != self._holder:
            self._cursor = self._resume(now)
            self._lease_until = now + LEASE_SECONDS
            self._save_progress()
            self._worker.wait(LEASE_CONTEST)
            return self._settling.progress()[SETTLER_ROW].holder == self._holder
        return True

    def _save_progress(self) -> None:
        assert self._cursor is not None
        settled_until = {SETTLER_ROW: self._cursor.oldest_possible}
        settled_until |= {schedule.step.name: schedule.since for schedule in self._steps}
        self._settling.save_progress(
            {
                name: SettlerProgress(self._holder, self._lease_until, until)
                for name, until in settled_until.items()
            }
        )

    def _seconds_until_due(self, now: float) -> float:
        assert self._cursor is not None
        seconds = [math.inf]
        if self._cursor.is_behind:
            seconds.append(0)
        if not self._cursor.is_quiet:
            seconds.append(self._cursor.newest + QUIET_SECONDS + 2 - now)
        seconds += [schedule.due - monotonic() for schedule in self._steps if schedule.is_stale]
        if self._store.shared:
            seconds.append(POLL_SECONDS)
        return min(seconds)


@dataclass
class _Schedule:
    """When a step runs next: not before `due` (of monotonic()), and only when `is_stale`, that is
    when it has work. `since`: the second of insertion from which on it has work."""

    step: Step
    since: float = 0.0
    due: float = -math.inf
    is_stale: bool = False
    failures: int = 0
    settled_inserts: int = -1  # it has run over the traces of so many inserts, if it is on demand

    def record_run(self, interval: Interval, *, is_stale: bool) -> None:
        self.since, self.is_stale, self.failures = interval.until, is_stale, 0
        self.due = monotonic() + self.step.every

    def record_failure(self, error: Exception) -> None:
        pause = min(self.step.every * 2.0**self.failures, MAX_STEP_PAUSE)
        self.failures += 1
        self.due = monotonic() + pause
        logger.warning("step %s failed, retrying in %.0f s: %s", self.step.name, pause, error)
