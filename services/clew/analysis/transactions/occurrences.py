"""The occurrences of defined transactions, settled from whole traces (ADR 0012).

For some traces at a time: which definitions they may have to do with; what each contributes
(clew_occurrence_traces); then the occurrences with the keys that were touched, from all traces with
those keys (clew_occurrences). Rows are replaced by version, and what no longer holds is cancelled
in the same insert. Definitions are parameters of fixed statements: none of their text becomes SQL.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.analysis import queries
from clew.analysis.transactions.definitions import AttributeSource, Definition, Match
from clew.storage.errors import StorageError
from clew.storage.statements import Statements
from clew.storage.store import Store

logger = logging.getLogger(__name__)

# A log record belongs to its trace up to so long before its first span and after its last
# (occurrence_traces.sql has it in nanoseconds).
AROUND = timedelta(minutes=5)
DAY = timedelta(days=1)  # what a trace lasts at most, for a backfill
# Traces put together as one occurrence. What is on more traces than this tells nothing apart.
MOST_TRACES = 100_000
# What one statement takes on. The fewer traces there are, the more often the same hour is read;
# memory goes by spans; a server takes 128 KiB for a parameter.
TRACES_AT_ONCE = 20_000
SPANS_AT_ONCE = 500_000
CHARACTERS_AT_ONCE = 60_000
TRACES, COLUMNS = "clew_occurrence_traces", "* EXCEPT (InsertedAt)"
FORGET = (
    "ALTER TABLE otel.clew_candidates DELETE WHERE Pass = {of_pass:UInt64} "
    "SETTINGS mutations_sync = 1"
)
REMOVE = (
    "DELETE FROM {table} WHERE NOT has({{ids:Array(String)}}, Transaction) "
    "SETTINGS lightweight_deletes_sync = 2"
)


@dataclass(frozen=True)
class Progress:
    """`traces` of `of` are done: all that begin at `reached` or later."""

    traces: int
    of: int
    reached: str


class Occurrences:
    """Settles the occurrences of the definitions that `definitions_supplier` gives."""

    def __init__(
        self, store: Store, definitions_supplier: Callable[[], Sequence[Definition]]
    ) -> None:
        self._store = store
        self._statements = Statements(store)
        self._rows, self._insert = self._statements.rows, self._statements.insert
        self._definitions = definitions_supplier
        self._lock = threading.Lock()
        self._overflowing: set[tuple[str, str]] = set()

    def log_attributes(self) -> list[str]:
        """The attributes that log records are looked at for."""
        return sorted(
            {
                source.attr
                for each in self._definitions()
                for source in (*each.key, *each.value, *each.user)
            }
        )

    def settle(self, trace_ids: Sequence[str], start: str, end: str, version: int) -> None:
        """Make the rows of these traces again. All their spans lie in `start` … `end`, as queries
        take times. `version` is greater than that of any call before, by two for every thousand
        traces at least: as times in nanoseconds are.

        Raises StorageError; called again, it does again what it did."""
        definitions = self._definitions()
        with self._lock:
            for some in _in_groups(definitions):
                for first in range(0, len(trace_ids), TRACES_AT_ONCE):
                    traces = list(trace_ids[first : first + TRACES_AT_ONCE])
                    self._settle(some, traces, _extent(start, end), version)
                    version += 2  # what one step wrote is cancelled by the next

    def backfill(self, start: str, end: str, only: str | None = None) -> Iterator[Progress]:
        """Apply the definitions, or the one with that id, to the stored traces that begin from
        `start` until `end`, the newest first: a step for each thing that is yielded. What was
        settled by a definition that has changed is made again; what by one that is gone, goes.

        Stopped anywhere, what is done is done, and it can be done again."""
        definitions = [each for each in self._definitions() if only in (None, each.id)]
        if only is None:
            self._remove_all_but([each.id for each in definitions])
        windows = (
            _joined(self._rows(queries.BACKFILL_WINDOWS, start=start, end=end), TRACES_AT_ONCE)
            if definitions
            else []
        )
        total = sum(window["traces"] for window in windows)
        progress = Progress(0, total, end)
        yield progress
        for window in windows:
            reach = {
                "earliest": _moved(window["start"], -DAY),
                "latest": _moved(window["end"], DAY),
            }
            within = {"start": window["start"], "end": window["end"]}
            rows = self._rows(queries.BACKFILL_TRACES, **within, **reach)
            for first in range(0, len(rows), TRACES_AT_ONCE):
                some = rows[first : first + TRACES_AT_ONCE]
                traces = [row["trace_id"] for row in some]
                extent = _extent(some[0]["start"], max(row["end"] for row in some))
                for group in _in_groups(definitions):
                    with self._lock:
                        self._settle(group, traces, extent, time.time_ns(), thorough=True)
                progress = replace(progress, traces=min(progress.traces + len(some), total))
                yield progress
            progress = replace(progress, reached=window["start"])
        yield replace(progress, traces=total, reached=start)

    def _remove_all_but(self, ids: list[str]) -> None:
        with self._store.client() as client:
            for table in ("clew_occurrences", TRACES):
                statement = REMOVE.format(table=self._store.cluster.shard_table(table))
                client.command(statement, parameters={"ids": ids})

    def _settle(
        self,
        definitions: list[Definition],
        traces: list[str],
        extent: dict[str, str],
        version: int,
        thorough: bool = False,
    ) -> None:
        """`thorough`: what is stored may be another definition's doing, and is looked for."""
        ids = [each.id for each in definitions]
        of_pass: dict[str, Any] = {"of_pass": version}
        of_version: dict[str, Any] = {"ids": ids, "version": version}
        asked: dict[str, Any] = extent | of_pass | {"names": _names(definitions)}
        try:
            self._ask_about(traces, version)
            self._insert(
                "clew_candidates",
                queries.OCCURRENCE_CANDIDATES,
                **asked,
                definitions=_matches(definitions),
                sources=_keys(definitions),
                batch_spans=SPANS_AT_ONCE,
            )
            batches = self._rows(queries.OCCURRENCE_BATCHES, **of_pass)
            if thorough:
                stored = extent | of_pass | of_version
                self._insert(TRACES, queries.OCCURRENCE_TRACES_STORED, COLUMNS, **stored)
            elif not batches:
                return
            for row in batches:
                self._insert(
                    TRACES,
                    queries.OCCURRENCE_TRACES,
                    COLUMNS,
                    **asked,
                    **of_version,
                    batch=row["batch"],
                    definitions=[_parameter(each) for each in definitions],
                    overflowing=sorted(self._overflowing),
                )
        finally:
            self._forget(version)
        (touched,) = self._rows(queries.OCCURRENCE_TOUCHED, **of_version, most=MOST_TRACES)
        if touched["occurrences"]:
            within = {"start": touched["start"], "end": touched["end"]}
            self._insert("clew_occurrences", queries.OCCURRENCES, COLUMNS, **of_version, **within)
        self._report({(id, key) for id, key in touched["overflowing"]})

    def _ask_about(self, traces: list[str], version: int) -> None:
        """As rows: as a statement's parameter, 12,500 ids take 85 ms each time."""
        columns: list[list[Any]] = [[version] * len(traces), [0] * len(traces), traces]
        names = ("Pass", "Batch", "TraceId")
        with self._store.client() as client:
            try:
                client.insert(
                    "otel.clew_candidates", columns, column_names=names, column_oriented=True
                )
            except ClickHouseError as error:
                raise StorageError(f"clew_candidates: {error}") from error

    def _forget(self, version: int) -> None:
        # What stays in memory because of it is in nobody's way, and gone with the next start.
        with suppress(ClickHouseError), self._store.client() as client:
            client.command(FORGET, parameters={"of_pass": version})

    def stop(self) -> None:
        """Begin no further statement, and have the one that is running end; for another thread."""
        self._statements.stop()

    def _report(self, overflowing: set[tuple[str, str]]) -> None:
        for id, key in sorted(overflowing - self._overflowing):
            logger.warning(
                "transaction %s: more than %d traces carry the key %r, and no more are put "
                "together: name an attribute that tells occurrences apart",
                *(id, MOST_TRACES, key),
            )
        self._overflowing |= overflowing


def _in_groups(definitions: Sequence[Definition]) -> Iterator[list[Definition]]:
    """As many at a time as a statement takes."""
    group: list[Definition] = []
    size = 0
    for definition in definitions:
        length = len(repr(_parameter(definition)))
        if group and size + length > CHARACTERS_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(definition)
        size += length
    if group:
        yield group


def _joined(
    windows: list[queries.BackfillWindowsRow], at_once: int
) -> list[queries.BackfillWindowsRow]:
    """Windows, newest first, of as many traces as a statement takes where they have fewer."""
    joined: list[queries.BackfillWindowsRow] = []
    for window in windows:
        if joined and joined[-1]["traces"] + window["traces"] <= at_once:
            joined[-1]["start"] = window["start"]
            joined[-1]["traces"] += window["traces"]
        else:
            joined.append(window)
    return joined


def _extent(start: str, end: str) -> dict[str, str]:
    return {
        "start": start,
        "end": end,
        "logs_start": _moved(start, -AROUND),
        "logs_end": _moved(end, AROUND + timedelta(seconds=1)),
    }


EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2262, 4, 11, 23, 47, 16, tzinfo=UTC)


def _moved(time: str, by: timedelta) -> str:
    """The time in whole seconds, moved as far as the tables' times go."""
    moment = datetime.fromisoformat(time[:19]).replace(tzinfo=UTC)
    moved = max(EARLIEST, min(moment + by, LATEST))
    return f"{moved:%Y-%m-%d %H:%M:%S}"


def _names(definitions: Sequence[Definition]) -> list[str]:
    """The attributes that are asked for."""
    names = set()
    for each in definitions:
        names |= {source.attr for source in (*each.key, *each.value, *each.user)}
        for match in (each.match, *(step.match for step in each.steps)):
            names |= set(match.attr) if match else set()
    return sorted(names)


def _matches(definitions: Sequence[Definition]) -> list[tuple[Any, ...]]:
    return [(number, *_match(each.match)) for number, each in enumerate(definitions, 1)]


def _keys(definitions: Sequence[Definition]) -> list[tuple[int, str, str]]:
    return [
        (number, source.attr, source.expression)
        for number, each in enumerate(definitions, 1)
        for source in each.key
    ]


def _parameter(definition: Definition) -> tuple[Any, ...]:
    """A definition as the queries take it."""
    steps = [
        (number, int(step.match is None), *_match(step.match or Match(operation=step.name)))
        for number, step in enumerate(definition.steps)
    ]
    sources = (_sources(each) for each in (definition.key, definition.value, definition.user))
    return (definition.id, *_match(definition.match), *sources, steps)


def _match(match: Match) -> tuple[str, str, list[tuple[str, str]]]:
    return match.service or "", match.operation or "", list(match.attr.items())


def _sources(sources: Sequence[AttributeSource]) -> list[tuple[str, str]]:
    return [(each.attr, each.expression) for each in sources]
