"""The example traces of a joined view: the slowest, the newest with an error, typical ones."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from clew.api.answer import Answer
from clew.api.parameters import rfc3339
from clew.api.selection import Entries, TraceSelection
from clew.api.traces import trace_summaries
from clew.storage import queries

EXAMPLES = 5  # of each kind
KINDS = ("slowest", "errors", "typical")

TraceIds = Sequence[str]


def read_example_traces(
    answer: Answer,
    selection: TraceSelection,
    traces: int,
    p99_ms: float | None,
    limit: int,
    transaction_id: str,
    entries: Entries | None,
) -> dict[str, list[queries.TracesByIdRow]]:
    """Summaries of at most `limit` example traces of each kind. `entries`: of the so many traces,
    None if they are too many to be read.

    Of many traces, only those that took about the p99 or longer can be slowest (the p99 has an
    error of 1 %)."""
    roots: dict[str, int] = {}
    examples: dict[str, TraceIds] = {}
    if entries is None:
        slow_ns = 0.0 if p99_ms is None else 0.97e6 * p99_ms
        row = answer.first_row(
            queries.TRANSACTION_TRACES,
            **selection.parameters,
            **selection.slice_parameters(traces),
            slow=slow_ns,
        )
        if row is not None:
            examples = dict(
                zip(KINDS, (row["slowest"], row["errors"], row["typical"]), strict=True)
            )
    else:
        examples = _examples(entries)
        if selection.named and len(selection.names) == 1:
            roots = dict(zip(entries.trace_id, entries.entered, strict=True))
    examples = {kind: examples.get(kind, ())[:limit] for kind in KINDS}
    ids = {id for chosen in examples.values() for id in chosen}
    summaries = _summaries_of_roots(
        answer, selection, {id: roots[id] for id in sorted(ids & roots.keys())}, transaction_id
    )
    summaries |= trace_summaries(answer, ids - summaries.keys())
    return {
        kind: [summaries[id] for id in chosen if id in summaries]
        for kind, chosen in examples.items()
    }


def _examples(entries: Entries) -> dict[str, TraceIds]:
    """As transaction_traces.sql chooses them, of one trace of each occurrence."""
    rows = list(
        zip(
            entries.took,
            entries.entered,
            entries.trace_id,
            entries.is_error,
            entries.last,
            entries.failed,
            strict=True,
        )
    )
    succeeded = [(took, id) for took, _, id, is_error, last, _ in rows if last and not is_error]
    durations = sorted(took for took, _ in succeeded)
    median = durations[(len(durations) - 1) // 2] if durations else 0
    return {
        "slowest": _least((-took, id) for took, _, id, _, last, _ in rows if last),
        "errors": _least(
            (-time, id) for _, time, id, is_error, _, failed in rows if failed and is_error
        ),
        "typical": _least((abs(took - median), id) for took, id in succeeded),
    }


def _least(ranked: Iterable[tuple[int, str]]) -> TraceIds:
    return [id for _, id in heapq.nsmallest(EXAMPLES, ranked)]


def _summaries_of_roots(
    answer: Answer, selection: TraceSelection, roots: Mapping[str, int], transaction_id: str
) -> dict[str, queries.TracesByIdRow]:
    """Summaries of those of the traces that enter at the selection's only operation, by trace id.
    `roots`: the start of each trace's span of this operation, in nanoseconds since 1970. If the
    trace has another, earlier root, that is its entry."""
    rows = answer.rows(queries.ENTERED_TRACES, trace_ids=list(roots)) if roots else []
    rows_by_id = defaultdict(list)
    for row in rows:
        rows_by_id[row["trace_id"]].append(row)
    summaries: dict[str, queries.TracesByIdRow] = {}
    for id, parts in rows_by_id.items():
        if min(part["entry_key"] for part in parts) != roots[id]:
            continue
        start, end = min(part["start"] for part in parts), max(part["end"] for part in parts)
        summaries[id] = {
            "trace_id": id,
            "root_service": selection.service,
            "root_operation": selection.names[0],
            "transaction_id": transaction_id,
            "start": rfc3339(start),
            "end": rfc3339(end),
            "duration_ms": (end - start) / 1e6,
            "span_count": sum(part["span_count"] for part in parts),
            "error_count": sum(part["error_count"] for part in parts),
            "services": sorted({service for part in parts for service in part["services"]}),
        }
    return summaries
