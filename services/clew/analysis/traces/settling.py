"""Computes whole traces from their spans: clew_settled, one row for each trace.

The statements are queries/settling/*.sql; clew.analysis.traces.settler decides when they run. All
of them may be repeated after a failure or a kill: rows are replaced by version.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from clew.analysis import queries
from clew.analysis.native_rows import native_rows
from clew.analysis.traces import few
from clew.analysis.traces.times import LAST_SECOND, datetime64_text, datetime_text, milliseconds
from clew.analysis.traces.trace_row import SpanRow
from clew.storage.statements import Statements
from clew.storage.store import Store

# A statement over 100,000 spans in traces of 8 spans takes 100 MB and 0.5 s of CPU time, a fifth of
# it for planning.
CHUNK_WEIGHT = 250_000  # spans of a chunk; the weight of a trace grows with the square of its spans
LARGE_TRACE = 200  # spans; a larger trace is computed by itself, in Python
# A pass over up to so many traces with so many spans is computed in Python, and a larger one by the
# statements (ADR 0031).
FEW_TRACES, FEW_SPANS = 500, 2000
MAX_TRACE = 100_000  # spans; a larger trace is not settled and has no row
NO_CHUNK = (1 << 32) - 1  # the number of none
MAX_REQUEUED = 1000  # trace ids in one statement: a server takes 128 KiB for a parameter

# With short circuits, the engine evaluates again inside a lambda what the lambda uses: the
# statement over whole traces takes five times as long.
SETTINGS = {"short_circuit_function_evaluation": "disable"}

PROGRESS_COLUMNS = {
    **dict.fromkeys(("Name", "Holder"), "String"),
    **dict.fromkeys(("Until", "SettledUntil"), "DateTime64(3)"),
    "Version": "UInt64",
}
CANCELLING_COLUMNS = "ServiceName, SpanName, Timestamp, TraceId, Version, IsDeleted"


class Sampling(NamedTuple):
    """A time of overload, in which only one trace in up to `one_in` was settled: from the second of
    insertion `since`, for traces that started before `until`, both in seconds since 1970."""

    one_in: int
    since: float
    until: float


NO_SAMPLING = Sampling(1, LAST_SECOND, 0.0)


@dataclass(frozen=True)
class Window:
    """The traces of a pass, by when their rows were inserted (seconds since 1970): those of [since,
    until), and a second time those of [quiet_since, quiet_until), which got no rows since.

    One trace in `one_in` is settled. After a `sampling`, traces that were settled in it keep their
    weight, and of the other traces that started in it one in `sampling.one_in` is settled.

    `traces`: how many are settled, approximately; None if that is unknown."""

    since: float
    until: float
    quiet_since: float
    quiet_until: float
    one_in: int = 1
    sampling: Sampling | None = None
    traces: int | None = None

    @property
    def is_small(self) -> bool:
        """Whether Python may settle the traces: few of them, each of which counts for itself."""
        is_sampled = self.one_in > 1 or self.sampling is not None
        return self.traces is not None and self.traces <= FEW_TRACES and not is_sampled


@dataclass(frozen=True)
class Chunk:
    """Traces of a pass that are settled together. Number 0 holds the traces that sampling skips.

    `version` is that of the pass. `most_spans` is the span count of the largest trace. `start` and
    `end` are the times between which the traces lie. `part` of `parts`: only the traces whose hash
    falls into this part. `trace_ids`: the traces, if they are settled in Python; else they are in
    the table clew_settling."""

    version: int
    number: int
    traces: int
    spans: int
    most_spans: int
    one_in: int
    start: str
    end: str
    parts: int = 1
    part: int = 0
    trace_ids: tuple[str, ...] | None = None

    @property
    def is_large(self) -> bool:
        """Whether it is a single large trace."""
        return self.most_spans > LARGE_TRACE

    def halves(self) -> tuple[Chunk, Chunk]:
        """Two chunks, each with half of the traces."""
        if self.trace_ids is not None:
            half = len(self.trace_ids) // 2
            return (
                replace(self, trace_ids=self.trace_ids[:half]),
                replace(self, trace_ids=self.trace_ids[half:]),
            )
        return (
            replace(self, parts=2 * self.parts),
            replace(self, parts=2 * self.parts, part=self.part + self.parts),
        )

    def without_traces(self) -> Chunk:
        """A chunk like this one that has no traces."""
        if self.trace_ids is not None:
            return replace(self, trace_ids=())
        return replace(self, number=NO_CHUNK)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by which a statement selects the traces."""
        if self.trace_ids is not None:
            return {"trace_ids": list(self.trace_ids), "start": self.start, "end": self.end}
        return {
            "of_pass": self.version,
            "chunk": self.number,
            "parts": self.parts,
            "part": self.part,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True)
class TraceGroup:
    """Trace ids, and the times between which all of these traces lie, as text for a query."""

    trace_ids: list[str]
    start: str
    end: str


@dataclass(frozen=True)
class SettlerProgress:
    """A row of clew_settler: inserts up to `settled_until` are done, and `holder` has the lease
    until `lease_until`. Both are seconds since 1970."""

    holder: str
    lease_until: float
    settled_until: float


def settler_statements(store: Store) -> Statements:
    """The statements of the settler's thread. The settler and its steps share one object, so that
    one `cancel` ends whichever statement is running."""
    return Statements(store, SETTINGS)


class Settling:
    """The settler's work in the tables. For one thread. All methods raise StorageError."""

    def __init__(self, store: Store, statements: Statements | None = None) -> None:
        self._store = store
        self._version = 0
        self.statements = statements or settler_statements(store)
        self._rows, self._insert = self.statements.rows, self.statements.insert

    def clock(self) -> tuple[float, float]:
        """The database's time, and the start of the oldest insert that is running; both in seconds
        since 1970."""
        (row,) = self._rows(queries.SETTLE_CLOCK)
        return row["now"], row["oldest"]

    def oldest_insert(self) -> float | None:
        """When the oldest stored trace was inserted; None without traces."""
        (row,) = self._rows(queries.SETTLE_OLDEST)
        return row["oldest"] if row["traces"] else None

    def pending_traces(self, since: float) -> list[tuple[int, int]]:
        """By second of insertion since then, approximately how many traces got rows."""
        rows = self._rows(queries.SETTLE_PENDING, since=datetime_text(since))
        return [(row["second"], row["traces"]) for row in rows]

    def progress(self) -> dict[str, SettlerProgress]:
        """The rows of clew_settler, by name."""
        rows = self._rows(queries.SETTLE_PROGRESS)
        self._version = max(self._version, *(row["version"] for row in rows), 0)
        return {
            row["name"]: SettlerProgress(row["holder"], row["until"], row["settled_until"])
            for row in rows
        }

    def save_progress(self, progress: dict[str, SettlerProgress]) -> None:
        """Write rows of clew_settler, by name."""
        version = self.next_version()
        rows = [
            (
                name,
                row.holder,
                milliseconds(row.lease_until),
                milliseconds(row.settled_until),
                version,
            )
            for name, row in progress.items()
        ]
        self.statements.insert_rows(native_rows("clew_settler", PROGRESS_COLUMNS, rows))

    def plan_chunks(self, window: Window, requeued: Sequence[str] = ()) -> list[Chunk]:
        """Divide the traces of a pass into chunks; returns them, the newest first. `requeued`: the
        ids of further traces, at most MAX_REQUEUED."""
        version = self.next_version()
        selection: dict[str, Any] = {
            "since": datetime_text(window.since),
            "until": datetime_text(window.until),
            "quiet_since": datetime_text(window.quiet_since),
            "quiet_until": datetime_text(window.quiet_until),
            "large": LARGE_TRACE,
            "requeued": list(requeued),
        }
        if window.is_small:
            chunks = [
                _chunk_of_few(version, number, row)
                for number, row in enumerate(self._rows(queries.SETTLE_FEW, **selection), 1)
            ]
            if sum(chunk.spans for chunk in chunks) <= FEW_SPANS:
                return chunks
        sampling = window.sampling or NO_SAMPLING
        with self._store.client() as client:
            client.command("TRUNCATE TABLE otel.clew_settling")
        self._insert(
            "clew_settling",
            queries.SETTLE_DIRTY,
            **selection,
            of_pass=version,
            one_in=window.one_in,
            thinned=sampling.one_in,
            thinned_since=datetime_text(sampling.since),
            thinned_until=datetime64_text(sampling.until),
            chunk_weight=CHUNK_WEIGHT,
        )
        rows = self._rows(queries.SETTLE_CHUNKS, of_pass=version)
        return [Chunk(version, **row) for row in rows]

    def trace_ids(self, chunk: Chunk) -> list[str]:
        """The ids of the chunk's traces."""
        if chunk.trace_ids is not None:
            return list(chunk.trace_ids)
        return [row["trace_id"] for row in self._rows(queries.SETTLE_IDS, **chunk.parameters)]

    def traces_with_logs(
        self, window: Window, chunks: Sequence[Chunk], attributes: Sequence[str]
    ) -> list[TraceGroup]:
        """The traces that got log records with one of these attributes and that are in none of the
        chunks."""
        if not attributes:
            return []
        records: dict[str, Any] = {
            "since": datetime_text(window.since),
            "until": datetime_text(window.until),
            "names": list(attributes),
        }
        trace_ids = [trace_id for chunk in chunks for trace_id in chunk.trace_ids or ()]
        records |= {"trace_ids": trace_ids}
        (other,) = self._rows(queries.SETTLE_RECORDS, **records)
        if not other["records"]:
            return []
        of_pass = chunks[0].version if chunks else 0
        rows = self._rows(queries.SETTLE_LOGGED, **records, of_pass=of_pass)
        return [TraceGroup(**row) for row in rows]

    def sampling(self, since: float) -> Sampling | None:
        """The sampling in which traces were settled since then (second of insertion), if any."""
        (row,) = self._rows(queries.SETTLE_THINNED, since=datetime_text(since))
        return Sampling(row["thinned"], row["since"], row["until"]) if row["thinned"] else None

    def settle(self, chunk: Chunk) -> None:
        """Write the rows of the chunk's traces, and cancel the rows that they replace."""
        if chunk.trace_ids is not None:
            self._settle_few(chunk)
            return
        if chunk.is_large and chunk.spans > MAX_TRACE:
            return
        version = self.next_version()
        cancelling = chunk.parameters | {"version": version}
        self._insert("clew_settled", queries.SETTLE_STALE, CANCELLING_COLUMNS, **cancelling)
        if chunk.is_large:
            self._settle_large(chunk, version + 1)
        else:
            parameters = chunk.parameters | {"one_in": chunk.one_in, "version": version}
            self._insert("clew_settled", queries.SETTLE_TRACES, **parameters)

    def cancel(self) -> None:
        """End the statement that is running. For another thread."""
        self.statements.cancel()

    def _settle_few(self, chunk: Chunk) -> None:
        spans = self._rows(queries.SETTLE_ROWS, **chunk.parameters, **few.SPAN_PARAMETERS)
        stored = self._rows(queries.SETTLE_STORED, **chunk.parameters)
        self.statements.insert_rows(few.settled_rows(spans, stored, self.next_version()))

    def _settle_large(self, chunk: Chunk, version: int) -> None:
        rows = self._rows(queries.SETTLE_LARGE, **chunk.parameters, limit=MAX_TRACE)
        spans = [SpanRow(**row) for row in rows]
        for trace_id in self.trace_ids(chunk):
            row = few.full_row(trace_id, spans, chunk.one_in, version)
            self.statements.insert_rows(native_rows(few.TABLE, few.COLUMNS, [row]))

    def next_version(self) -> int:
        """A version greater than any before, even if the clock was set back. The version after it
        is not given out, so that the caller may use it too."""
        self._version = max(time.time_ns(), self._version + 2)
        return self._version


def _chunk_of_few(version: int, number: int, row: queries.SettleFewRow) -> Chunk:
    return Chunk(
        version,
        number,
        traces=len(row["trace_ids"]),
        spans=row["spans"],
        most_spans=row["most_spans"],
        one_in=1,
        start=row["start"],
        end=row["end"],
        trace_ids=tuple(row["trace_ids"]),
    )
