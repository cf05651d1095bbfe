"""Whole traces out of their spans: clew_settled, one row for each, and the edges made from it.

The statements are queries/settling/*.sql; clew.analysis.traces.settler decides when they run. All
of it may be done again, after it failed or was killed at any point: rows are replaced by version.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from clew.analysis.traces.paths import (
    CLIENT,
    CONSUMER,
    PRODUCER,
    SERVER,
    Timed,
    entry_of,
    first_of_each,
    times_of,
)
from clew.storage.sql import ANALYSIS
from clew.storage.statements import Statements
from clew.storage.store import Store

# A statement over 100,000 spans in traces of 8 takes 0.5 s of CPU time, a fifth of that for being
# planned, and 100 MB.
CHUNK = 250_000  # spans in a chunk; a trace weighs more the more it has
LARGE = 200  # spans of a trace that is worked out by itself, in Python
AGAIN_AT_ONCE = 1000  # traces that are named: a server takes 128 KiB for a parameter
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
# Attributes to be completed: of one window, how many spans and log records are looked at; how many
# values of a key in a service are counted, there and in an hour; how long they are.
LOOKED_AT = 2000
VALUES_AT_ONCE = 50
VALUES_IN_AN_HOUR = 200
LONGEST_VALUE = 128
HOURS_IN_MIND = 48
HOUR = 3600
FIRST, LAST = "1900-01-01 00:00:00", "2262-04-11 00:00:00"  # that a DateTime64(9) has
LAST_SECOND = (1 << 32) - 1  # that a DateTime has


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


class Settling:
    """What the settler does in the tables. For one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = 0
        self._offered = Offered()
        self._statements = Statements(store, ANALYSIS, SETTINGS)
        self._rows, self._insert = self._statements.rows, self._statements.insert

    def clock(self) -> tuple[float, float]:
        """The database's time, and when the oldest insert that is under way began."""
        (row,) = self._rows("settle_clock")
        return row["now"], row["oldest"]

    def oldest(self) -> float | None:
        """When the oldest traces were inserted; None without any."""
        (row,) = self._rows("settle_oldest")
        return row["oldest"] if row["traces"] else None

    def pending(self, since: float) -> list[tuple[int, int]]:
        """By second of their insertion, how many traces came since: about."""
        rows = self._rows("settle_pending", since=_second(since))
        return [(row["second"], row["traces"]) for row in rows]

    def progress(self) -> dict[str, Progress]:
        """By name."""
        rows = self._rows("settle_progress")
        self._version = max(self._version, *(row["version"] for row in rows), 0)
        return {
            row["name"]: Progress(row["holder"], row["until"], row["settled_until"]) for row in rows
        }

    def advance(self, progress: dict[str, Progress]) -> None:
        """Put down how far it has come."""
        version = self.next_version()
        self._insert(
            "clew_settler",
            "settle_advance",
            rows=[
                (name, at.holder, _moment(at.until), _moment(at.settled_until), version)
                for name, at in progress.items()
            ],
        )

    def find(self, window: Window, again: Sequence[str] = ()) -> list[Chunk]:
        """Draw up the chunks of a pass, the newest first; `again`: further traces, at most
        AGAIN_AT_ONCE."""
        pass_ = self.next_version()
        with self._store.client() as client:
            client.command("TRUNCATE TABLE otel.clew_settling")
        self._insert(
            "clew_settling",
            "settle_dirty",
            of_pass=pass_,
            since=_second(window.since),
            until=_second(window.until),
            quiet_since=_second(window.quiet_since),
            quiet_until=_second(window.quiet_until),
            one_in=window.one_in,
            thinned=window.thinned,
            thinned_since=_second(window.thinned_since),
            thinned_until=_moment(window.thinned_until),
            large=LARGE,
            chunk_weight=CHUNK,
            again=list(again),
        )
        rows = self._rows("settle_chunks", of_pass=pass_)
        return [Chunk(pass_, **row) for row in rows]

    def trace_ids(self, chunk: Chunk) -> list[str]:
        """The ids of the chunk's traces."""
        return [row["trace_id"] for row in self._rows("settle_ids", **chunk.parameters)]

    def logged(
        self, window: Window, chunks: Sequence[Chunk], attributes: Sequence[str]
    ) -> list[Traces]:
        """The traces with new log records that have one of these attributes, and that are in none
        of the chunks."""
        if not attributes:
            return []
        rows = self._rows(
            "settle_logged",
            of_pass=chunks[0].pass_ if chunks else 0,
            since=_second(window.since),
            until=_second(window.until),
            names=list(attributes),
        )
        return [Traces(**row) for row in rows]

    def thinned(self, since: float) -> tuple[int, float, float] | None:
        """Whether a trace was settled since that stands for others: for how many at the most, since
        when, and when the last of them began."""
        (row,) = self._rows("settle_thinned", since=_second(since))
        return (row["thinned"], row["since"], row["until"]) if row["thinned"] else None

    def settle(self, chunk: Chunk) -> None:
        """Make the rows of the chunk's traces again."""
        if chunk.is_large and chunk.spans > MOST:
            return
        version = self.next_version()
        stale = chunk.parameters | {"version": version}
        self._insert("clew_settled", "settle_stale", STALE, **stale)
        if chunk.is_large:
            self._settle_large(chunk, version + 1)
        else:
            settled = chunk.parameters | {"one_in": chunk.one_in, "version": version}
            self._insert("clew_settled", "settle_traces", **settled)

    def make_edges(self, since: float) -> None:
        """Make the edges again of every minute in which a trace was settled since."""
        for row in self._rows("settle_minutes", since=_second(since)):
            hour = row["hour"]
            self._insert(
                "clew_edges_1m",
                "settle_edges",
                minutes=[_second(minute) for minute in row["minutes"]],
                start=FIRST if hour == 0 else _second(hour),
                end=LAST if hour + HOUR > LAST_SECOND else _second(hour + HOUR),
                version=self.next_version(),
            )

    def attributes(self, since: float, until: float) -> list[Attribute]:
        """The attributes of what was inserted between the times, as far as they are to be counted.

        A key that has had its values of the hour gets no more of them: user ids and the like would
        fill the table. What it has beyond them counts under an empty value."""
        between = {"since": _second(since), "until": _second(until)}
        (new,) = self._rows("settle_counts", **between)
        rows = self._rows(
            "settle_attributes",
            **between,
            spans_in=max(1, new["spans"] // LOOKED_AT),
            logs_in=max(1, new["logs"] // LOOKED_AT),
            longest=LONGEST_VALUE,
            values=VALUES_AT_ONCE,
        )
        return self._offered.choose(rows)

    def count_attributes(self, attributes: Sequence[Attribute]) -> None:
        """Add them to those of before."""
        if attributes:
            columns = ("Hour", "Source", "Key", "ServiceName", "Value", "Count")
            with self._store.client() as client:
                client.insert("otel.clew_attributes", attributes, column_names=columns)

    def cancel(self) -> None:
        """Have the statement that is running end; for another thread."""
        self._statements.cancel()

    def _settle_large(self, chunk: Chunk, version: int) -> None:
        spans = [Span(**row) for row in self._rows("settle_large", **chunk.parameters, limit=MOST)]
        for trace_id in self.trace_ids(chunk):
            inserted = max(span.inserted for span in spans)
            row = [*row_of(trace_id, spans), chunk.one_in, version, False, inserted]
            with self._store.client() as client:
                client.insert("otel.clew_settled", [row], column_names=COLUMNS)

    def next_version(self) -> int:
        """Greater than any before, even if the clock was set back; the next one is free as well."""
        self._version = max(time.time_ns(), self._version + 2)
        return self._version


class Attribute(NamedTuple):
    """How often a key, with a value, was on what a service sent in an hour."""

    hour: int
    source: str
    key: str
    service: str
    value: str
    times: int


class Offered:
    """Which values of each key are counted in an hour: those that came first."""

    def __init__(self) -> None:
        self._hours: dict[int, dict[tuple[str, str, str], set[str]]] = {}

    def choose(self, rows: Sequence[dict[str, Any]]) -> list[Attribute]:
        """The rows whose values are counted, and one for what else each key has."""
        chosen: list[Attribute] = []
        rest: dict[tuple[int, str, str, str], int] = {}
        for row in rows:
            key = (row["source"], row["key"], row["service"])
            values = self._hours.setdefault(row["hour"], {}).setdefault(key, set())
            left = rest.setdefault((row["hour"], *key), row["total"])
            if row["value"] and (row["value"] in values or len(values) < VALUES_IN_AN_HOUR):
                values.add(row["value"])
                chosen.append(Attribute(row["hour"], *key, row["value"], row["count"]))
                rest[row["hour"], *key] = left - row["count"]
        for hour in sorted(self._hours)[:-HOURS_IN_MIND]:
            del self._hours[hour]
        return chosen + [Attribute(*of, "", count) for of, count in rest.items() if count]


class Span(NamedTuple):
    """A row of queries/settle_large.sql."""

    id: str
    parent: str
    began: int
    ended: int
    failed: bool
    type: int
    service: str
    name: str
    kind: str
    environment: str
    target: str
    summary: str
    inserted: int


EXTERNAL, DATABASE, QUEUE, TAKEN = 1, 2, 3, 4
TYPES = {EXTERNAL: "external", DATABASE: "database", QUEUE: "queue", TAKEN: "consumed"}


class Call(NamedTuple):
    source: str
    target: str
    type: str
    summary: str
    duration: int
    failed: bool


def row_of(trace_id: str, spans: Sequence[Span]) -> list[Any]:
    """The row of a trace up to OneIn, as queries/settle_traces.sql makes it of the same spans."""
    timed = [Timed(span.id, span.parent, span.kind, span.began, span.ended) for span in spans]
    times = times_of(timed)
    number = entry_of(timed)
    entry = spans[number]
    operations: dict[tuple[str, str, str], list[int]] = {}
    for span, its in zip(spans, times, strict=True):
        path = operations.setdefault((span.service, span.name, span.kind), [0, 0, 0])
        path[0] += 1
        path[1] += its.self_ns
        path[2] += its.path_ns
    calls = calls_of(spans, timed)
    return [
        entry.service,
        entry.name,
        entry.began,
        trace_id,
        entry.environment,
        entry.ended - entry.began,
        entry.failed,
        timed[number].rank,
        sorted({span.service for span in spans}),
        len(spans),
        *([key[part] for key in operations] for part in range(3)),
        *([path[part] for path in operations.values()] for part in range(3)),
        *([call[part] for call in calls] for part in range(len(Call._fields))),
    ]


def calls_of(spans: Sequence[Span], timed: Sequence[Timed]) -> list[Call]:
    """Who called whom: services by the parents of their spans; where the far side sent none, what a
    span's attributes name."""
    firsts = first_of_each(timed)
    callers = {
        number: firsts[span.parent] if span.parent in firsts and span.parent != span.id else None
        for number, span in ((number, spans[number]) for number in firsts.values())
    }
    calls: list[Call] = []
    answered, passing_on = set[int | None](), set[int | None]()
    for number, caller in callers.items():
        span, code = spans[number], timed[number].code
        by_queue = code == CONSUMER and span.type == TAKEN
        if caller is None:
            if span.parent and code in (SERVER, CONSUMER) and not by_queue:
                calls.append(_call("", span, span, span.failed))
            continue
        of, is_calling = spans[caller], timed[caller].code in (CLIENT, PRODUCER)
        if is_calling and code in (CLIENT, PRODUCER) and of.service == span.service:
            passing_on.add(caller)
        is_entered = is_calling and code in (SERVER, CONSUMER)
        if (of.service != span.service or is_entered) and not by_queue:
            answered.add(caller)
            failed = span.failed or (is_calling and of.failed)
            calls.append(_call(of.service, span, of if is_calling else span, failed))
    for number, caller in callers.items():
        span = spans[number]
        if (
            span.target
            and not (caller is not None and _is_part(number, caller, spans, timed))
            and not (span.type in (EXTERNAL, DATABASE) and number in answered)
            and not (span.type == EXTERNAL and number in passing_on)
        ):
            ends = (
                (span.target, span.service) if span.type == TAKEN else (span.service, span.target)
            )
            summary = span.summary[:200] or span.name
            took = span.ended - span.began
            calls.append(Call(*ends, TYPES[span.type], summary, took, span.failed))
    return calls


def _call(source: str, span: Span, took: Span, failed: bool) -> Call:
    return Call(source, span.service, "service", span.name, took.ended - took.began, failed)


def _is_part(number: int, caller: int, spans: Sequence[Span], timed: Sequence[Timed]) -> bool:
    """Whether what a span reaches is reached by its caller already: a driver's call within the call
    of an object mapper, a message that is processed within its receipt."""
    span, of = spans[number], spans[caller]
    if span.service != of.service:
        return False
    if {timed[number].code, timed[caller].code} <= {CLIENT, PRODUCER} and of.type in (
        DATABASE,
        QUEUE,
    ):
        return True
    return span.type == of.type == TAKEN


def _second(seconds: float) -> str:
    """A DateTime's text; times that it does not have become the nearest that it has."""
    return f"{datetime.fromtimestamp(min(max(seconds, 0), LAST_SECOND), UTC):%Y-%m-%d %H:%M:%S}"


def _moment(seconds: float) -> str:
    """A DateTime64(3)'s text."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
