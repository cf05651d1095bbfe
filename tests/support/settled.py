"""Inserts rows of clew_settled and clew_occurrences that the reference computes, not the settler, for
tests of reading them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clew.storage import Store
from support.reference import Trace, critical_path, self_times
from support.traffic import KIND_NAMES

Call = tuple[str, str, str, str, int, bool]  # source, target, type, summary, nanoseconds, is_error

PATH = ("Service", "Operation", "Kind", "Calls", "Self", "Critical")
CALL = ("Source", "Target", "Type", "Summary", "Duration", "IsError")
COLUMNS = (
    *("ServiceName", "SpanName", "Timestamp", "TraceId", "Environment", "Duration", "IsError"),
    *("Rank", "Services", "SpanCount"),
    *(f"Path.{name}" for name in PATH),
    *(f"Call.{name}" for name in CALL),
    *("OneIn", "Version"),
)


def insert_settled(
    store: Store,
    traces: Iterable[Trace],
    calls: dict[str, Sequence[Call]] | None = None,
    one_in: int = 1,
    version: int = 1,
) -> None:
    """Insert the rows of these traces. `calls`: by trace id."""
    rows = [_row(trace, (calls or {}).get(trace.id, ()), one_in, version) for trace in traces]
    with store.client() as client:
        client.insert("clew_settled", rows, column_names=COLUMNS, database="otel")


def path_of(trace: Trace) -> dict[tuple[str, str, str], list[int]]:
    """By (service, operation, kind): calls, self time and path time."""
    self_ns, path_ns = self_times(trace.spans), critical_path(trace)
    path: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for span in trace.spans:
        totals = path[span.service, span.name, KIND_NAMES[span.kind]]
        totals[0] += 1
        totals[1] += self_ns[span.id]
        totals[2] += path_ns.get(span.id, 0)
    return path


def _row(trace: Trace, calls: Sequence[Call], one_in: int, version: int) -> list[Any]:
    entry = trace.entry
    path = [(*operation, *times) for operation, times in path_of(trace).items()]
    return [
        entry.service, entry.name, entry.start, trace.id,
        entry.process.environment, entry.duration, entry.is_error, trace.rank,
        trace.services, len(trace.spans),
        *_columns(path, len(PATH)),
        *_columns(calls, len(CALL)),
        one_in, version,
    ]  # fmt: skip


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


@dataclass(frozen=True)
class OccurrenceStep:
    """A step of an occurrence; times are nanoseconds."""

    number: int
    service: str
    start: int
    duration: int
    trace: str
    is_error: bool = False


@dataclass(frozen=True)
class Occurrence:
    """One occurrence of a defined transaction; times are nanoseconds."""

    transaction: str
    key: str
    time: int
    entry_duration: int
    traces: tuple[str, ...]
    end: int
    start: int = 0
    environment: str = "prod"
    entry_span: str = ""
    is_error: bool = False
    user: str = ""
    value: float | None = None
    services: tuple[str, ...] = ("web",)
    steps: tuple[OccurrenceStep, ...] = ()

    @property
    def first_start(self) -> int:
        return self.start or self.time


OCCURRENCE = (
    *("Transaction", "Timestamp", "Key", "Environment", "TraceIds", "Start", "End", "Working"),
    *("EntryTraceId", "EntrySpanId", "EntryService", "EntryOperation", "EntryDuration"),
    *("Attempts", "IsError", "User", "Value", "Services", "SpanCount", "ErrorCount"),
    *(f"Step.{name}" for name in ("Number", "Service", "Start", "Duration", "IsError", "TraceId")),
    "Version",
)


OCCURRENCE_TRACE = (
    *("Transaction", "Key", "TraceId", "Start", "End", "Environment"),
    *("Entry.SpanId", "Entry.Service", "Entry.Start"),
    "Version",
)


def insert_occurrences(store: Store, occurrences: Sequence[Occurrence], version: int = 1) -> None:
    """Insert occurrences of defined transactions, and what each trace contributes to them."""
    rows = [
        [
            occurrence.transaction, occurrence.time, occurrence.key, occurrence.environment, list(occurrence.traces),
            occurrence.first_start, occurrence.end, occurrence.end - occurrence.first_start,
            occurrence.traces[-1], occurrence.entry_span, occurrence.services[0], "POST /checkout",
            occurrence.entry_duration, 1, occurrence.is_error, occurrence.user, occurrence.value, list(occurrence.services),
            3, int(occurrence.is_error),
            *_columns(
                [
                    (step.number, step.service, step.start, step.duration, step.is_error, step.trace)
                    for step in occurrence.steps
                ],
                6,
            ),
            version,
        ]
        for occurrence in occurrences
    ]  # fmt: skip
    parts = [
        [
            occurrence.transaction, occurrence.key, trace, occurrence.first_start, occurrence.end, occurrence.environment,
            *_columns([(occurrence.entry_span, occurrence.services[0], occurrence.time)], 3),
            version,
        ]
        for occurrence in occurrences
        for trace in occurrence.traces
    ]  # fmt: skip
    with store.client() as client:
        for table, columns, table_rows in (
            ("clew_occurrences", OCCURRENCE, rows),
            ("clew_occurrence_traces", OCCURRENCE_TRACE, parts),
        ):
            client.insert(table, table_rows, column_names=columns, database="otel")


def insert_definitions(store: Store, *definitions: dict[str, Any], revision: int = 1) -> None:
    """Insert a revision of the definitions, each with the fields of the YAML."""
    ids = [definition["name"].lower().replace(" ", "-") for definition in definitions]
    rows = [
        (revision, number, id, definition["name"], json.dumps(definition), "api")
        for number, (id, definition) in enumerate(zip(ids, definitions, strict=True))
    ]
    names = ["Revision", "Position", "Id", "Name", "Definition", "Origin"]
    with store.client() as client:
        client.insert(
            "clew_definitions", [(revision, 0, "", "", "", ""), *rows], names, database="otel"
        )
