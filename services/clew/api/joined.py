"""Parts of a joined view: logs, exceptions and deployments of the traces that it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from clew.api.answer import Answer
from clew.api.parameters import SECOND, Window, read_rfc3339
from clew.api.selection import SLICES, Processes, TraceSelection
from clew.storage import queries

FULL_READ = 3600 * SECOND  # of the records without a trace, those of so much time are read
LINKS = ("trace", "resource")

Row = TypeVar("Row")


def read_logs(
    answer: Answer, selection: TraceSelection, count: int, processes: Processes, limit: int
) -> list[dict[str, Any]]:
    """At most `limit` log records as `models.LinkedLog`: those with the id of one of the `count`
    traces, and those of the processes that have no trace id. Errors first, then warnings; of each
    the strongest link first, then the newest; the others are spread over the window."""
    window = selection.window
    slices = selection.slice_parameters(count)
    process_stride = -(-(window.end - window.start) // SLICES)
    parameters = selection.parameters | slices
    records = "log_records_sliced" if slices["sliced"] else "log_records_all"
    keys = answer.rows(
        queries.LOG_KEYS,
        **parameters | {"forms": {**selection.forms, "log_records": records}},
        **processes.parameters,
        process_stride=process_stride,
        process_part=min(process_stride, FULL_READ // SLICES),
        spread=_spread(window, limit),
        limit=limit + 1,
    )
    return _read_records(answer, window, keys, processes, limit) if keys else []


def _read_records(
    answer: Answer,
    window: Window,
    keys: Sequence[queries.LogKeysRow],
    processes: Processes,
    limit: int,
) -> list[dict[str, Any]]:
    """The log records to show of those with these keys."""
    rows = answer.rows(
        queries.LINKED_LOGS,
        slots=sorted({key["slot"] for key in keys}),
        services=sorted({key["service"] for key in keys}),
        keys=[
            (key["service"], key["time"], key["trace_id"], key["span_id"], key["severity"])
            for key in keys
        ],
        processes=list(processes.instances),
        limit=limit + 1,
    )
    by_link = [[row for row in rows if row["linked_by"] == link] for link in LINKS]
    return _joined_logs([_spread_rows(answer, link, window, limit) for link in by_link], limit)


def _spread(window: Window, limit: int) -> int:
    """Nanoseconds of the window for each of `limit` records."""
    return max(1, (window.end - window.start) // limit)


def _spread_rows(
    answer: Answer, rows: Sequence[queries.LinkedLogsRow], window: Window, limit: int
) -> list[queries.LinkedLogsRow]:
    """At most `limit` of the rows, which are the newest first: the most severe ones, and of each
    severity the newest of every part of the window, before the second newest of any."""
    if len(rows) > limit:
        answer.mark_truncated()
    spread = _spread(window, limit)
    places: Counter[tuple[int, int]] = Counter()
    ranked = []
    for number, row in enumerate(rows):
        part = (row["gravity"], (read_rfc3339(row["time"]) - window.start) // spread)
        places[part] += 1
        ranked.append((-row["gravity"], places[part], number, row))
    return [row for *_, row in sorted(ranked, key=lambda entry: entry[:3])[:limit]]


def _joined_logs(
    lists: Sequence[Sequence[queries.LinkedLogsRow]], limit: int
) -> list[dict[str, Any]]:
    shares = fair_shares(lists, limit)
    rows = [row for share in shares for row in share]
    rows.sort(key=lambda row: row["time"], reverse=True)
    rows.sort(key=lambda row: (-row["gravity"], LINKS.index(row["linked_by"])))
    return [{name: value for name, value in row.items() if name != "gravity"} for row in rows]


def fair_shares(lists: Sequence[Sequence[Row]], limit: int) -> list[Sequence[Row]]:
    """The beginnings of the lists, `limit` entries in all. No list is cut shorter than another
    one's beginning is long."""
    lengths = [0] * len(lists)
    while sum(lengths) < limit:
        open_lists = [n for n, entries in enumerate(lists) if lengths[n] < len(entries)]
        if not open_lists:
            break
        lengths[min(open_lists, key=lambda n: lengths[n])] += 1
    return [entries[:length] for entries, length in zip(lists, lengths, strict=True)]


def read_exceptions(answer: Answer, selection: TraceSelection, limit: int) -> list[dict[str, Any]]:
    """Exceptions of the traces, grouped by service, type, message and the innermost frame of the
    service's own code."""
    rows = answer.limited_rows(queries.EXCEPTIONS, limit, **selection.parameters)
    return [{**row, "frame": row["frame"] or None} for row in rows]


def read_deployments(
    answer: Answer, services: Collection[str], environment: str | None, limit: int
) -> list[queries.DeploymentsRow]:
    """The versions of the services, with the time when each was first seen."""
    return answer.limited_rows(
        queries.DEPLOYMENTS,
        limit,
        services=sorted(services),
        environment=environment,
    )
