"""Whole traces out of their spans: clew_settled, one row for each trace.

The statements are queries/settling/*.sql; clew.analysis.traces.settler decides when they run. All
of it may be done again, after it failed or was killed at any point: rows are replaced by version.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from clew.analysis import queries
from clew.analysis.traces.times import LAST_SECOND, moment_of, second_of
from clew.analysis.traces.trace_row import Span, row_of
from clew.storage.statements import Statements
from clew.storage.store import Store

# A statement over 100,000 spans in traces of 8 takes 0.5 s of CPU time, a fifth of that for being
# planned, and 100 MB.
CHUNK = 250_000  # spans in a chunk; a trace weighs more the more it has
LARGE = 200  # spans of a trace that is worked out by itself, in Python
REQUEUED_AT_ONCE = 1000  # traces that are named: a server takes 128 KiB for a parameter
MOST = 100_000  # spans of a trace beyond which it is not settled: no row, and nobody waits for it

# Without short circuits the statement over whole traces takes a fifth of the time: with them, what
# a lambda uses is worked out in it again.
SETTINGS = {"short_circuit_function_evaluation": "disable"}

COLUMNS = (
    *("ServiceName", "SpanName", "Timestamp", "TraceId", "Environment", "Duration", "IsError"),
    *("Rank", "Services", "SpanCount"),
    *(f"Path.{name}" for name in ("Service", "Operation", "Kind", "Calls", "Self", "Critical")),
    *(f"Call.{name}" for name in ("Source", "Target", "Type", "Summary", "Duration", "IsError")),
    *("OneIn", "Version", "IsDeleted", "InsertedAt"),
)
STALE = "ServiceName, SpanName, Timestamp, TraceId, Version, IsDeleted"


@dataclass(frozen=True)
class Window:
    """Which traces a pass looks at, by when their rows were inserted (seconds since 1970): those of
    [since, until), and once more those that were quiet since [quiet_since, quiet_until).

    One trace in `one_in` is settled; of those that began before `thinned_until`, what was drawn
    from `thinned_since` on has its weight, and the others are drawn one in `thinned`."""

    since: float
    until: float
    quiet_since: float
    quiet_until: float
    one_in: int = 1
    thinned: int = 1
    thinned_since: float = LAST_SECOND
    thinned_until: float = 0.0


@dataclass(frozen=True)
class Chunk:
    """Traces of a pass that are settled together; number 0 are those that are not drawn.

    `part` of `parts`: of the traces in it, those whose hash says so."""

    pass_: int
    number: int
    traces: int
    spans: int
    most_spans: int
    one_in: int
    start: str
    end: str
    parts: int = 1
    part: int = 0

    @property
    def is_large(self) -> bool:
        return self.most_spans > LARGE

    def halves(self) -> tuple[Chunk, Chunk]:
        return (
            replace(self, parts=2 * self.parts),
            replace(self, parts=2 * self.parts, part=self.part + self.parts),
        )

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "of_pass": self.pass_,
            "chunk": self.number,
            "parts": self.parts,
            "part": self.part,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True)
class Traces:
    """Some traces, and the times between which all of them lie, as queries take them."""

    trace_ids: list[str]
    start: str
    end: str


@dataclass(frozen=True)
class Progress:
    """How far something has come (`settled_until`), and who is at it `until` when: both in seconds
    since 1970."""

    holder: str
    until: float
    settled_until: float


def statements_of(store: Store) -> Statements:
    """The statements of the settler's thread: its own and those of the steps that it runs, so that
    one `cancel` ends whichever is running."""
    return Statements(store, SETTINGS)


class Settling:
    """What the settler does in the tables. For one thread."""

    def __init__(self, store: Store, statements: Statements | None = None) -> None:
        self._store = store
        self._version = 0
        self.statements = statements or statements_of(store)
        self._rows, self._insert = self.statements.rows, self.statements.insert

    def clock(self) -> tuple[float, float]:
        """The database's time, and when the oldest insert that is under way began."""
        (row,) = self._rows(queries.SETTLE_CLOCK)
        return row["now"], row["oldest"]

    def oldest(self) -> float | None:
        """When the oldest traces were inserted; None without any."""
        (row,) = self._rows(queries.SETTLE_OLDEST)
        return row["oldest"] if row["traces"] else None

    def pending(self, since: float) -> list[tuple[int, int]]:
        """By second of their insertion, how many traces came since: about."""
        rows = self._rows(queries.SETTLE_PENDING, since=second_of(since))
        return [(row["second"], row["traces"]) for row in rows]

    def progress(self) -> dict[str, Progress]:
        """By name."""
        rows = self._rows(queries.SETTLE_PROGRESS)
        self._version = max(self._version, *(row["version"] for row in rows), 0)
        return {
            row["name"]: Progress(row["holder"], row["until"], row["settled_until"]) for row in rows
        }

    def advance(self, progress: dict[str, Progress]) -> None:
        """Put down how far it has come."""
        version = self.next_version()
        self._insert(
            "clew_settler",
            queries.SETTLE_ADVANCE,
            rows=[
                (name, at.holder, moment_of(at.until), moment_of(at.settled_until), version)
                for name, at in progress.items()
            ],
        )

    def find(self, window: Window, requeued: Sequence[str] = ()) -> list[Chunk]:
        """Draw up the chunks of a pass, the newest first; `requeued`: further traces, at most
        REQUEUED_AT_ONCE."""
        pass_ = self.next_version()
        with self._store.client() as client:
            client.command("TRUNCATE TABLE otel.clew_settling")
        self._insert(
            "clew_settling",
            queries.SETTLE_DIRTY,
            of_pass=pass_,
            since=second_of(window.since),
            until=second_of(window.until),
            quiet_since=second_of(window.quiet_since),
            quiet_until=second_of(window.quiet_until),
            one_in=window.one_in,
            thinned=window.thinned,
            thinned_since=second_of(window.thinned_since),
            thinned_until=moment_of(window.thinned_until),
            large=LARGE,
            chunk_weight=CHUNK,
            requeued=list(requeued),
        )
        rows = self._rows(queries.SETTLE_CHUNKS, of_pass=pass_)
        return [Chunk(pass_, **row) for row in rows]

    def trace_ids(self, chunk: Chunk) -> list[str]:
        """The ids of the chunk's traces."""
        return [row["trace_id"] for row in self._rows(queries.SETTLE_IDS, **chunk.parameters)]

    def logged(
        self, window: Window, chunks: Sequence[Chunk], attributes: Sequence[str]
    ) -> list[Traces]:
        """The traces with new log records that have one of these attributes, and that are in none
        of the chunks."""
        if not attributes:
            return []
        rows = self._rows(
            queries.SETTLE_LOGGED,
            of_pass=chunks[0].pass_ if chunks else 0,
            since=second_of(window.since),
            until=second_of(window.until),
            names=list(attributes),
        )
        return [Traces(**row) for row in rows]

    def thinned(self, since: float) -> tuple[int, float, float] | None:
        """Whether a trace was settled since that stands for others: for how many at the most, since
        when, and when the last of them began."""
        (row,) = self._rows(queries.SETTLE_THINNED, since=second_of(since))
        return (row["thinned"], row["since"], row["until"]) if row["thinned"] else None

    def settle(self, chunk: Chunk) -> None:
        """Make the rows of the chunk's traces again."""
        if chunk.is_large and chunk.spans > MOST:
            return
        version = self.next_version()
        stale = chunk.parameters | {"version": version}
        self._insert("clew_settled", queries.SETTLE_STALE, STALE, **stale)
        if chunk.is_large:
            self._settle_large(chunk, version + 1)
        else:
            settled = chunk.parameters | {"one_in": chunk.one_in, "version": version}
            self._insert("clew_settled", queries.SETTLE_TRACES, **settled)

    def cancel(self) -> None:
        """Have the statement that is running end; for another thread."""
        self.statements.cancel()

    def _settle_large(self, chunk: Chunk, version: int) -> None:
        spans = [
            Span(**row) for row in self._rows(queries.SETTLE_LARGE, **chunk.parameters, limit=MOST)
        ]
        for trace_id in self.trace_ids(chunk):
            inserted = max(span.inserted for span in spans)
            row = [*row_of(trace_id, spans), chunk.one_in, version, False, inserted]
            with self._store.client() as client:
                client.insert("otel.clew_settled", [row], column_names=COLUMNS)

    def next_version(self) -> int:
        """Greater than any before, even if the clock was set back; the next one is free as well."""
        self._version = max(time.time_ns(), self._version + 2)
        return self._version
