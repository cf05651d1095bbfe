"""Reads see what was received before them: they ask for a catch-up, and wait for it a little.

To seal a segment, to load it and to settle traces costs nearly the same for little as for much. So
while nobody reads it happens seldom, and a read asks for what it needs. `Freshness` knows what is
pending and runs the catch-ups, one at a time; collector and settler do the work.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic, process_time, sleep, time
from typing import Protocol

from clew.storage.ledger import LedgerRow

logger = logging.getLogger(__name__)

WAIT, MAX_WAIT = 0.3, 10.0  # seconds that an answer waits: by default, at most
GATHER = 0.01  # seconds before a catch-up begins: a page asks for several answers at a time
LONGEST = 30.0  # seconds until a catch-up is given up
SLOW = 2.0  # seconds; for a catch-up that takes longer nobody waits
POLL = 0.01  # seconds
SHARE, RESERVE = 0.05, 2.0  # of a core on average, and seconds of CPU time in hand
DEBT = 3.0  # seconds at most: what a minute saves
LATELY = 10.0  # seconds since a read was asked


@dataclass(frozen=True)
class Reads:
    """What an answer is computed from: the rows of these signals, and with `settled` also the
    settled traces, with these steps over them. Without signals it is never pending."""

    signals: frozenset[str] = frozenset()
    settled: bool = False
    steps: frozenset[str] = frozenset()

    def __or__(self, other: Reads) -> Reads:
        return Reads(
            self.signals | other.signals, self.settled or other.settled, self.steps | other.steps
        )


EVERYTHING = Reads(frozenset(("traces", "logs", "metrics")), settled=True)


@dataclass(frozen=True)
class Pending:
    """What an answer may lack. `items`: how many were received before it was asked and are not in
    the tables; None where that is unknown. `settled_until`: up to when stored traces are settled,
    in seconds since 1970, at most the time of the question; None where only the tables say it."""

    items: int | None = None
    settled_until: float | None = None


class Source(Protocol):
    """A receiver of telemetry: the collector of this process."""

    def accepts(self) -> bool:
        """Whether it accepts requests."""

    def pending(self) -> list[LedgerRow]:
        """The ledger's rows of what was received, if they are not in its table yet."""

    def pending_segments(self) -> list[LedgerRow]:
        """One row for each segment that is not in the tables, with its items so far."""

    def seal(self, signal: str, segment: int) -> None:
        """Load the signal's segments up to this one without delay."""

    def is_behind(self) -> bool:
        """Whether a segment that is sealed now would not be loaded at once."""


class Settling(Protocol):
    """The settler of this process. An insert that is reported to it has a number, from 1."""

    def inserts(self) -> int:
        """The number of the last insert."""

    def is_settled(self, insert: int, steps: frozenset[str]) -> bool:
        """Whether all rows up to this insert are settled, and the steps have run over them."""

    def settled_until(self, steps: frozenset[str]) -> float | None:
        """Up to which second of insertion traces are settled, and the steps have run over them, in
        seconds since 1970; None if that is unknown."""

    def settle_now(self, steps: frozenset[str]) -> None:
        """Run a pass without delay, and these steps."""

    def is_behind(self) -> bool:
        """Whether a pass that is asked for now would not be run at once."""


class Budget:
    """CPU time that may be spent: a `share` of a core on average, with so many seconds in hand.
    `now` is the time in seconds, by any clock."""

    def __init__(self, now: float, share: float = SHARE, reserve: float = RESERVE) -> None:
        self._share = share
        self._reserve = reserve
        self._in_hand = reserve
        self._counted_at = now

    def seconds_until_available(self, now: float) -> float:
        """0 while something is in hand."""
        self._earn(now)
        return max(0.0, -self._in_hand / self._share)

    def spend(self, seconds: float, now: float) -> None:
        """More may be spent than is in hand, but debts beyond DEBT are forgotten."""
        self._earn(now)
        self._in_hand = max(self._in_hand - seconds, -DEBT)

    def _earn(self, now: float) -> None:
        earned = self._share * (now - self._counted_at)
        self._in_hand, self._counted_at = min(self._in_hand + earned, self._reserve), now


@dataclass
class _Question:
    """An answer that waits. `marks`: by signal, the last segment when it was asked. `urgent`: it
    does not wait for the budget. `insert`: the insert that it needs settled, once all of its
    segments are in the tables."""

    reads: Reads
    marks: Mapping[str, int]
    urgent: bool
    insert: int | None = None
    answered: Future[None] = field(default_factory=Future)

    def release(self) -> None:
        if not self.answered.done() and self.answered.set_running_or_notify_cancel():
            self.answered.set_result(None)


class Freshness:
    """Tells readers which received telemetry is not in the tables yet, and brings it there.

    Without a source, as in `clew serve`, nothing is known to be pending. Methods may be called from
    any thread."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._settling: Settling | None = None
        self._change = threading.Condition()
        self._waiting: list[_Question] = []
        self._budget = Budget(monotonic())
        self._began = math.inf  # when the running catch-up began
        self._asked_at = -math.inf
        self._closing = False

    def register(self, source: Source) -> None:
        """Add a source."""
        self._sources.append(source)

    def register_settler(self, settling: Settling) -> None:
        """Say who settles traces; without one, answers do not wait for them."""
        self._settling = settling

    @contextmanager
    def running(self) -> Iterator[None]:
        """A context in which catch-ups are run, in a thread."""
        thread = threading.Thread(target=self._run, name="freshness", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.close()
            thread.join()

    def close(self) -> None:
        """Run no more catch-ups, and have nobody wait for one."""
        with self._change:
            self._closing = True
            self._change.notify_all()

    def accepts(self) -> bool:
        """Whether every source accepts requests."""
        return all(source.accepts() for source in self._sources)

    def pending(self) -> list[LedgerRow]:
        """The ledger's rows of all sources that are not in its table yet."""
        return [row for source in self._sources for row in source.pending()]

    async def catch_up(self, reads: Reads, within: float = WAIT, urgent: bool = False) -> Pending:
        """Have everything loaded, and settled, that the answer is computed from and that was
        received before this call. Waits at most so many seconds, and says what is pending then; the
        catch-up goes on. With 0 it only says it.

        It does not wait if that would be in vain: during a backup or a reload, while segments wait
        for the loader, and, unless it is `urgent`, while more CPU time was spent on catch-ups than
        they may use."""
        asked_at, self._asked_at = time(), monotonic()
        question = self._question(reads, urgent)
        if within > 0 and self._ask(question, within):
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(question.answered), within)
        return self._pending(question, asked_at)

    def is_read(self) -> bool:
        """Whether somebody reads: a read was asked in the last LATELY seconds."""
        return monotonic() - self._asked_at < LATELY

    def catch_up_everything(self, within: float) -> None:
        """The same for all that was received, without a limit on CPU time. Returns after at most
        so many seconds."""
        question = self._question(EVERYTHING, urgent=True)
        if self._ask(question, within):
            with suppress(TimeoutError):
                question.answered.result(within)

    def _question(self, reads: Reads, urgent: bool = False) -> _Question:
        marks = {signal: self._last_segment(signal) for signal in reads.signals}
        question = _Question(reads, marks, urgent)
        self._find_insert(question)
        return question

    def _ask(self, question: _Question, within: float) -> bool:
        """Have it caught up. Returns whether to wait for it."""
        if self._is_fresh(question) or self._is_behind(question.reads):
            return False
        now = monotonic()
        with self._change:
            if self._closing:
                return False
            self._waiting.append(question)
            self._change.notify_all()
            delay = 0.0 if question.urgent else self._budget.seconds_until_available(now)
            return delay < within and now - self._began < SLOW

    def _pending(self, question: _Question, asked_at: float) -> Pending:
        if not self._sources:
            return Pending()
        self._find_insert(question)
        reads, settling = question.reads, self._settling
        settled_until = None
        if reads.settled and settling is not None:
            is_fresh = self._is_fresh(question)
            settled_until = asked_at if is_fresh else settling.settled_until(reads.steps)
        return Pending(self._items(question), settled_until)

    def _find_insert(self, question: _Question) -> None:
        """Every row of a segment that is in the tables was reported to the settler before."""
        settling = self._settling
        if question.insert is None and settling is not None and not self._items(question):
            question.insert = settling.inserts()

    def _last_segment(self, signal: str) -> int:
        return max(
            (row.segment for row in self._pending_segments() if row.signal == signal), default=0
        )

    def _items(self, question: _Question) -> int:
        """How many of them are not in the tables."""
        return sum(
            row.items
            for row in self._pending_segments()
            if row.segment <= question.marks.get(row.signal, 0)
        )

    def _pending_segments(self) -> Iterator[LedgerRow]:
        return (row for source in self._sources for row in source.pending_segments())

    def _is_fresh(self, question: _Question) -> bool:
        if self._items(question):
            return False
        reads, settling = question.reads, self._settling
        if not reads.settled or settling is None:
            return True
        return question.insert is not None and settling.is_settled(question.insert, reads.steps)

    def _is_behind(self, reads: Reads) -> bool:
        settling = self._settling
        settler_is_behind = reads.settled and settling is not None and settling.is_behind()
        return settler_is_behind or any(source.is_behind() for source in self._sources)

    def _run(self) -> None:
        while questions := self._next_questions():
            spent = process_time()
            try:
                self._serve(questions)
            except Exception:
                logger.exception("a catch-up failed")
            with self._change:
                self._began = math.inf
                self._budget.spend(process_time() - spent, monotonic())
            for question in questions:
                question.release()

    def _next_questions(self) -> Sequence[_Question]:
        """All that wait, once there are any and their catch-up can be paid; none when closed."""
        with self._change:
            while not self._closing:
                delay = self._budget.seconds_until_available(monotonic())
                is_urgent = any(question.urgent for question in self._waiting)
                if self._waiting and (is_urgent or not delay):
                    self._began = monotonic()
                    break
                self._change.wait(delay if self._waiting else None)
        sleep(GATHER)
        with self._change:
            questions, self._waiting = self._waiting, []
            if not self._closing:
                return questions
        for question in questions:
            question.release()
        return ()

    def _serve(self, questions: Sequence[_Question]) -> None:
        """Catch up for all of them at once."""
        reads = Reads()
        for question in questions:
            reads |= question.reads
        until = monotonic() + LONGEST
        last = self._question(Reads(reads.signals))
        for signal, segment in last.marks.items():
            for source in self._sources:
                source.seal(signal, segment)
        if not self._wait(lambda: not self._items(last), until):
            return
        for question in questions:
            self._find_insert(question)
            if not question.reads.settled:
                question.release()
        settling = self._settling
        if reads.settled and settling is not None:
            insert = settling.inserts()
            if not settling.is_settled(insert, reads.steps):
                settling.settle_now(reads.steps)
                self._wait(lambda: settling.is_settled(insert, reads.steps), until, settling)

    def _wait(
        self, is_complete: Callable[[], bool], until: float, settling: Settling | None = None
    ) -> bool:
        """Wait until it is complete, and return whether it is. Not while work is behind, and not
        after `until`."""
        blocking = [settling] if settling is not None else self._sources
        while not is_complete():
            behind = any(part.is_behind() for part in blocking)
            if behind or self._closing or monotonic() > until:
                return False
            sleep(POLL)
        return True
