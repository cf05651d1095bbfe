"""Traces as the settler leaves them, from the reference and not from the settler: what is tested
with them is how they are read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clew.storage import Store
from support.reference import Trace, critical_path, self_times
from support.traffic import KIND_NAMES

Call = tuple[str, str, str, str, int, bool]  # source, target, type, summary, nanoseconds, in error

PATH = ("Service", "Operation", "Kind", "Calls", "Self", "Critical")
CALL = ("Source", "Target", "Type", "Summary", "Duration", "IsError")
COLUMNS = (
    *("ServiceName", "SpanName", "Timestamp", "TraceId", "Environment", "Duration", "IsError"),
    *("Rank", "Services", "SpanCount"),
    *(f"Path.{name}" for name in PATH),
    *(f"Call.{name}" for name in CALL),
    *("OneIn", "Version"),
)


def settle(
    store: Store,
    traces: Iterable[Trace],
    calls: dict[str, Sequence[Call]] | None = None,
    one_in: int = 1,
    version: int = 1,
) -> None:
    """Write what is known of whole traces; `calls` by trace id."""
    rows = [_row(trace, (calls or {}).get(trace.id, ()), one_in, version) for trace in traces]
    with store.client() as client:
        client.insert("clew_settled", rows, column_names=COLUMNS, database="otel")


def path_of(trace: Trace) -> dict[tuple[str, str, str], list[int]]:
    """By (service, operation, kind): calls, own time and time on the critical path."""
    own, critical = self_times(trace.spans), critical_path(trace)
    path: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for span in trace.spans:
        part = path[span.service, span.name, KIND_NAMES[span.kind]]
        part[0] += 1
        part[1] += own[span.id]
        part[2] += critical.get(span.id, 0)
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
class Reached:
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
    steps: tuple[Reached, ...] = ()

    @property
    def began(self) -> int:
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


def occur(store: Store, occurrences: Sequence[Occurrence], version: int = 1) -> None:
    """Write occurrences of defined transactions."""
    rows = [
        [
            each.transaction, each.time, each.key, each.environment, list(each.traces),
            each.began, each.end, each.end - each.began,
            each.traces[-1], each.entry_span, each.services[0], "POST /checkout",
            each.entry_duration, 1, each.is_error, each.user, each.value, list(each.services),
            3, int(each.is_error),
            *_columns(
                [
                    (step.number, step.service, step.start, step.duration, step.is_error, step.trace)
                    for step in each.steps
                ],
                6,
            ),
            version,
        ]
        for each in occurrences
    ]  # fmt: skip
    parts = [
        [
            each.transaction, each.key, trace, each.began, each.end, each.environment,
            *_columns([(each.entry_span, each.services[0], each.time)], 3),
            version,
        ]
        for each in occurrences
        for trace in each.traces
    ]  # fmt: skip
    with store.client() as client:
        for table, columns, written in (
            ("clew_occurrences", OCCURRENCE, rows),
            ("clew_occurrence_traces", OCCURRENCE_TRACE, parts),
        ):
            client.insert(table, written, column_names=columns, database="otel")


def define(store: Store, *definitions: dict[str, Any], revision: int = 1) -> None:
    """Write a revision of the definitions, each as in the YAML."""
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
