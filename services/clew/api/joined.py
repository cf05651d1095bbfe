"""Parts of a joined view: logs, exceptions and deployments of the traces that it is about."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from clew.api.answer import Answer
from clew.api.parameters import SECOND, Window, sql_time
from clew.api.selection import MAX_TRACES, SLICES, Processes, TraceSelection
from clew.storage import queries

MAX_LOGS = 50  # for each kind of link
MAX_EXCEPTIONS = 50
MAX_DEPLOYMENTS = 100


def read_trace_logs(
    answer: Answer, selection: TraceSelection, count: int
) -> list[queries.LinkedLogsRow]:
    """The newest log records that have the id of one of the traces.

    If an automatic transaction has many traces (`count`), the end of the window is read first: the
    records of its last 1/SLICES, of traces that began at most an hour before. It usually contains
    enough."""
    window = selection.window
    if selection.service and count > MAX_TRACES:
        end_start = window.end - (window.end - window.start) // SLICES
        traces = Window(max(window.start, end_start - 3600 * SECOND), window.end)
        parameters = selection.parameters | traces.parameters | {"from": sql_time(end_start)}
        rows = answer.rows(queries.LINKED_LOGS, **parameters, limit=MAX_LOGS + 1)
        if len(rows) > MAX_LOGS:
            answer.mark_truncated()
            return rows[:MAX_LOGS]
    return answer.limited_rows(queries.LINKED_LOGS, MAX_LOGS, **selection.parameters)


def read_process_logs(
    answer: Answer, window: Window, processes: Processes
) -> list[queries.ProcessLogsRow]:
    """The newest log records of the processes that have no trace id."""
    if not processes.instances:
        return []
    parameters = window.parameters | processes.parameters
    return answer.limited_rows(queries.PROCESS_LOGS, MAX_LOGS, **parameters)


def read_exceptions(answer: Answer, selection: TraceSelection) -> list[dict[str, Any]]:
    """Exceptions of the traces, grouped by service, type, message and the innermost frame of the
    service's own code."""
    rows = answer.limited_rows(queries.EXCEPTIONS, MAX_EXCEPTIONS, **selection.parameters)
    return [{**row, "frame": row["frame"] or None} for row in rows]


def read_deployments(
    answer: Answer, services: Collection[str], environment: str | None
) -> list[queries.DeploymentsRow]:
    """The versions of the services, with the time when each was first seen."""
    return answer.limited_rows(
        queries.DEPLOYMENTS,
        MAX_DEPLOYMENTS,
        services=sorted(services),
        environment=environment,
    )
