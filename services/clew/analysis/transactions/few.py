"""Computes the occurrences of few traces in Python, with three reads and two inserts.

The statements of clew.analysis.transactions.occurrences do the same for many traces; for few,
planning them takes longer than all else. Times are nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from clew.analysis import queries
from clew.analysis.native_rows import native_rows
from clew.analysis.transactions.combined import Occurrence, combine
from clew.analysis.transactions.contributions import (
    Contribution,
    Entry,
    Key,
    LongKey,
    StepSpan,
    contributions,
    stored_contribution,
)
from clew.analysis.transactions.definitions import Definition
from clew.storage.statements import Statements

FEW_TRACES = 500
FEW_RECORDS = 2000  # spans, and as many log records
FEW_APPLICATIONS = 20_000  # of a definition to a span or log record
FEW_CHARACTERS = 60_000  # of the occurrences' keys: a server takes 128 KiB for a parameter
FEW_PARTS = 2000  # rows of the traces that the occurrences consist of

TEXTS = "Array(String)"
TRACE_COLUMNS = {
    **dict.fromkeys(("Transaction", "Key", "TraceId"), "String"),
    **dict.fromkeys(("Start", "End"), "DateTime64(9)"),
    "Environment": "String",
    "Entry.Start": "Array(DateTime64(9))",
    **dict.fromkeys(("Entry.SpanId", "Entry.Service", "Entry.Operation"), TEXTS),
    "Entry.Duration": "Array(UInt64)",
    "Entry.IsError": "Array(Bool)",
    "RootIsError": "Bool",
    "SpanCount": "UInt32",
    "ErrorCount": "UInt32",
    "Services": TEXTS,
    "Busy": "Array(Tuple(Int64, Int64))",
    "User": "String",
    "Value": "Nullable(Float64)",
    "Step.Number": "Array(UInt8)",
    "Step.Start": "Array(DateTime64(9))",
    "Step.Service": TEXTS,
    "Step.Duration": "Array(UInt64)",
    "Step.IsError": "Array(Bool)",
    "Version": "UInt64",
    "IsDeleted": "UInt8",
}
OCCURRENCE_COLUMNS = {
    "Transaction": "String",
    "Timestamp": "DateTime64(9)",
    "Key": "String",
    "Environment": "String",
    "TraceIds": TEXTS,
    **dict.fromkeys(("Start", "End"), "DateTime64(9)"),
    "Working": "UInt64",
    **dict.fromkeys(("EntryTraceId", "EntrySpanId", "EntryService", "EntryOperation"), "String"),
    "EntryDuration": "UInt64",
    "Attempts": "UInt16",
    "IsError": "Bool",
    "User": "String",
    "Value": "Nullable(Float64)",
    "Services": TEXTS,
    "SpanCount": "UInt32",
    "ErrorCount": "UInt32",
    "Step.Number": "Array(UInt8)",
    "Step.Service": TEXTS,
    "Step.Start": "Array(DateTime64(9))",
    "Step.Duration": "Array(UInt64)",
    "Step.IsError": "Array(Bool)",
    "Step.TraceId": TEXTS,
    "Version": "UInt64",
    "IsDeleted": "UInt8",
}


class TooMany(Exception):
    """There is more to compute than this module is for. Nothing was written."""


def settle_few(
    statements: Statements,
    definitions: Sequence[Definition],
    selection: Mapping[str, Any],
    version: int,
    overflowing: Set[Key],
    most_traces: int,
) -> set[Key]:
    """Compute the rows of some traces again. `selection`: the parameters that select their spans
    and log records. Cancelling rows have the version, new ones the version + 1. To occurrences that
    are `overflowing` no trace is added; returns those that have more than `most_traces` traces.
    Raises TooMany and StorageError."""
    records = statements.rows(queries.OCCURRENCE_RECORDS, **selection, limit=FEW_RECORDS + 1)
    _check(len(records), min(FEW_RECORDS, FEW_APPLICATIONS // len(definitions)))
    try:
        new = [
            part
            for part in contributions(definitions, records)
            if part.is_deleted or part.occurrence not in overflowing
        ]
    except LongKey as error:
        raise TooMany from error
    keys = sorted({part.occurrence for part in new})
    if not keys:
        return set()
    _check(sum(len(id) + len(key) for id, key in keys), FEW_CHARACTERS)
    rows = statements.rows(queries.OCCURRENCE_PARTS, keys=keys, limit=FEW_PARTS + 1)
    _check(len(rows), FEW_PARTS)
    rows.sort(key=lambda row: row["version"])
    stored = [stored_contribution(row) for row in rows]
    current = {part.place: part for part in stored}
    changed = [
        part
        for part in new
        if not part.is_deleted or (part.place in current and not current[part.place].is_deleted)
    ]
    # Also where a row is cancelled already: a settling may have been cut short after that.
    touched = {part.occurrence for part in new if not part.is_deleted or part.place in current}
    if not touched:
        return set()
    trace_rows = [_trace_row(part, version) for part in changed]
    statements.insert_rows(native_rows("clew_occurrence_traces", TRACE_COLUMNS, trace_rows))
    current |= {part.place: part for part in changed}
    traces: dict[Key, list[Contribution]] = {key: [] for key in touched}
    for part in current.values():
        if part.occurrence in touched:
            traces[part.occurrence].append(part)
    earlier = [part for part in (*stored, *changed) if part.occurrence in touched]
    old = statements.rows(
        queries.OCCURRENCE_KEYS,
        keys=sorted(touched),
        start=min(part.start for part in earlier),
        end=max(part.end for part in earlier),
    )
    occurrence_rows = _occurrence_rows(traces, old, version)
    statements.insert_rows(native_rows("clew_occurrences", OCCURRENCE_COLUMNS, occurrence_rows))
    return {key for key, parts in traces.items() if len(parts) > most_traces}


def _check(number: int, limit: int) -> None:
    if number > limit:
        raise TooMany


def _trace_row(part: Contribution, version: int) -> list[Any]:
    return [
        *(part.transaction, part.key, part.trace_id, part.start, part.end, part.environment),
        *_columns(part.entries, len(Entry._fields)),
        *(part.root_is_error, part.span_count, part.error_count, part.services, part.busy),
        *(part.user, part.value),
        *_columns(part.steps, len(StepSpan._fields)),
        *(version + (not part.is_deleted), part.is_deleted),
    ]


def _columns(elements: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*elements, strict=True)) or [()] * width


def _occurrence_rows(
    traces: Mapping[Key, Sequence[Contribution]],
    old: Sequence[queries.OccurrenceKeysRow],
    version: int,
) -> list[list[Any]]:
    """The rows of the occurrences, and rows that cancel the `old` ones that they do not replace."""
    rows: dict[tuple[str, int, str], list[Any]] = {}
    for parts in traces.values():
        occurrence = combine([part for part in parts if not part.is_deleted])
        if occurrence is not None:
            rows[occurrence[:3]] = [*occurrence, version + 1, 0]
    for row in old:
        cancelled = NO_OCCURRENCE._replace(
            transaction=row["transaction"],
            time=row["time"],
            key=row["key"],
            start=row["start"],
            end=row["end"],
        )
        rows.setdefault(cancelled[:3], [*cancelled, version, 1])
    return list(rows.values())


NO_OCCURRENCE = Occurrence(
    *("", 0, "", "", (), 0, 0, 0, "", "", "", "", 0, 0, False, "", None, (), 0, 0),
    *((), (), (), (), (), ()),
)
