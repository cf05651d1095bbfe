"""Instances of a business transaction: what the glossary calls occurrences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query

from clew.analysis.transactions.definitions import Definition
from clew.api import defined_transactions
from clew.api.answer import Answer, AnswerDependency
from clew.api.breakdown import read_breakdown
from clew.api.defined_transactions import DefinitionsDependency
from clew.api.freshness import reads
from clew.api.instance_filters import InstanceFilters, InstanceFiltersDependency
from clew.api.joined import (
    read_deployments,
    read_exceptions,
    read_logs,
)
from clew.api.linked_metrics import read_linked_metrics
from clew.api.models import joined as models
from clew.api.parameters import (
    ANY_TIME,
    BAD_CURSOR,
    EARLIEST,
    SECOND,
    CommonDependency,
    CommonParameters,
    covering_window,
    extent_parameters,
    full_trace_id,
    split_page,
    sql_time,
    sql_time_from_rfc3339,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.selection import TraceSelection, find_processes
from clew.api.sorting import Order, sort_parameter
from clew.api.trace_view import read_trace
from clew.api.traces import trace_summaries
from clew.api.transactions import automatic_selection, find_transaction
from clew.storage import (
    OF_A_TRACE,
    OF_SEVERAL_TRACES,
    SETTLED,
    SETTLED_OF_SEVERAL_TRACES,
    SETTLED_OTHER,
    AttributeFilter,
    occurrences_that_carry,
    queries,
)

router = routes("transactions")

TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}", re.ASCII)
MAX_TRACES = 20  # of one instance, shown whole
# Metrics of an instance's processes are shown from before and after it too.
METRICS_MARGIN = 300 * SECOND
TRACE_MARGIN = 3600 * SECOND  # in which spans of a trace lie before and after the window
NO_LIMIT = float("inf")

Status = Annotated[
    Literal["ok", "error"] | None, Query(description="Only instances with this outcome.")
]
MinDuration = Annotated[
    float,
    Query(
        ge=0, description="Only instances whose duration (`by`) is at least this, in milliseconds."
    ),
]
MaxDuration = Annotated[
    float | None,
    Query(
        ge=0, description="Only instances whose duration (`by`) is at most this, in milliseconds."
    ),
]
By = Annotated[
    Literal["entry", "working", "elapsed"],
    Query(
        description="The duration that `min_duration_ms`, `max_duration_ms` and `sort=duration` "
        "mean. `entry`: of the matched entry span (`entry_duration_ms`). `working`: the time "
        "during which at least one span ran (`working_ms`). `elapsed`: from the first start to the "
        "last end (`duration_ms`). An automatic transaction has that of the entry alone."
    ),
]
Carried = Annotated[
    list[str],
    Query(
        description="Only instances of which a span or a log record has this attribute; written as "
        "in the search of traces. May be repeated: each must hold, but not for the same span. With "
        "`!=`, none may have the value.",
        examples=[["user.id=4711"]],
    ),
]
SORTS = ("start", "duration", "value")
User = Annotated[
    str | None,
    Query(description="Only instances of this user. Automatic transactions have no users."),
]


@router.get("/{transaction_id}/instances", response_model=models.Instances)
@reads("traces", "logs", settled=True)
def list_instances(
    transaction_id: str,
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
    status: Status = None,
    min_duration_ms: MinDuration = 0.0,
    max_duration_ms: MaxDuration = None,
    by: By = "entry",
    user: User = None,
    attr: Carried = [],  # noqa: B006 (FastAPI copies it)
    *,
    counted: InstanceFiltersDependency,
    sort: Annotated[str | None, sort_parameter(SORTS, "start")] = None,
) -> dict[str, Any]:
    """The instances (occurrences) of a transaction, newest first. Each trace of an automatic
    transaction is an instance; its key is the trace id."""
    transaction = find_transaction(answer, definitions, transaction_id)
    answer.rests_on_settled_traces()
    order = Order.parse(sort, SORTS, "start", common.position)
    parameters: dict[str, Any] = {
        **_order_parameters(order, common.position),
        "is_error": None if status is None else status == "error",
        "min_duration_ms": min_duration_ms,
        "max_duration_ms": NO_LIMIT if max_duration_ms is None else max_duration_ms,
        "limit": common.limit + 1,
    }
    attributes = [AttributeFilter.parse(text) for text in attr]
    if isinstance(transaction, Definition):
        parameters |= {"user": user, "by": by}
        return _defined_instances(
            answer, common, transaction, order, parameters, attributes, counted
        )
    counted.check_automatic()
    if user is not None:
        return answer.document(instances=[], next_cursor=None)
    return _automatic_instances(answer, common, transaction, order, parameters, attributes, counted)


def _order_parameters(order: Order, position: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of queries that sort instances, and begin after the cursor's position."""
    sign = -1 if order.is_reversed else 1
    bits = position.get("value", 0)
    if type(bits) is not int or not -(2**63) <= bits < 2**63:
        raise Problem(400, BAD_CURSOR)
    return {
        "sort": order.key,
        "sign": sign,
        "time_sign": sign if order.key == "start" else 1,
        "after_time": position.get("time"),
        "after_rank": bits,
        "after_id": str(position.get("id", "")),
    }


def _defined_instances(
    answer: Answer,
    common: CommonParameters,
    definition: Definition,
    order: Order,
    parameters: dict[str, Any],
    attributes: list[AttributeFilter],
    counted: InstanceFilters,
) -> dict[str, Any]:
    occurrences = {
        **common.window.parameters,
        "environment": common.environment,
        "defined": definition.id,
    }
    filters, values = occurrences_that_carry(attributes, OF_SEVERAL_TRACES)
    by_outcome, outcome_values = counted.by_outcome(definition)
    by_traces, trace_values = counted.by_traces(SETTLED_OF_SEVERAL_TRACES, OF_SEVERAL_TRACES)
    filters += by_outcome + by_traces
    values |= outcome_values | trace_values
    if attributes or by_traces:
        extent = answer.first_row(queries.OCCURRENCE_EXTENT, **occurrences)
        if extent is None or not extent["occurrences"]:
            return answer.document(instances=[], next_cursor=None)
        values["carried_from"] = values["from"] = sql_time_from_rfc3339(extent["start"])
        values["carried_to"] = values["to"] = sql_time_from_rfc3339(extent["end"])
    rows = answer.rows(
        queries.DEFINED_INSTANCES, filters, **values, **occurrences, key=None, **parameters
    )
    page, has_more = split_page(rows, common.limit)
    return answer.document(
        instances=[defined_transactions.instance_document(row, definition) for row in page],
        next_cursor=_next_cursor(common, order, page[-1]["at"], page[-1]["key"], page[-1])
        if has_more
        else None,
    )


def _automatic_instances(
    answer: Answer,
    common: CommonParameters,
    names: queries.TransactionNamesRow,
    order: Order,
    parameters: dict[str, Any],
    attributes: list[AttributeFilter],
    counted: InstanceFilters,
) -> dict[str, Any]:
    selection = automatic_selection(names, common)
    filters, values = occurrences_that_carry(attributes, OF_A_TRACE)
    if attributes:
        values["carried_from"] = sql_time(max(EARLIEST, common.window.start - TRACE_MARGIN))
        values["carried_to"] = sql_time(common.window.end + TRACE_MARGIN)
    settled = SETTLED if selection.named else SETTLED_OTHER
    by_traces, trace_values = counted.by_traces(settled, OF_A_TRACE)
    rows = answer.rows(
        queries.TRANSACTION_ENTRIES,
        filters + by_traces,
        **values,
        **trace_values,
        **selection.parameters,
        **parameters,
    )
    page, has_more = split_page(rows, common.limit)
    summaries = trace_summaries(answer, {row["trace_id"] for row in page})
    return answer.document(
        instances=[_automatic_document(row, summaries.get(row["trace_id"])) for row in page],
        next_cursor=_next_cursor(common, order, page[-1]["start"], page[-1]["trace_id"], page[-1])
        if has_more
        else None,
    )


def _next_cursor(
    common: CommonParameters,
    order: Order,
    time: str,
    id: str,
    row: queries.DefinedInstancesRow | queries.TransactionEntriesRow,
) -> str:
    return common.next_cursor(
        time=sql_time_from_rfc3339(time), id=id, value=row["rank_bits"], sort=str(order)
    )


@router.get("/{transaction_id}/instances/{key:text}", response_model=models.InstanceView)
@reads("traces", "logs", "metrics", settled=True)
def get_instance(
    transaction_id: str,
    key: str,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> dict[str, Any]:
    """One instance (occurrence) with its whole traces, where its time went, what it called, logs,
    exceptions, linked metrics and deployments.

    `limit` holds for each of its lists; it has at most 20 traces."""
    transaction = find_transaction(answer, definitions, transaction_id)
    answer.rests_on_settled_traces()
    attributes: list[tuple[str, str]] = []
    if isinstance(transaction, Definition):
        instance = _defined_instance(answer, transaction, key)
        if instance is None and TRACE_ID.fullmatch(key):
            instance = _defined_instance(answer, transaction, full_trace_id(key))
        names = ("business.key", *(source.attr for source in transaction.key_attributes))
        attributes = [(name, key) for name in dict.fromkeys(names)]
    else:
        instance = _automatic_instance(answer, transaction, full_trace_id(key))
    if instance is None:
        raise Problem(404, f"{transaction_id} has no instance with the key {key!r}")
    return _view(answer, instance, attributes, limit)


def _view(
    answer: Answer, instance: dict[str, Any], attributes: list[tuple[str, str]], limit: int
) -> dict[str, Any]:
    """The document of one instance. `attributes`: those by which metrics belong to it."""
    ids = instance["trace_ids"]
    max_traces = min(limit, MAX_TRACES)
    if len(ids) > max_traces:
        answer.mark_truncated()
    summaries = trace_summaries(answer, ids)
    stored = [summaries[id] for id in ids if id in summaries]
    if not stored:
        raise Problem(404, f"the traces of {instance['key']!r} are no longer stored")
    window = covering_window(stored)
    metrics_window = covering_window(stored, METRICS_MARGIN)
    selection = TraceSelection(window, trace_ids=tuple(ids), extent=extent_parameters(stored))
    oldest = sorted(summaries, key=lambda id: (summaries[id]["start"], id))[:max_traces]
    processes, breakdown, exceptions, traces = answer.in_parallel(
        lambda: find_processes(answer, selection),
        lambda: read_breakdown(answer, selection, None, len(ids), len(ids), limit),
        lambda: read_exceptions(answer, selection, limit),
        lambda: answer.in_parallel(*(partial(_trace_document, answer, id) for id in oldest)),
    )
    metrics, logs, deployments = answer.in_parallel(
        lambda: read_linked_metrics(
            answer,
            TraceSelection(metrics_window, trace_ids=tuple(ids)),
            len(ids),
            processes,
            metrics_window.step,
            [],
            attributes,
            limit,
            ids,
        ),
        lambda: read_logs(answer, selection, len(ids), processes, limit),
        lambda: read_deployments(answer, {*instance["services"], *processes.services}, None, limit),
    )
    return answer.document(
        instance=instance,
        traces=traces,
        **breakdown.members,
        logs=logs,
        exceptions=exceptions,
        metrics=metrics,
        deployments=deployments,
    )


def _trace_document(answer: Answer, trace_id: str) -> dict[str, Any]:
    """A trace as `WholeTrace`."""
    trace = read_trace(answer, trace_id)
    return trace.document() if trace else {}


def _defined_instance(answer: Answer, definition: Definition, key: str) -> dict[str, Any] | None:
    row = answer.first_row(
        queries.DEFINED_INSTANCES,
        **ANY_TIME,
        environment=None,
        defined=definition.id,
        key=key,
        **_order_parameters(Order("start"), {}),
        by="entry",
        is_error=None,
        min_duration_ms=0.0,
        max_duration_ms=NO_LIMIT,
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
