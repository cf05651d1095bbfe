"""A trace in parts: its outline, details of rows, log records, metrics and occurrences.

Each part is a request of its own, so that one that takes long does not delay the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import pydantic_core
from fastapi import Query
from fastapi.responses import StreamingResponse

from clew.analysis.traces.paths import NONE
from clew.api.answer import Answer, AnswerDependency
from clew.api.freshness import reads
from clew.api.models import outline as models
from clew.api.parameters import full_trace_id, sql_time
from clew.api.problems import Problem
from clew.api.reference import json_lines, routes
from clew.api.trace_parts import (
    MAX_OCCURRENCES,
    TraceExtent,
    read_logs,
    read_metrics,
    read_transactions,
)
from clew.api.trace_tree import (
    ENDS_BEFORE_START,
    TraceTree,
    read_tree,
    times_document,
    tree_document,
)
from clew.storage import queries

router = routes("traces")

MAX_ROWS = 1000  # of which details are read at once
MAX_PROCESSES = 1000
RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
# Columns that tell one stored span from others with its id.
IDENTITY = ("id", "parent_id", "began", "lasted", "kind")
STORED_MEMBERS = ("instance", "began", "lasted", "ends_before_start", "transaction")

SpanId = Annotated[
    str | None,
    Query(
        alias="span",
        description="A span id: the response says where the span is in the outline.",
        examples=["eee19b7ec3c1b174"],
    ),
]
Rows = Annotated[
    str,
    Query(
        description=f"Rows of the outline: numbers and ranges, at most {MAX_ROWS:,} rows in all.",
        examples=["10-20,35"],
    ),
]
Version = Annotated[
    str | None,
    Query(
        description="`version` of the outline that has the rows. If the trace has another one now, "
        "the response is a problem (409)."
    ),
]


@router.get(
    "/{trace_id}/outline",
    response_class=StreamingResponse,
    responses=json_lines(models.OutlineTree, models.OutlineTimes),
)
@reads("traces")
def get_outline(trace_id: str, answer: AnswerDependency, span: SpanId = None) -> StreamingResponse:
    """All spans of a trace in pre-order, as columns: what a waterfall needs, in a few bytes for
    each span. Two lines of JSON: the tree, then the times of its spans, which take longer to
    compute.

    Rows have no span ids; `GET /api/v1/traces/{trace_id}/spans` has them, with all else that is
    stored of a span. Of a trace with more than 100,000 spans the outline has the first ones."""
    tree = _read_tree(answer, trace_id)
    document = answer.document(
        **tree_document(full_trace_id(trace_id), tree), span=_place(tree, span)
    )

    def lines() -> Iterator[bytes]:
        yield pydantic_core.to_json(document) + b"\n"
        yield pydantic_core.to_json(times_document(tree)) + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def _read_tree(answer: Answer, trace_id: str) -> TraceTree:
    """The tree of a trace. Raises Problem 404."""
    tree = read_tree(answer, full_trace_id(trace_id))
    if tree is None:
        raise _unknown(trace_id)
    return tree


def _unknown(trace_id: str) -> Problem:
    return Problem(404, f"no trace has the id {trace_id!r}")


def _place(tree: TraceTree, span_id: str | None) -> dict[str, int | None] | None:
    """Where the span with this id is, as `models.OutlineSpan`; None if it is not in the outline."""
    id = (span_id or "").lower()
    sent_ids = tree.column("id") if tree.has_shared_ids else []
    for ids in (tree.shown_ids(), sent_ids):
        if id and id in ids:
            row = ids.index(id)
            depth = tree.depths[row]
            parent = tree.spans.parents[tree.rows[row]] if depth else NONE
            return {"row": row, "parent_row": None if parent == NONE else tree.rows.index(parent)}
    return None


@router.get(
    "/{trace_id}/spans",
    response_model=models.TraceSpans,
    responses={409: {"description": "Spans of the trace have come: its outline has other rows."}},
)
@reads("traces")
def get_spans(
    trace_id: str, answer: AnswerDependency, rows: Rows, version: Version = None
) -> dict[str, Any]:
    """Details of rows of a trace's outline: ids, attributes, events, links, resource."""
    numbers = parse_rows(rows)
    tree = _read_tree(answer, trace_id)
    if version is not None and version != tree.version:
        raise Problem(
            409,
            f"the outline has the version {tree.version} now, and its rows are others: get "
            "the outline again",
        )
    if max(numbers) >= len(tree.rows):
        raise Problem(400, f"rows={rows!r}: the outline has the rows 0 to {len(tree.rows) - 1}")
    return answer.document(
        trace_id=full_trace_id(trace_id),
        version=tree.version,
        spans=_details(answer, full_trace_id(trace_id), tree, numbers),
    )


def parse_rows(text: str) -> list[int]:
    """The rows of `10-20,35`, each once. Raises Problem 400."""
    rows: dict[int, None] = {}
    for part in text.split(","):
        numbers = RANGE.fullmatch(part.strip())
        if numbers is None:
            raise Problem(400, f"rows={text!r}: write numbers and ranges, such as 10-20,35")
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        if first > last:
            raise Problem(400, f"rows={text!r}: the range {part.strip()} is empty")
        rows |= dict.fromkeys(range(first, min(last, first + MAX_ROWS) + 1))
        if len(rows) > MAX_ROWS:
            raise Problem(400, f"rows: at most {MAX_ROWS:,} rows at a time")
    return list(rows)


def _details(
    answer: Answer, trace_id: str, tree: TraceTree, rows: Sequence[int]
) -> list[dict[str, Any]]:
    """The spans of these rows, as `models.SpanDetails`."""
    indexes = {row: tree.indexes[row] for row in rows}
    identities = {
        row: tuple(tree.stored[name][index] for name in IDENTITY) for row, index in indexes.items()
    }
    starts = [tree.stored["began"][index] for index in indexes.values()]
    lines = answer.text(
        queries.TRACE_DETAILS,
        trace_id=trace_id,
        ids=sorted({identity[0] for identity in identities.values()}),
        first=sql_time(min(starts)),
        last=sql_time(max(starts)),
    ).splitlines()
    details = {_identity(span): span for span in map(json.loads, lines)}
    return [
        {"row": row} | _with_computed_members(tree, row, details[identity])
        for row, identity in identities.items()
        if identity in details
    ]


def _identity(span: queries.TraceDetailsRow) -> tuple[Any, ...]:
    members = ("span_id", "parent_span_id", "began", "lasted", "kind")
    return tuple(dict(span)[name] for name in members)


def _with_computed_members(
    tree: TraceTree, row: int, stored: queries.TraceDetailsRow
) -> dict[str, Any]:
    spans, number = tree.spans, tree.rows[row]
    is_shared = spans.ids[number] != stored["span_id"]
    flags = tree.stored["flags"][tree.indexes[row]]
    return {
        **{name: value for name, value in stored.items() if name not in STORED_MEMBERS},
        "span_id": spans.ids[number],
        "parent_span_id": spans.parent_ids[number],
        "offset_ms": (stored["began"] - tree.start) / 1e6,
        "duration_ms": stored["lasted"] / 1e6,
        "flags": ["ends_before_start"] * (flags & ENDS_BEFORE_START)
        + ["shared_span_id"] * is_shared,
    }


@router.get("/{trace_id}/logs", response_model=models.TraceLogs)
@reads("traces", "logs")
def get_trace_logs(trace_id: str, answer: AnswerDependency) -> dict[str, Any]:
    """Log records of a trace, each with the row of its span in the outline."""
    id = full_trace_id(trace_id)
    extent = _read_extent(answer, trace_id)
    tree, logs = answer.in_parallel(
        lambda: _read_tree(answer, trace_id), lambda: read_logs(answer, id, extent)
    )
    places = _places(tree, {log["span_id"] for log in logs})
    documents = []
    for log in logs:
        rows = places.get(log["span_id"], {})
        row = rows.get(log["service"], next(iter(rows.values()), None))
        span_id = log["span_id"] if row is None else tree.spans.ids[tree.rows[row]]
        documents.append({**log, "span_id": span_id, "row": row})
    return answer.document(trace_id=id, version=tree.version, logs=documents)


def _places(tree: TraceTree, sent_ids: set[str]) -> dict[str, dict[str, int]]:
    """By span id as it was sent, the rows of the spans with this id: by their services."""
    places: dict[str, dict[str, int]] = {}
    services = tree.stored["service"]
    for row, (index, sent_id) in enumerate(zip(tree.indexes, tree.column("id"), strict=True)):
        if sent_id and sent_id in sent_ids:
            places.setdefault(sent_id, {}).setdefault(services[index], row)
    return places


def _read_extent(answer: Answer, trace_id: str) -> TraceExtent:
    """The extent of a trace. Raises Problem 404."""
    rows = answer.limited_rows(
        queries.TRACE_PROCESSES, MAX_PROCESSES, trace_id=full_trace_id(trace_id)
    )
    if not rows:
        raise _unknown(trace_id)
    return TraceExtent(
        min(row["began"] for row in rows),
        max(row["ended"] for row in rows),
        tuple((row["service"], row["instance"]) for row in rows),
    )


@router.get("/{trace_id}/metrics", response_model=models.TraceMetrics)
@reads("traces", "metrics")
def get_trace_metrics(trace_id: str, answer: AnswerDependency) -> dict[str, Any]:
    """Series of metrics with an exemplar of a trace, or from its processes at that time."""
    id = full_trace_id(trace_id)
    metrics = read_metrics(answer, id, _read_extent(answer, trace_id))
    return answer.document(trace_id=id, metrics=metrics)


@router.get("/{trace_id}/occurrences", response_model=models.TraceOccurrences)
@reads("traces", "logs", settled=True)
def get_trace_occurrences(trace_id: str, answer: AnswerDependency) -> dict[str, Any]:
    """The instances (occurrences) of transactions that a trace belongs to. `GET
    /api/v1/transactions/{transaction_id}/instances/{key}` has the other traces of one."""
    id = full_trace_id(trace_id)
    summaries, occurrences = answer.in_parallel(
        lambda: answer.rows(queries.TRACES_BY_ID, trace_ids=[id]),
        lambda: answer.limited_rows(queries.TRACE_OCCURRENCES, MAX_OCCURRENCES, trace_id=id),
    )
    if not summaries:
        raise _unknown(trace_id)
    (summary,) = summaries
    automatic = summary["transaction_id"] and (
        summary["transaction_id"],
        f"{summary['root_service']}: {summary['root_operation']}",
    )
    transactions = read_transactions(answer, id, automatic or None, occurrences)
    return answer.document(trace_id=id, **transactions)
