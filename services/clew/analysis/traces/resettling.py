"""Settles again the traces whose rows are from before columns that rows have since: for commands.

New spans are the settler's work; a trace that it settles meanwhile has a later version or is left
out here. Weights of sampled traces are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from clew.analysis import queries
from clew.analysis.native_rows import native_rows
from clew.analysis.traces import few
from clew.analysis.traces.settling import Settling
from clew.storage.statements import Statements

BATCH = 500  # traces
LISTED = 20_000  # traces of a statement that lists them: each reads the whole hour


@dataclass(frozen=True)
class ResettlingProgress:
    """How many of the traces are settled again; all that start from `reached` on are."""

    traces: int
    total: int
    reached: str


def settle_older_rows(
    settling: Settling, statements: Statements, start: str, end: str
) -> Iterator[ResettlingProgress]:
    """Settle the traces that start in [start, end) (text for a query) and whose rows lack columns,
    the newest first. Each step of the iterator does a part of the work. Raises StorageError. It can
    be stopped, and repeated."""
    hours = statements.rows(queries.SETTLE_OLDER_HOURS, start=start, end=end)
    if not hours:
        return
    progress = ResettlingProgress(0, sum(hour["traces"] for hour in hours), end)
    for hour in hours:
        settled: set[str] = set()
        while True:
            # Before the traces are listed: what the settler settles from now on is newer.
            version = settling.next_version()
            bounds = {"since": hour["since"], "before": hour["before"], "limit": LISTED}
            rows = [
                row
                for row in statements.rows(queries.SETTLE_OLDER, **bounds)
                if row["trace_id"] not in settled
            ]
            if not rows:
                break
            settled |= {row["trace_id"] for row in rows}
            for first in range(0, len(rows), BATCH):
                batch = rows[first : first + BATCH]
                _settle(statements, batch, version)
                traces = min(progress.traces + len(batch), progress.total)
                progress = replace(progress, traces=traces)
                yield progress
        progress = replace(progress, reached=hour["since"])
    yield replace(progress, traces=progress.total, reached=start)


def _settle(statements: Statements, rows: list[queries.SettleOlderRow], version: int) -> None:
    weights = {row["trace_id"]: row["one_in"] for row in rows}
    spans = statements.rows(
        queries.SETTLE_ROWS,
        trace_ids=list(weights),
        start=min(row["first"] for row in rows),
        end=max(row["last"] for row in rows),
        **few.SPAN_PARAMETERS,
    )
    new_rows = (
        few.full_row(trace_id, trace_spans, weights[trace_id], version)
        for trace_id, trace_spans in few.span_rows(spans).items()
    )
    statements.insert_rows(native_rows(few.TABLE, few.COLUMNS, new_rows))
