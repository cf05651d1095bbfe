"""The ledger: what became of everything that was received.

    received = stored + rejected + pending

holds at every moment: what is pending is known here, from the first sync of a segment until its
rows are in otel.clew_ledger; and an answer takes from there only segments that are not known here.
A segment's file is removed once its rows are entered, so the equation outlasts a crash.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from clew.background import Stop, Worker
from clew.collector.segment import Segment
from clew.collector.spool import Ids
from clew.storage import LedgerRow, Stored
from clew.storage.ledger import ALIVE, PENDING, RECEIVED, REFUSED, STORED, UNREADABLE

logger = logging.getLogger(__name__)

GATHER = 1.0  # seconds in which finished segments gather, so that one insert enters them all
HEARTBEAT = 60.0  # seconds between two rows that say that the collector runs
LONGEST_PAUSE = 5.0


class Ledger:
    """The collector's side of it. `enter` puts rows into the table (storage.Ingest)."""

    def __init__(self, enter: Callable[[list[LedgerRow]], None]) -> None:
        self._enter = enter
        self._ids = Ids()
        self._pending: dict[int, LedgerRow] = {}
        self._known: dict[int, list[LedgerRow]] = {}  # final, but not entered
        self._files: dict[int, Segment] = {}
        self._tally: Counter[tuple[str, str]] = Counter()
        self._tally_id, self._tally_began = 0, 0.0
        self._totals: Counter[tuple[str, str]] = Counter()
        self._last_beat = 0.0
        self._lock = threading.Lock()
        self._worker = Worker(
            "ledger",
            self._run,
            "the ledger cannot be written yet",
            pauses=(2 * GATHER, LONGEST_PAUSE),
            gather=GATHER,
            finish=True,
        )

    def start(self) -> None:
        self._worker.start()

    def close(self, seconds: float) -> None:
        """Enter what is known, within that time; what is not entered is found at the next start."""
        self._worker.close(seconds)

    def received(self, signal: str, segment: int, items: int, began: float) -> None:
        """So many more items are in that segment, on the disk."""
        with self._lock:
            self._totals[signal, RECEIVED] += items
            before = self._pending.get(segment)
            items += before.items if before else 0
            self._pending[segment] = LedgerRow(began, signal, segment, "", PENDING, items)

    def loaded(self, segment: Segment, stored: Mapping[str, Stored]) -> None:
        """The segment is in the tables for certain: its file goes once this is in the ledger."""
        rows = [(RECEIVED, "", segment.received, 0)]
        rows += [(STORED, name, each.items, each.late) for name, each in stored.items()]
        rows += [(reason, "", items, 0) for reason, items in segment.rejected.items()]
        expired = segment.items - sum(each.items for each in stored.values())
        if expired:  # its rows were stored, and gone again before this could be said
            rows.append((STORED, "", expired, 0))
        with self._lock:
            for fate, _, items, _ in rows[1:]:
                self._totals[segment.signal, fate] += items
            self._pending.pop(segment.id, None)
            self._files[segment.id] = segment
            self._known[segment.id] = [
                LedgerRow(segment.began, segment.signal, segment.id, service, fate, items, late)
                for fate, service, items, late in rows
            ]
        self._worker.wake()

    def rejected(self, signal: str, reasons: Mapping[str, int]) -> None:
        """Items of a request that was accepted in part."""
        rejected = {(signal, reason): items for reason, items in reasons.items()}
        self._count({(signal, RECEIVED): sum(reasons.values()), **rejected})

    def unreadable(self, signal: str) -> None:
        """A request that is no OTLP."""
        self._count({(signal, UNREADABLE): 1})

    def refused(self, signal: str) -> None:
        """A request that was told to come again later."""
        self._count({(signal, REFUSED): 1})

    def pending(self) -> list[LedgerRow]:
        """What the table does not say yet, or may not: every segment that is known here."""
        with self._lock:
            return [
                *self._pending.values(),
                *(row for rows in self._known.values() for row in rows),
                *self._tallied(),
            ]

    def waiting(self) -> list[LedgerRow]:
        """The segments that are not in the tables."""
        with self._lock:
            return list(self._pending.values())

    def oldest(self, now: float) -> float:
        """For how many seconds the oldest of them has been waiting."""
        return max((now - row.received_at for row in self.waiting()), default=0.0)

    def totals(self) -> dict[tuple[str, str], int]:
        """Items by signal and fate, since this process started."""
        with self._lock:
            return dict(self._totals)

    def _count(self, items: Mapping[tuple[str, str], int]) -> None:
        with self._lock:
            if not self._tally:
                self._tally_id, self._tally_began = self._ids.next(), time.time()
            self._tally.update(items)
            self._totals.update(items)
        self._worker.wake()

    def _tallied(self) -> list[LedgerRow]:
        return [
            LedgerRow(self._tally_began, signal, self._tally_id, "", fate, items)
            for (signal, fate), items in self._tally.items()
        ]

    def _run(self, _: Stop) -> float:
        """Enter what is known; seconds until the next heartbeat."""
        self._flush()
        return max(0.0, self._last_beat + HEARTBEAT - time.monotonic())

    def _flush(self) -> None:
        with self._lock:
            now = time.monotonic()
            if not self._last_beat or now - self._last_beat >= HEARTBEAT:
                self._last_beat = now
                beat = self._ids.next()
                self._known[beat] = [LedgerRow(time.time(), "", beat, "", ALIVE, 1)]
            if self._tally:
                self._known[self._tally_id] = self._tallied()
                self._tally.clear()
            entering = dict(self._known)
        self._enter([row for rows in entering.values() for row in rows])
        with self._lock:
            for segment in entering:
                del self._known[segment]
            files = [self._files.pop(each) for each in entering if each in self._files]
        for file in files:
            file.drop()
