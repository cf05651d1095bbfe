"""The ledger: what became of every item that was received.

    received = stored + rejected + pending

holds at every moment. From a segment's first sync until its rows are in otel.clew_ledger, the
segment is known here; a read of the ledger takes from the table only segments that are not. A
segment's file is removed after its rows are written, so the equation also holds after a crash.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from clew.background import Stop, Worker
from clew.collector.segment import Segment
from clew.collector.spool import SegmentIds
from clew.storage import LedgerRow, StoredItems
from clew.storage.ledger import (
    ALIVE,
    MENDED,
    PENDING,
    RECEIVED,
    REDACTED,
    REFUSED,
    STORED,
    UNREADABLE,
)

logger = logging.getLogger(__name__)

GATHER = 1.0  # seconds in which rows gather, so that one insert writes them all
HEARTBEAT = 60.0  # seconds between two rows that say that the collector runs
LONGEST_PAUSE = 5.0  # seconds between attempts


class Ledger:
    """The ledger's rows that are not in the table yet; a thread writes them.

    `write` puts rows into the table (storage.Ingest.write_ledger). Methods may be called from any
    thread; signals are traces, logs and metrics."""

    def __init__(self, write: Callable[[list[LedgerRow]], None]) -> None:
        self._write = write
        self._ids = SegmentIds()
        self._pending: dict[int, LedgerRow] = {}
        self._unwritten: dict[int, list[LedgerRow]] = {}  # final rows, by segment
        self._files: dict[int, Segment] = {}  # to remove once their rows are written
        self._tally: Counter[tuple[str, str]] = Counter()
        self._tally_id, self._tally_start = 0, 0.0
        self._totals: Counter[tuple[str, str]] = Counter()
        self._last_heartbeat = 0.0
        self._lock = threading.Lock()
        self._worker = Worker(
            "ledger",
            self._run,
            "the ledger cannot be written yet",
            pauses=(2 * GATHER, LONGEST_PAUSE),
            gather=GATHER,
            drain=True,
        )

    def start(self) -> None:
        self._worker.start()

    def close(self, seconds: float) -> None:
        """Write what is known. A segment whose rows are not written in time is found again at the
        next start."""
        self._worker.close(seconds)

    def add_received(self, signal: str, segment: int, items: int, received_at: float) -> None:
        """`items` more items are on disk, in this segment. `received_at` is the time of the
        segment's first request, in seconds since 1970."""
        with self._lock:
            self._totals[signal, RECEIVED] += items
            row = self._pending.get(segment)
            items += row.items if row else 0
            self._pending[segment] = LedgerRow(received_at, signal, segment, "", PENDING, items)

    def add_loaded(self, segment: Segment, stored: Mapping[str, StoredItems]) -> None:
        """The whole segment is in the tables; `stored` has its items by service. Its file is
        removed once the ledger's rows are written."""
        rows = [(RECEIVED, "", segment.received, 0)]
        rows += [(STORED, service, count.items, count.late) for service, count in stored.items()]
        rows += [(reason, "", items, 0) for reason, items in segment.rejected.items()]
        expired = segment.items - sum(count.items for count in stored.values())
        if expired:  # stored, and deleted by retention before they were counted
            rows.append((STORED, "", expired, 0))
        with self._lock:
            for fate, _, items, _ in rows[1:]:
                self._totals[segment.signal, fate] += items
            self._pending.pop(segment.id, None)
            self._files[segment.id] = segment
            self._unwritten[segment.id] = [
                LedgerRow(
                    segment.received_at, segment.signal, segment.id, service, fate, items, late
                )
                for fate, service, items, late in rows
            ]
        self._worker.wake()

    def count_rejected(self, signal: str, reasons: Mapping[str, int]) -> None:
        """Items that were rejected from one request, by reason."""
        rejected = {(signal, reason): items for reason, items in reasons.items()}
        self._count({(signal, RECEIVED): sum(reasons.values()), **rejected})

    def count_mended(self, signal: str, items: int) -> None:
        """Items that were mended, of one request; they are also counted as received."""
        self._count({(signal, MENDED): items})

    def count_redacted(self, signal: str, items: int) -> None:
        """Items from which secrets were removed, of one request; they are also counted as
        received."""
        self._count({(signal, REDACTED): items})

    def count_unreadable(self, signal: str) -> None:
        """A request that was refused for good."""
        self._count({(signal, UNREADABLE): 1})

    def count_refused(self, signal: str) -> None:
        """A request that was refused for now."""
        self._count({(signal, REFUSED): 1})

    def pending(self) -> list[LedgerRow]:
        """The rows of every segment that is known here, which the table may not have yet."""
        with self._lock:
            return [
                *self._pending.values(),
                *(row for rows in self._unwritten.values() for row in rows),
                *self._tally_rows(),
            ]

    def pending_segments(self) -> list[LedgerRow]:
        """One row for each segment that is not in the tables."""
        with self._lock:
            return list(self._pending.values())

    def oldest_age(self, now: float) -> float:
        """The age in seconds of the oldest pending segment; 0 if there is none."""
        return max((now - row.received_at for row in self.pending_segments()), default=0.0)

    def totals(self) -> dict[tuple[str, str], int]:
        """Items by signal and fate since the process started; requests where there are no items."""
        with self._lock:
            return dict(self._totals)

    def _count(self, items: Mapping[tuple[str, str], int]) -> None:
        with self._lock:
            if not self._tally:
                self._tally_id, self._tally_start = self._ids.next(), time.time()
            self._tally.update(items)
            self._totals.update(items)
        self._worker.wake()

    def _tally_rows(self) -> list[LedgerRow]:
        return [
            LedgerRow(self._tally_start, signal, self._tally_id, "", fate, items)
            for (signal, fate), items in self._tally.items()
        ]

    def _run(self, _: Stop) -> float:
        """Write the rows. Returns the seconds until the next heartbeat."""
        self._flush()
        return max(0.0, self._last_heartbeat + HEARTBEAT - time.monotonic())

    def _flush(self) -> None:
        with self._lock:
            now = time.monotonic()
            if not self._last_heartbeat or now - self._last_heartbeat >= HEARTBEAT:
                self._last_heartbeat = now
                heartbeat = self._ids.next()
                row = LedgerRow(time.time(), "", heartbeat, "", ALIVE, 1)
                self._unwritten[heartbeat] = [row]
            if self._tally:
                self._unwritten[self._tally_id] = self._tally_rows()
                self._tally.clear()
            batch = dict(self._unwritten)
        self._write([row for rows in batch.values() for row in rows])
        with self._lock:
            for segment in batch:
                del self._unwritten[segment]
            files = [self._files.pop(segment) for segment in batch if segment in self._files]
        for file in files:
            file.remove()
