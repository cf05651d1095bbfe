"""One thread that has whole traces worked out when spans of them have come.

A pass takes the traces with rows since the last one, newest first, and those that have been quiet
for a while once more. How far it has come is in the tables (clew_settler): a restart goes on from
there, and does again what was cut short. Of several processes on one server the one that has the
lease works.
"""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from time import monotonic
from typing import Protocol

from clew.analysis.traces.settling import (
    AGAIN_AT_ONCE,
    LAST_SECOND,
    Chunk,
    Progress,
    Settling,
    Window,
)
from clew.storage import Store

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0  # seconds; only on a server, where others write too
SHORTEST_REST = 3.0  # seconds after a pass: the smallest costs 0.3 s, for its planning,
REST = 4  # or so many times what it took: a fifth of one core at the most
QUIET = 30  # seconds without a new row, after which a trace is looked at once more
SUM_UP_EVERY = 10.0  # seconds: a minute's edges are made from all of its traces each time
AT_ONCE = 40_000  # traces that a pass settles
MOST_ONE_IN = 64
REMEMBERED = 3600  # seconds for which it matters that traces were passed over
LEASE = 120.0  # seconds
AGREE_WITHIN = 0.5  # seconds for others who want the lease to say so
ATTEMPTS = 3  # of a pass, before what fails in it is looked for
MOST_LEFT_OUT = 20  # traces of a chunk
LONGEST_PAUSE = 30.0  # seconds before the next attempt
NO_CHUNK = (1 << 32) - 1
PASS, EDGES, ATTRIBUTES = "pass", "edges", "attributes"  # in clew_settler


class Definitions(Protocol):
    """What else is worked out for whole traces: storage.Occurrences."""

    def log_attributes(self) -> Sequence[str]:
        """The attributes that log records are looked at for."""

    def settle(self, trace_ids: Sequence[str], start: str, end: str, version: int) -> None:
        """Make what is known of these traces again. All their spans lie in `start` … `end`;
        `version` is greater by two or more than that of any call before."""

    def stop(self) -> None:
        """Begin nothing more, and end what is running; for another thread."""


class Settler:
    """`wake` it when spans or log records were inserted; where others insert too, as on a server,
    it looks by itself as well."""

    def __init__(self, store: Store, definitions: Definitions | None = None) -> None:
        self._settling = Settling(store)
        self._definitions = definitions
        self._store = store
        # One process has the embedded engine: what it held before it was killed is its own.
        self._holder = "embedded" if store.embedded else uuid.uuid4().hex
        self._course: Course | None = None
        self._edges_from = 0.0  # what was inserted since then is not in the edges yet,
        self._attributes_from = 0.0  # nor counted in the attributes
        self._summed_up = -math.inf
        self._unsummed = False
        self._until = 0.0
        self._failed = 0  # passes, one after the other
        self._left_out = 0
        self._again: list[str] = []
        self._change = threading.Condition()
        self._woken = True  # what came in before the start is looked at
        self._due = 0.0
        self._not_before = 0.0
        self._held = 0
        self._working = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something was inserted."""
        with self._change:
            self._woken = True
            self._change.notify_all()

    def again(self, trace_ids: Sequence[str]) -> None:
        """These have lost spans. Nothing is kept of this: who ends before they were settled again
        leaves them without a row, as traces that are too large are."""
        with self._change:
            self._again += trace_ids
            self._woken |= bool(trace_ids)
            self._change.notify_all()

    def stop(self) -> None:
        """Begin nothing more, and end the statement that is running."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        with suppress(Exception):  # the engine may be what is in trouble
            self._settling.cancel()
            if self._definitions is not None:
                self._definitions.stop()

    def close(self, seconds: float) -> bool:
        """Whether the thread has ended within that time. What was cut short is done again."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is written from when this is entered until it is left."""
        with self._change:
            self._held += 1
            self._change.wait_for(lambda: not self._working)
        try:
            yield
        finally:
            with self._change:
                self._held -= 1
                self._change.notify_all()

    def _run(self) -> None:
        while self._take_turn():
            began = monotonic()
            try:
                rest = self._pass()
                self._failed = 0
                took = monotonic() - began
                self._due = monotonic() + rest
                self._not_before = monotonic() + max(SHORTEST_REST, REST * took)
            except Exception as error:  # of any kind: the thread goes on
                if self._stopping:
                    break
                self._failed += 1
                pause = min(2.0 ** (self._failed - 1), LONGEST_PAUSE)
                logger.warning("traces are not settled yet, again in %.0f s: %s", pause, error)
                self._due = self._not_before = monotonic() + pause
        if self._store.shared and self._course is not None:
            self._until = 0.0
            with suppress(Exception):  # others wait until the lease has run out
                self._put_down()

    def _take_turn(self) -> bool:
        """Wait until there is something to do; False when it is time to end."""
        with self._change:
            while not self._stopping:
                at = self._not_before if self._woken else max(self._due, self._not_before)
                if at <= monotonic():
                    self._woken = False
                    return True
                self._change.wait(None if at == math.inf else at - monotonic())
        return False

    @contextmanager
    def _step(self) -> Iterator[None]:
        """A piece of work that is not begun while somebody has paused it."""
        with self._change:
            self._change.wait_for(lambda: not self._held or self._stopping)
            if self._stopping:
                raise InterruptedError("the settler is to end")
            self._working = True
        try:
            yield
        finally:
            with self._change:
                self._working = False
                self._change.notify_all()

    def _pass(self) -> float:
        """Settle what there is; in how many seconds to look again though nobody wakes it."""
        settling = self._settling
        now, oldest_insert = settling.clock()
        if not self._has_lease(now):
            return LOOK_EVERY
        if self._course is None:
            self._course = self._resume(now)
        course = self._course
        pending = settling.pending(course.frontier)
        window = course.window(now, pending)
        again = self._again[:AGAIN_AT_ONCE]
        if pending or again or not course.is_quiet:
            with self._step():
                chunks = settling.find(window, again)
            for chunk in chunks:
                with self._step():
                    self._work(chunk)
        else:
            chunks = []
        with self._step():
            self._settle_logged(window, chunks)
            if self._has_lease(now):
                course.done(window, now, oldest_insert)
                self._until = now + LEASE
                self._put_down()
                self._sum_up(course.low)
        with self._change:
            del self._again[: len(again)]
            return 0 if self._again else self._rest(now)

    def _resume(self, now: float) -> Course:
        """Where the last one was, before the last start or on another node."""
        progress = self._settling.progress()
        if PASS in progress:
            low = progress[PASS].settled_until
        else:
            oldest = self._settling.oldest()
            low = now - 1 if oldest is None else oldest
        course = Course(low, self._settling.thinned(now - REMEMBERED))
        edges = progress[EDGES].settled_until if EDGES in progress else low
        self._edges_from = min(edges, course.quiet)
        self._attributes_from = (
            progress[ATTRIBUTES].settled_until if ATTRIBUTES in progress else low
        )
        self._unsummed = True
        return course

    def _work(self, chunk: Chunk) -> None:
        try:
            self._settle(chunk)
        except Exception as error:
            if self._failed < ATTEMPTS - 1 or self._stopping:
                raise
            self._left_out = 0
            self._search(chunk, error)

    def _settle(self, chunk: Chunk) -> None:
        if self._definitions is not None:
            ids = self._settling.trace_ids(chunk)
            version = self._settling.next_version()
            self._definitions.settle(ids, chunk.start, chunk.end, version)
        if chunk.number:
            self._settling.settle(chunk)
            self._unsummed = True

    def _search(self, chunk: Chunk, error: Exception) -> None:
        """Leave out the traces that cannot be settled, found by halves; of many, the rest of the
        chunk with them."""
        ids = self._settling.trace_ids(chunk)
        if not ids:
            return
        if len(ids) == 1 or self._left_out >= MOST_LEFT_OUT:
            self._settle(replace(chunk, number=NO_CHUNK))  # or is it the engine that cannot?
            self._left_out += 1
            some = f"{ids[0]} and {len(ids) - 1} more" if len(ids) > 1 else ids[0]
            logger.error("traces cannot be settled and are left out: %s: %s", some, error)
            return
        for half in chunk.halves():
            try:
                self._settle(half)
            except Exception as again:
                if self._stopping:
                    raise
                self._search(half, again)

    def _settle_logged(self, window: Window, chunks: Sequence[Chunk]) -> None:
        if self._definitions is not None:
            attributes = self._definitions.log_attributes()
            for some in self._settling.logged(window, chunks, attributes):
                version = self._settling.next_version()
                self._definitions.settle(some.trace_ids, some.start, some.end, version)

    def _sum_up(self, low: float) -> None:
        """Make the edges, and count the attributes, of what was inserted before `low`. A row whose
        counting is cut short is not counted again: then it would count twice."""
        if not self._unsummed or monotonic() < self._summed_up + SUM_UP_EVERY:
            return
        assert self._course is not None
        self._settling.make_edges(self._edges_from)
        attributes = self._settling.attributes(self._attributes_from, low)
        # What a later pass settles was inserted since then, or was not quiet for long enough yet.
        self._edges_from = self._course.quiet
        self._attributes_from = max(low, self._attributes_from)
        self._summed_up = monotonic()
        self._unsummed = self._course.last >= low
        self._put_down()
        self._settling.count_attributes(attributes)

    def _has_lease(self, now: float) -> bool:
        """On a server: whether it is this one's turn, which it asks for when it is nobody's."""
        if not self._store.shared:
            return True
        held = self._settling.progress().get(PASS)
        if held is not None and held.holder != self._holder and held.until > now:
            self._course = None
            return False
        if held is None or held.holder != self._holder:
            self._course = self._resume(now)
            self._until = now + LEASE
            self._put_down()
            with self._change:
                self._change.wait_for(lambda: self._stopping, AGREE_WITHIN)
            return self._settling.progress()[PASS].holder == self._holder
        return True

    def _put_down(self) -> None:
        assert self._course is not None
        come = {
            PASS: self._course.low,
            EDGES: self._edges_from,
            ATTRIBUTES: self._attributes_from,
        }
        self._settling.advance(
            {name: Progress(self._holder, self._until, low) for name, low in come.items()}
        )

    def _rest(self, now: float) -> float:
        assert self._course is not None
        rests = [math.inf]
        if self._course.is_behind:
            rests.append(0)
        if not self._course.is_quiet:
            rests.append(self._course.last + QUIET + 2 - now)
        if self._unsummed:
            rests.append(self._summed_up + SUM_UP_EVERY - monotonic())
        if self._store.shared:
            rests.append(LOOK_EVERY)
        return min(rests)


class Course:
    """Which traces come next, by the second in which their rows were inserted. Rows can be seen
    once their insert has ended: `low` is before all that may still appear, `frontier` where the
    passes have got to. `thinned` as Settling has it."""

    def __init__(self, low: float, thinned: tuple[int, float, float] | None = None) -> None:
        self.low = self.frontier = self.last = low
        self.quiet = low - 2 * QUIET
        self.is_behind = False
        self.one_in = 1
        self._lag = math.inf
        self._thinned, self._thinned_since, self._thinned_until = thinned or (1, 0.0, 0.0)

    @property
    def is_quiet(self) -> bool:
        """Whether everything was looked at once more after it was quiet."""
        return self.quiet > self.last

    def window(self, now: float, pending: Sequence[tuple[int, int]]) -> Window:
        """The next window. Where more comes in than is settled, the lag grows: then one trace in
        twice as many is, until that lets up."""
        if pending:
            self.last = max(self.last, pending[-1][0])
        until = self._until(pending)
        lag = now - self.frontier
        if self.is_behind and until < LAST_SECOND and lag > self._lag:
            self.one_in = min(2 * self.one_in, MOST_ONE_IN)
            until = self._until(pending)
        elif 4 * sum(traces for _, traces in pending) < AT_ONCE * self.one_in:
            self.one_in = max(1, self.one_in // 2)
        self.is_behind = until < LAST_SECOND
        self._lag = lag
        if self.one_in > 1:
            self._thinned_since = self._thinned_since or self.low
            self._thinned_until = now
            self._thinned = max(self._thinned, self.one_in)
        elif now > self._thinned_until + REMEMBERED:
            self._thinned, self._thinned_since, self._thinned_until = 1, 0.0, 0.0
        return Window(
            since=self.low,
            until=until,
            quiet_since=self.quiet,
            quiet_until=max(self.quiet, self._reached(until, now) - QUIET),
            one_in=self.one_in,
            thinned=self._thinned,
            thinned_since=self._thinned_since or LAST_SECOND,
            thinned_until=self._thinned_until,
        )

    def done(self, window: Window, now: float, oldest_insert: float) -> None:
        """All that was to be seen in the window is settled."""
        self.frontier = self._reached(window.until, now)
        self.low = min(self.frontier, math.floor(oldest_insert) - 1)
        self.quiet = window.quiet_until

    def _until(self, pending: Sequence[tuple[int, int]]) -> float:
        room = AT_ONCE * self.one_in
        for second, traces in pending:
            if room <= 0:
                return second
            room -= traces
        return LAST_SECOND

    def _reached(self, until: float, now: float) -> float:
        return min(until, math.floor(now) - 1)
