"""Settles few traces in Python: their rows of clew_settled, ready to be inserted as one block.

For few spans, planning queries/settling/settle_traces.sql takes longer than all else.
Both ways make the same rows; tests/integration/test_settling.py compares them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clew.analysis.native_rows import native_rows
from clew.analysis.queries import SettleRowsRow, SettleStoredRow
from clew.analysis.traces.paths import CODES
from clew.analysis.traces.targets import BARE_NAMES, NAMES, target_of
from clew.analysis.traces.trace_row import SpanRow, settled_row
from clew.storage.rows import Rows

TEXTS = "Array(String)"
TABLE = "clew_settled"
COLUMNS = {
    "ServiceName": "String",
    "SpanName": "String",
    "Timestamp": "DateTime64(9)",
    "TraceId": "String",
    "Environment": "String",
    "Duration": "UInt64",
    "IsError": "Bool",
    "Rank": "UInt8",
    "Services": TEXTS,
    "SpanCount": "UInt32",
    **dict.fromkeys(("Path.Service", "Path.Operation", "Path.Kind"), TEXTS),
    "Path.Calls": "Array(UInt32)",
    **dict.fromkeys(("Path.Self", "Path.Critical"), "Array(UInt64)"),
    **dict.fromkeys(("Call.Source", "Call.Target", "Call.Type", "Call.Summary"), TEXTS),
    "Call.Duration": "Array(UInt64)",
    "Call.IsError": "Array(Bool)",
    "OneIn": "UInt16",
    "Version": "UInt64",
    "IsDeleted": "UInt8",
    "InsertedAt": "DateTime",
    "Path.Most": "Array(UInt32)",
    **dict.fromkeys(("Path.Link", "Call.Own"), "Array(UInt64)"),
}
SPAN_PARAMETERS = {"names": list(NAMES), "bare": list(BARE_NAMES)}
Key = tuple[str, str, int, str]  # of a row: service, operation, start in nanoseconds, trace id


def settled_rows(
    spans: Iterable[SettleRowsRow], stored: Iterable[SettleStoredRow], version: int
) -> Rows:
    """The rows of the traces whose spans these are, and rows that cancel those of the `stored` ones
    that they do not replace. Cancelling rows have the version, new ones the version + 1."""
    rows: dict[Key, list[Any]] = {}
    for trace_id, trace_spans in span_rows(spans).items():
        row = full_row(trace_id, trace_spans, 1, version + 1)
        rows[row[0], row[1], row[2], trace_id] = row
    for old in stored:
        key = (old["service"], old["name"], old["began"], old["trace_id"])
        rows.setdefault(key, _cancelling_row(old, version))
    return native_rows(TABLE, COLUMNS, rows.values())


def full_row(trace_id: str, spans: Sequence[SpanRow], one_in: int, version: int) -> list[Any]:
    """The row of a trace with all COLUMNS. `spans` must not be empty."""
    inserted = max(span.inserted for span in spans)
    row, links = settled_row(trace_id, spans)
    return [*row, one_in, version, 0, inserted, *links]


def span_rows(spans: Iterable[SettleRowsRow]) -> Mapping[str, Sequence[SpanRow]]:
    """The spans by trace id, in the order in which settle_traces has them."""
    traces: defaultdict[str, list[tuple[tuple[Any, ...], SpanRow]]] = defaultdict(list)
    for span in spans:
        row = _span_row(span)
        code = CODES.get(row.kind, 0)
        order = (row.began, -row.ended, row.id, row.parent, code, *row[4:9])
        traces[span["trace_id"]].append((order, row))
    return {trace_id: [row for _, row in sorted(rows)] for trace_id, rows in sorted(traces.items())}


def _span_row(span: SettleRowsRow) -> SpanRow:
    # Of several attributes with one name the first counts.
    names = [name for name, _ in span["attributes"]]
    attributes = dict(reversed(span["attributes"]))
    domains = dict(zip(reversed(names), reversed(span["domains"]), strict=True))
    type, target, summary = target_of(CODES.get(span["kind"], 0), attributes, domains)
    return SpanRow(
        f"{span['id']:016x}",
        f"{span['parent']:016x}" if span["parent"] else "",
        span["began"],
        span["ended"],
        span["failed"],
        type,
        span["service"],
        span["name"],
        span["kind"],
        span["environment"],
        target,
        summary,
        span["inserted"],
    )


def _cancelling_row(stored: SettleStoredRow, version: int) -> list[Any]:
    values: dict[str, Any] = {
        "ServiceName": stored["service"],
        "SpanName": stored["name"],
        "Timestamp": stored["began"],
        "TraceId": stored["trace_id"],
        "OneIn": 1,
        "Version": version,
        "IsDeleted": 1,
        "InsertedAt": stored["now"],
    }
    empty: dict[bool, Any] = {True: [], False: 0}
    return [
        values.get(name, "" if kind == "String" else empty[kind.startswith("Array")])
        for name, kind in COLUMNS.items()
    ]
