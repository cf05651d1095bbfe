"""Computes the occurrences of defined transactions from whole traces (ADR 0012).

A batch of traces takes three statements: find the definitions that each trace may match
(clew_candidates); compute what each trace contributes to which key (clew_occurrence_traces);
compute the occurrences of the affected keys from all traces with these keys (clew_occurrences).
Rows are replaced by version, and rows that no longer hold are cancelled in the same insert.
Definitions are parameters of fixed statements: no text of theirs becomes SQL.
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
from clew.analysis.native_rows import native_rows
from clew.analysis.transactions import few
from clew.analysis.transactions.definitions import Definition, Match
from clew.analysis.transactions.sources import AttributeSource
from clew.storage.statements import Statements
from clew.storage.store import Store

logger = logging.getLogger(__name__)

# A log record belongs to its trace if its time lies at most so long before the first span's start
# or after the last span's end (also in occurrence_traces.sql, in nanoseconds).
LOG_MARGIN = timedelta(minutes=5)
MAX_TRACE_DURATION = timedelta(days=1)  # of the traces that a backfill reads
# Traces of one occurrence. A key on more traces does not tell occurrences apart.
MAX_TRACES = 100_000
# Limits of one statement. With fewer traces, the same hour is read more often; memory grows with
# the spans; a server takes 128 KiB for a parameter.
BATCH_TRACES = 20_000
BATCH_SPANS = 500_000
BATCH_CHARACTERS = 60_000  # of definitions
TRACES, COLUMNS = "clew_occurrence_traces", "* EXCEPT (InsertedAt)"
CANDIDATE_COLUMNS = {"Pass": "UInt64", "Batch": "UInt32", "TraceId": "String"}
DELETE_CANDIDATES = (
    "ALTER TABLE otel.clew_candidates DELETE WHERE Pass = {of_pass:UInt64} "
    "SETTINGS mutations_sync = 1"
)
DELETE_OTHER_TRANSACTIONS = (
    "DELETE FROM {table} WHERE NOT has({{ids:Array(String)}}, Transaction) "
    "SETTINGS lightweight_deletes_sync = 2"
)


@dataclass(frozen=True)
class BackfillProgress:
    """`traces` of `total` traces are done: all that start at `reached` (text for a query) or
    later."""

    traces: int
    total: int
    reached: str


class Occurrences:
    """Computes the occurrences of the definitions that `definitions_supplier` returns."""

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
        """The attributes of log records that the definitions refer to."""
        return sorted({source.attr for source in _all_sources(self._definitions())})

    def settle(self, trace_ids: Sequence[str], start: str, end: str, version: int) -> None:
        """Compute the rows of these traces again. All their spans lie between `start` and `end`,
        text for a query. `version` is greater than that of any call before, by two for every
        BATCH_TRACES traces and every group of definitions; times in nanoseconds are.

        Raises StorageError. The same call can be repeated."""
        definitions = self._definitions()
        with self._lock:
            if self._settle_few(definitions, trace_ids, _extent(start, end), version):
                return
            for group in _definition_groups(definitions):
                for first in range(0, len(trace_ids), BATCH_TRACES):
                    batch = list(trace_ids[first : first + BATCH_TRACES])
                    self._settle(group, batch, _extent(start, end), version)
                    version += 2  # cancelled rows have the version, new rows the version + 1

    def backfill(self, start: str, end: str, only: str | None = None) -> Iterator[BackfillProgress]:
        """Apply the definitions, or only the one with the id `only`, to the stored traces that
        start in [start, end) (text for a query), the newest first. Each step of the iterator does a
        part of the work. Rows of changed definitions are computed again, rows of removed
        definitions are deleted.

        Raises StorageError. An unfinished backfill keeps what it has done, and can be repeated."""
        definitions = [
            definition for definition in self._definitions() if only in (None, definition.id)
        ]
        if only is None:
            self._delete_other_transactions([definition.id for definition in definitions])
        windows = (
            _merge_windows(self._rows(queries.BACKFILL_WINDOWS, start=start, end=end))
            if definitions
            else []
        )
        total = sum(window["traces"] for window in windows)
        progress = BackfillProgress(0, total, end)
        yield progress
        for window in windows:
            rows = self._rows(
                queries.BACKFILL_TRACES,
                start=window["start"],
                end=window["end"],
                earliest=_shift(window["start"], -MAX_TRACE_DURATION),
                latest=_shift(window["end"], MAX_TRACE_DURATION),
            )
            for first in range(0, len(rows), BATCH_TRACES):
                batch = rows[first : first + BATCH_TRACES]
                trace_ids = [row["trace_id"] for row in batch]
                extent = _extent(batch[0]["start"], max(row["end"] for row in batch))
                for group in _definition_groups(definitions):
                    with self._lock:
                        self._settle(group, trace_ids, extent, time.time_ns(), replace_stored=True)
                progress = replace(progress, traces=min(progress.traces + len(batch), total))
                yield progress
            progress = replace(progress, reached=window["start"])
        yield replace(progress, traces=total, reached=start)

    def _delete_other_transactions(self, ids: list[str]) -> None:
        with self._store.client() as client:
            for table in ("clew_occurrences", TRACES):
                shard_table = self._store.cluster.shard_table(table)
                client.command(
                    DELETE_OTHER_TRANSACTIONS.format(table=shard_table), parameters={"ids": ids}
                )
                self._store.changes.add(table)

    def _settle_few(
        self,
        definitions: Sequence[Definition],
        trace_ids: Sequence[str],
        extent: dict[str, str],
        version: int,
    ) -> bool:
        """Settle in Python, if there is little to compute; returns whether there was."""
        if len(trace_ids) > few.FEW_TRACES or len(list(_definition_groups(definitions))) > 1:
            return False
        if not (definitions and trace_ids):
            return True
        selection = extent | {
            "trace_ids": list(trace_ids),
            "names": _attribute_names(definitions),
        }
        try:
            overflowing = few.settle_few(
                self._statements, definitions, selection, version, self._overflowing, MAX_TRACES
            )
        except few.TooMany:
            return False
        self._report_overflow(overflowing)
        return True

    def _settle(
        self,
        definitions: list[Definition],
        trace_ids: list[str],
        extent: dict[str, str],
        version: int,
        replace_stored: bool = False,
    ) -> None:
        """`replace_stored`: cancel all stored rows of these traces first, because another version
        of a definition may have written them."""
        ids = [definition.id for definition in definitions]
        pass_: dict[str, Any] = {"of_pass": version}
        transactions: dict[str, Any] = {"ids": ids, "version": version}
        traces: dict[str, Any] = extent | pass_ | {"names": _attribute_names(definitions)}
        try:
            self._insert_candidates(trace_ids, version)
            self._insert(
                "clew_candidates",
                queries.OCCURRENCE_CANDIDATES,
                **traces,
                definitions=_matches(definitions),
                sources=_keys(definitions),
                batch_spans=BATCH_SPANS,
            )
            batches = self._rows(queries.OCCURRENCE_BATCHES, **pass_)
            if replace_stored:
                stored = extent | pass_ | transactions
                self._insert(TRACES, queries.OCCURRENCE_TRACES_STORED, COLUMNS, **stored)
            elif not batches:
                return
            for row in batches:
                self._insert(
                    TRACES,
                    queries.OCCURRENCE_TRACES,
                    COLUMNS,
                    **traces,
                    **transactions,
                    batch=row["batch"],
                    definitions=[_parameter(definition) for definition in definitions],
                    overflowing=sorted(self._overflowing),
                )
        finally:
            self._delete_candidates(version)
        (touched,) = self._rows(queries.OCCURRENCE_TOUCHED, **transactions, most=MAX_TRACES)
        if touched["occurrences"]:
            times = {"start": touched["start"], "end": touched["end"]}
            self._insert("clew_occurrences", queries.OCCURRENCES, COLUMNS, **transactions, **times)
        self._report_overflow({(id, key) for id, key in touched["overflowing"]})

    def _insert_candidates(self, trace_ids: list[str], version: int) -> None:
        """Pass the trace ids as rows: as a parameter of each statement, 12,500 ids take 85 ms."""
        rows = [(version, 0, trace_id) for trace_id in trace_ids]
        self._statements.insert_rows(native_rows("clew_candidates", CANDIDATE_COLUMNS, rows))

    def _delete_candidates(self, version: int) -> None:
        # Rows that remain after an error affect no other pass, and the table is in memory only.
        with suppress(ClickHouseError), self._store.client() as client:
            client.command(DELETE_CANDIDATES, parameters={"of_pass": version})

    def stop(self) -> None:
        """Start no further statement and end the running one. For another thread."""
        self._statements.stop()

    def _report_overflow(self, overflowing: set[tuple[str, str]]) -> None:
        for id, key in sorted(overflowing - self._overflowing):
            logger.warning(
                "transaction %s: more than %d traces have the key %r; further traces are not added "
                "to its occurrence: choose a key that tells occurrences apart",
                *(id, MAX_TRACES, key),
            )
        self._overflowing |= overflowing


def _definition_groups(definitions: Sequence[Definition]) -> Iterator[list[Definition]]:
    """The definitions in groups that fit into the parameters of one statement."""
    group: list[Definition] = []
    size = 0
    for definition in definitions:
        length = len(repr(_parameter(definition)))
        if group and size + length > BATCH_CHARACTERS:
            yield group
            group, size = [], 0
        group.append(definition)
        size += length
    if group:
        yield group


def _merge_windows(windows: list[queries.BackfillWindowsRow]) -> list[queries.BackfillWindowsRow]:
    """Adjacent windows, the newest first, merged up to BATCH_TRACES traces."""
    merged: list[queries.BackfillWindowsRow] = []
    for window in windows:
        if merged and merged[-1]["traces"] + window["traces"] <= BATCH_TRACES:
            merged[-1]["start"] = window["start"]
            merged[-1]["traces"] += window["traces"]
        else:
            merged.append(window)
    return merged


def _extent(start: str, end: str) -> dict[str, str]:
    return {
        "start": start,
        "end": end,
        "logs_start": _shift(start, -LOG_MARGIN),
        "logs_end": _shift(end, LOG_MARGIN + timedelta(seconds=1)),
    }


EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2262, 4, 11, 23, 47, 16, tzinfo=UTC)


def _shift(time: str, offset: timedelta) -> str:
    """The time in whole seconds plus the offset, within the range of a DateTime64(9)."""
    moment = datetime.fromisoformat(time[:19]).replace(tzinfo=UTC)
    shifted = max(EARLIEST, min(moment + offset, LATEST))
    return f"{shifted:%Y-%m-%d %H:%M:%S}"


def _all_sources(definitions: Sequence[Definition]) -> Iterator[AttributeSource]:
    for definition in definitions:
        yield from definition.key_attributes
        yield from definition.value_attributes
        yield from definition.user_attributes


def _attribute_names(definitions: Sequence[Definition]) -> list[str]:
    """The attributes that the definitions refer to, sorted."""
    names = {source.attr for source in _all_sources(definitions)}
    for definition in definitions:
        for match in (definition.match, *(step.match for step in definition.steps)):
            names |= set(match.attr) if match else set()
    return sorted(names)


def _matches(definitions: Sequence[Definition]) -> list[tuple[Any, ...]]:
    return [(number, *_match(definition.match)) for number, definition in enumerate(definitions, 1)]


def _keys(definitions: Sequence[Definition]) -> list[tuple[int, str, str]]:
    return [
        (number, source.attr, source.expression)
        for number, definition in enumerate(definitions, 1)
        for source in definition.key_attributes
    ]


def _parameter(definition: Definition) -> tuple[Any, ...]:
    """The definition as a parameter of the queries."""
    steps = [
        (number, int(step.match is None), *_match(step.match or Match(operation=step.name)))
        for number, step in enumerate(definition.steps)
    ]
    sources = map(
        _sources,
        (definition.key_attributes, definition.value_attributes, definition.user_attributes),
    )
    return (definition.id, *_match(definition.match), *sources, steps)


def _match(match: Match) -> tuple[str, str, list[tuple[str, str]]]:
    return match.service or "", match.operation or "", list(match.attr.items())


def _sources(sources: Sequence[AttributeSource]) -> list[tuple[str, str]]:
    return [(source.attr, source.expression) for source in sources]
