"""Instances of a business transaction: what the glossary calls occurrences."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query

from clew.analysis.transactions.definitions import Definition
from clew.api import defined_transactions, models
from clew.api.answer import Answer, AnswerDependency
from clew.api.breakdown import read_breakdown
from clew.api.defined_transactions import DefinitionsDependency
from clew.api.joined import (
    read_deployments,
    read_exceptions,
    read_process_logs,
    read_trace_logs,
)
from clew.api.linked_metrics import read_linked_metrics
from clew.api.parameters import (
    ANY_TIME,
    SECOND,
    CommonDependency,
    CommonParameters,
    covering_window,
    extent_parameters,
    split_page,
    sql_time_from_rfc3339,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.selection import TraceSelection, find_processes
from clew.api.trace_view import read_trace
from clew.api.traces import trace_summaries
from clew.api.transactions import automatic_selection, find_transaction
from clew.storage import queries

router = routes("transactions")

MAX_TRACES = 20  # of one instance, shown whole
# Metrics of an instance's processes are shown from before and after it too.
METRICS_MARGIN = 300 * SECOND

Status = Annotated[
    Literal["ok", "error"] | None, Query(description="Only instances with this outcome.")
]
MinDuration = Annotated[
    float,
    Query(ge=0, description="Only instances that took at least this long, in milliseconds."),
]
User = Annotated[
    str | None,
    Query(description="Only instances of this user. Automatic transactions have no users."),
]


@router.get("/{transaction_id}/instances", response_model=models.Instances)
def list_instances(
    transaction_id: str,
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
    status: Status = None,
    min_duration_ms: MinDuration = 0.0,
    user: User = None,
) -> dict[str, Any]:
    """The instances (occurrences) of a transaction, newest first. Each trace of an automatic
    transaction is an instance; its key is the trace id."""
    transaction = find_transaction(answer, definitions, transaction_id)
    parameters: dict[str, Any] = {
        "after_time": common.position.get("time"),
        "after_id": str(common.position.get("id", "")),
        "is_error": None if status is None else status == "error",
        "min_duration_ms": min_duration_ms,
        "limit": common.limit + 1,
    }
    if isinstance(transaction, Definition):
        return _defined_instances(answer, common, transaction, parameters | {"user": user})
    if user is not None:
        return answer.document(instances=[], next_cursor=None)
    return _automatic_instances(answer, common, transaction, parameters)


def _defined_instances(
    answer: Answer, common: CommonParameters, definition: Definition, parameters: dict[str, Any]
) -> dict[str, Any]:
    rows = answer.rows(
        queries.DEFINED_INSTANCES,
        **common.window.parameters,
        environment=common.environment,
        defined=definition.id,
        key=None,
        **parameters,
    )
    page, has_more = split_page(rows, common.limit)
    return answer.document(
        instances=[defined_transactions.instance_document(row, definition) for row in page],
        next_cursor=_next_cursor(common, page[-1]["at"], page[-1]["key"]) if has_more else None,
    )


def _automatic_instances(
    answer: Answer,
    common: CommonParameters,
    names: queries.TransactionNamesRow,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    selection = automatic_selection(names, common)
    rows = answer.rows(queries.TRANSACTION_ENTRIES, **selection.parameters, **parameters)
    page, has_more = split_page(rows, common.limit)
    summaries = trace_summaries(answer, {row["trace_id"] for row in page})
    return answer.document(
        instances=[_automatic_document(row, summaries.get(row["trace_id"])) for row in page],
        next_cursor=_next_cursor(common, page[-1]["start"], page[-1]["trace_id"])
        if has_more
        else None,
    )


def _next_cursor(common: CommonParameters, time: str, id: str) -> str:
    return common.next_cursor(time=sql_time_from_rfc3339(time), id=id)


@router.get("/{transaction_id}/instances/{key:path}", response_model=models.InstanceView)
def get_instance(
    transaction_id: str,
    key: str,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
) -> dict[str, Any]:
    """One instance (occurrence) with its whole traces, where its time went, what it called, logs,
    exceptions, linked metrics and deployments."""
    transaction = find_transaction(answer, definitions, transaction_id)
    attributes: list[tuple[str, str]] = []
    if isinstance(transaction, Definition):
        instance = _defined_instance(answer, transaction, key)
        attributes = [("business.key", key), *((source.attr, key) for source in transaction.key)]
    else:
        instance = _automatic_instance(answer, transaction, key)
    if instance is None:
        raise Problem(404, f"{transaction_id} has no instance with the key {key!r}")
    return _view(answer, instance, attributes)


def _view(
    answer: Answer, instance: dict[str, Any], attributes: list[tuple[str, str]]
) -> dict[str, Any]:
    """The document of one instance. `attributes`: those by which metrics belong to it."""
    ids = instance["trace_ids"]
    if len(ids) > MAX_TRACES:
        answer.mark_truncated()
    summaries = trace_summaries(answer, ids)
    stored = [summaries[id] for id in ids if id in summaries]
    if not stored:
        raise Problem(404, f"the traces of {instance['key']!r} are no longer stored")
    window = covering_window(stored)
    metrics_window = covering_window(stored, METRICS_MARGIN)
    selection = TraceSelection(window, trace_ids=tuple(ids), extent=extent_parameters(stored))
    oldest = sorted(summaries, key=lambda id: (summaries[id]["start"], id))[:MAX_TRACES]
    processes, breakdown, trace_logs, exceptions, traces = answer.in_parallel(
        lambda: find_processes(answer, selection),
        lambda: read_breakdown(answer, selection, None, len(ids)),
        lambda: read_trace_logs(answer, selection, len(ids)),
        lambda: read_exceptions(answer, selection),
        lambda: answer.in_parallel(*(partial(_trace_document, answer, id) for id in oldest)),
    )
    metrics, process_logs, deployments = answer.in_parallel(
        lambda: read_linked_metrics(
            answer,
            TraceSelection(metrics_window, trace_ids=tuple(ids)),
            len(ids),
            processes,
            metrics_window.step,
            [],
            attributes,
        ),
        lambda: read_process_logs(answer, window, processes),
        lambda: read_deployments(answer, {*instance["services"], *processes.services}, None),
    )
    return answer.document(
        instance=instance,
        traces=traces,
        **breakdown,
        logs=[*trace_logs, *process_logs],
        exceptions=exceptions,
        metrics=metrics,
        deployments=deployments,
    )


def _trace_document(answer: Answer, trace_id: str) -> dict[str, Any]:
    """A trace as `models.WholeTrace`."""
    trace = read_trace(answer, trace_id)
    return trace.document() if trace else {}


def _defined_instance(answer: Answer, definition: Definition, key: str) -> dict[str, Any] | None:
    row = answer.first_row(
        queries.DEFINED_INSTANCES,
        **ANY_TIME,
        environment=None,
        defined=definition.id,
        key=key,
        after_time=None,
        after_id="",
        is_error=None,
        min_duration_ms=0.0,
        user=None,
        limit=1,
    )
    return defined_transactions.instance_document(row, definition) if row else None


def _automatic_instance(
    answer: Answer, names: queries.TransactionNamesRow, trace_id: str
) -> dict[str, Any] | None:
    """The trace with this id, if it is one of the automatic transaction."""
    entry = answer.first_row(queries.TRACE_ENTRY, id=trace_id)
    if entry is None or entry["service"] != names["service"]:
        return None
    if (entry["operation"] in names["names"]) != names["named"]:
        return None
    return _automatic_document(entry, trace_summaries(answer, [trace_id]).get(trace_id))


def _automatic_document(
    row: queries.TransactionEntriesRow | queries.TraceEntryRow,
    summary: queries.TracesByIdRow | None,
) -> dict[str, Any]:
    """A trace as `models.Instance`."""
    return {
        "key": row["trace_id"],
        "trace_ids": [row["trace_id"]],
        "start": row["start"],
        "duration_ms": row["duration_ms"],
        "status": "error" if row["is_error"] else "ok",
        "user": None,
        "value": None,
        "services": summary["services"] if summary else [],
        "span_count": summary["span_count"] if summary else 0,
        "steps": [],
    }
