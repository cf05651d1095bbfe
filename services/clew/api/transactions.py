"""Business transactions: the list, the joined view of one, and its occurrences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query

from clew.analysis.transactions.definitions import Definition
from clew.api import defined as definitions
from clew.api import models
from clew.api.answer import Answer, Answering
from clew.api.defined import Defined
from clew.api.joined import (
    About,
    Processes,
    breakdown,
    deployments,
    exceptions,
    process_logs,
    processes,
    trace_logs,
)
from clew.api.metrics import linked_metrics
from clew.api.parameters import (
    ANY_TIME,
    SECOND,
    Common,
    CommonParameters,
    Window,
    extent,
    page,
    rfc3339,
    time_parameter,
    window_of,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.trace import read_trace
from clew.api.traces import summaries
from clew.storage import queries

router = routes("transactions")

QUANTILE_ERROR = 0.01  # of the sketches that percentiles come from
MOST_OVERFLOWING = 100
MOST_TRACES = 20  # of an occurrence, shown whole
AROUND = 300 * SECOND  # an occurrence's processes' metrics are shown from before and after it

Status = Annotated[Literal["ok", "error"] | None, Query(description="how occurrences ended")]
MinDuration = Annotated[float, Query(ge=0, description="occurrences that took at least so long")]
User = Annotated[str | None, Query(description="occurrences of this user")]


@router.get("", response_model=models.Transactions)
def list_transactions(
    common: CommonParameters, answer: Answering, defined: Defined
) -> dict[str, Any]:
    """Every business transaction of the window, the most frequent first."""
    automatic, own, services, overflow = answer.together(
        lambda: answer.rows(queries.TRANSACTIONS, **_counting(common), limit=common.limit + 1),
        lambda: _defined_rows(answer, defined, common),
        lambda: _services(answer, common),
        lambda: answer.most(queries.OVERFLOW, MOST_OVERFLOWING),
    )
    found = [
        _transaction(row["id"], row["service"], row["operation"], row, common.window, services)
        for row in automatic
    ]
    found += [each for each in own if _is_after(each, common)]
    found.sort(key=lambda row: (-row["count"], row["id"]))
    rows, more = page(found, common.limit)
    last = rows[-1] if rows else None
    return answer.of(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        transactions=list(rows),
        overflow=overflow,
        next_cursor=common.next_cursor(count=last["count"], id=last["id"])
        if more and last
        else None,
    )


@router.get("/{transaction_id}", response_model=models.JoinedView)
def joined_view(
    transaction_id: str, common: CommonParameters, answer: Answering, defined: Defined
) -> dict[str, Any]:
    """One transaction with everything that belongs to it: series, where its time went, what it
    called, traces worth opening, logs, exceptions, metrics of its processes, deployments."""
    named = named_by(answer, defined, transaction_id)
    if isinstance(named, Definition):
        return _joined_defined(answer, common, named)
    about = _about(named, common)
    series, services, ran, raised = answer.together(
        lambda: answer.rows(
            queries.TRANSACTION_SERIES,
            **about.parameters,
            **common.window.rollup,
            step=common.window.step,
        ),
        lambda: _services(answer, common, named["service"]),
        lambda: processes(answer, about),
        lambda: exceptions(answer, about),
    )
    total = next(row for row in series if not row["time"])
    transaction = _transaction(
        transaction_id, named["service"], named["operation"], total, common.window, services
    )
    points = [definitions.point(row) for row in series if row["time"]]
    return _joined(answer, common, about, transaction, points, ran, raised, [])


def _joined_defined(answer: Answer, common: Common, named: Definition) -> dict[str, Any]:
    rows, series = answer.together(
        lambda: definitions.counted(answer, [named], common.window, common.environment),
        lambda: answer.rows(
            queries.DEFINED_SERIES,
            **common.window.parameters,
            environment=common.environment,
            defined=named.id,
            step=common.window.step,
        ),
    )
    row = rows[0] if rows else definitions.none(named.id)
    extent = (
        {"start": time_parameter(row["earliest"]), "end": time_parameter(row["latest"])}
        if row["count"]
        else None
    )
    about = About(common.window, common.environment, defined=named.id, extent=extent)
    ran, raised = answer.together(
        lambda: processes(answer, about),
        lambda: exceptions(answer, about),
    )
    points = [definitions.point(each) for each in series]
    transaction = definitions.transaction(row, named, common.window)
    return _joined(
        answer, common, about, transaction, points, ran, raised, definitions.carried(named)
    )


def _joined(
    answer: Answer,
    common: Common,
    about: About,
    transaction: dict[str, Any],
    series: list[dict[str, Any]],
    ran: Processes,
    raised: list[dict[str, Any]],
    carried: list[tuple[str, str]],
) -> dict[str, Any]:
    """The parts that the first ones (`transaction`, `series`, the processes) are needed for."""
    count, took = transaction["count"], transaction["duration_ms"]
    apart, traces, metrics, logs, more_logs, deployed = answer.together(
        lambda: breakdown(answer, about, took["p95"], count),
        lambda: _traces(answer, about, count, took["p99"]),
        lambda: linked_metrics(answer, about, count, ran, common.window.step, series, carried),
        lambda: trace_logs(answer, about, count),
        lambda: process_logs(answer, common.window.parameters, ran),
        lambda: deployments(answer, {*transaction["services"], *ran.services}, common.environment),
    )
    return answer.of(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        transaction=transaction,
        quantile_error=QUANTILE_ERROR,
        series=series,
        **apart,
        traces=traces,
        logs=logs + more_logs,
        exceptions=raised,
        metrics=metrics,
        deployments=deployed,
    )


@router.get("/{transaction_id}/instances", response_model=models.Instances)
def list_instances(
    transaction_id: str,
    common: CommonParameters,
    answer: Answering,
    defined: Defined,
    status: Status = None,
    min_duration_ms: MinDuration = 0.0,
    user: User = None,
) -> dict[str, Any]:
    """The occurrences of a transaction, newest first. Without a key, an occurrence is a trace."""
    named = named_by(answer, defined, transaction_id)
    asked: dict[str, Any] = {
        "after_time": common.after.get("time"),
        "after_id": str(common.after.get("id", "")),
        "is_error": None if status is None else status == "error",
        "min_duration_ms": min_duration_ms,
        "limit": common.limit + 1,
    }
    if isinstance(named, Definition):
        occurrences, more = page(
            answer.rows(
                queries.DEFINED_INSTANCES,
                **common.window.parameters,
                environment=common.environment,
                defined=named.id,
                key=None,
                user=user,
                **asked,
            ),
            common.limit,
        )
        return answer.of(
            instances=[definitions.instance(row, named) for row in occurrences],
            next_cursor=_cursor(common, occurrences[-1]["at"], occurrences[-1]["key"])
            if more
            else None,
        )
    # What is not defined has no users.
    about = _about(named, common)
    entries, more = page(
        answer.rows(queries.TRANSACTION_ENTRIES, **about.parameters, **asked)
        if user is None
        else [],
        common.limit,
    )
    known = summaries(answer, {row["trace_id"] for row in entries})
    return answer.of(
        instances=[_instance(row, known.get(row["trace_id"])) for row in entries],
        next_cursor=_cursor(common, entries[-1]["start"], entries[-1]["trace_id"])
        if more
        else None,
    )


def _cursor(common: Common, time: str, id: str) -> str:
    return common.next_cursor(time=time_parameter(time), id=id)


@router.get("/{transaction_id}/instances/{key:path}", response_model=models.OneInstance)
def get_instance(
    transaction_id: str, key: str, answer: Answering, defined: Defined
) -> dict[str, Any]:
    """One occurrence, with its traces whole and everything that belongs to them."""
    named = named_by(answer, defined, transaction_id)
    carried: list[tuple[str, str]] = []
    if isinstance(named, Definition):
        row = answer.row(
            queries.DEFINED_INSTANCES,
            **ANY_TIME,
            environment=None,
            defined=named.id,
            key=key,
            after_time=None,
            after_id="",
            is_error=None,
            min_duration_ms=0.0,
            user=None,
            limit=1,
        )
        found = definitions.instance(row, named) if row else None
        carried = [("business.key", key), *((source.attr, key) for source in named.key)]
    else:
        entry = answer.row(queries.TRACE_ENTRY, id=key)
        found = _occurrence(answer, named, entry) if entry else None
    if found is None:
        raise Problem(404, f"{transaction_id} has no occurrence with the key {key!r}")
    ids = found["trace_ids"]
    if len(ids) > MOST_TRACES:
        answer.was_cut()
    known = summaries(answer, ids)
    stored = [known[id] for id in ids if id in known]
    if not stored:
        raise Problem(404, f"the traces of {key!r} are no longer stored")
    window = window_of(stored)
    about = About(window, trace_ids=tuple(ids), extent=extent(stored))
    oldest = sorted(known, key=lambda id: (known[id]["start"], id))[:MOST_TRACES]
    ran, apart, logs, raised, traces = answer.together(
        lambda: processes(answer, about),
        lambda: breakdown(answer, about, None, len(ids)),
        lambda: trace_logs(answer, about, len(ids)),
        lambda: exceptions(answer, about),
        lambda: answer.together(*(partial(_whole, answer, id) for id in oldest)),
    )
    around = window_of(stored, AROUND)
    metrics, more_logs, deployed = answer.together(
        lambda: linked_metrics(
            answer, About(around, trace_ids=tuple(ids)), len(ids), ran, around.step, [], carried
        ),
        lambda: process_logs(answer, window.parameters, ran),
        lambda: deployments(answer, {*found["services"], *ran.services}, None),
    )
    return answer.of(
        instance=found,
        traces=traces,
        **apart,
        logs=logs + more_logs,
        exceptions=raised,
        metrics=metrics,
        deployments=deployed,
    )


def _whole(answer: Answer, trace_id: str) -> dict[str, Any]:
    """A trace as GET /api/v1/traces/{trace_id} has it."""
    trace = read_trace(answer, trace_id)
    return trace.document() if trace else {}


def _occurrence(
    answer: Answer, named: queries.TransactionNamesRow, row: queries.TraceEntryRow
) -> dict[str, Any] | None:
    """The trace as an occurrence of the automatic transaction, if it is one of it."""
    if row["service"] != named["service"]:
        return None
    if (row["operation"] in named["names"]) != named["named"]:
        return None
    return _instance(row, summaries(answer, [row["trace_id"]]).get(row["trace_id"]))


def _counting(common: Common) -> dict[str, Any]:
    return {
        **common.window.parameters,
        **common.window.rollup,
        "environment": common.environment,
        "after_count": common.after.get("count"),
        "after_id": str(common.after.get("id", "")),
    }


def _defined_rows(
    answer: Answer, defined: Mapping[str, Definition], common: Common
) -> list[dict[str, Any]]:
    rows = definitions.counted(answer, defined.values(), common.window, common.environment)
    return [
        definitions.transaction(row, defined[row["id"]], common.window)
        for row in rows
        if row["count"]
    ]


def _is_after(transaction: dict[str, Any], common: Common) -> bool:
    """Whether it comes after the page before."""
    if "count" not in common.after:
        return True
    place = (-transaction["count"], transaction["id"])
    return place > (-common.after["count"], str(common.after.get("id", "")))


def _services(
    answer: Answer, common: Common, service: str | None = None
) -> dict[tuple[str, str], list[str]]:
    """The services that each (service, operation) went through."""
    rows = answer.rows(
        queries.TRANSACTION_SERVICES,
        **common.window.parameters,
        **common.window.rollup,
        service=service,
        environment=common.environment,
    )
    return {(row["service"], row["operation"]): row["services"] for row in rows}


def named_by(
    answer: Answer, defined: Mapping[str, Definition], transaction_id: str
) -> Definition | queries.TransactionNamesRow:
    """What has this id: a definition, or an automatic transaction's row of transaction_names.

    Raises a 404 for an unknown id."""
    if transaction_id in defined:
        return defined[transaction_id]
    row = answer.row(queries.TRANSACTION_NAMES, id=transaction_id)
    if row is None:
        raise Problem(
            404,
            f"no transaction has the id {transaction_id!r}; GET /api/v1/transactions lists them",
        )
    return row


def _about(named: queries.TransactionNamesRow, common: Common) -> About:
    """The traces of an automatic transaction."""
    return About(
        common.window,
        common.environment,
        service=named["service"],
        names=tuple(named["names"]),
        named=named["named"],
        rootless=named["rootless"],
    )


def _transaction(
    id: str,
    service: str,
    operation: str,
    row: queries.TransactionsRow | queries.TransactionSeriesRow,
    window: Window,
    services: dict[tuple[str, str], list[str]],
) -> dict[str, Any]:
    count = row["count"]
    p50, p90, p95, p99, longest = [*row["quantiles"], row["max"]] if count else [None] * 5
    return {
        "id": id,
        "name": f"{service}: {operation}",
        "source": "auto",
        "service": service,
        "operation": operation,
        "services": services.get((service, operation), [service]),
        "count": count,
        "errors": row["errors"],
        "error_rate": row["errors"] / count if count else 0.0,
        "per_second": count / window.seconds,
        "duration_ms": {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": longest},
        "apdex": (row["satisfied"] + row["tolerating"] / 2) / count if count else None,
        "value": None,
        "slo": None,
    }


def _traces(
    answer: Answer, about: About, count: int, p99_ms: float | None
) -> dict[str, list[queries.TracesByIdRow]]:
    """Traces worth opening, as summaries. (Where they are many, the slowest took the p99, which may
    be 1 % off, or longer.)"""
    slices = about.slices(count)
    slow = 0.97e6 * p99_ms if slices["sliced"] and p99_ms is not None else 0.0
    row = answer.row(queries.TRANSACTION_TRACES, **about.parameters, **slices, slow=slow)
    if row is None:
        return {"slowest": [], "errors": [], "typical": []}
    known = summaries(answer, {*row["slowest"], *row["errors"], *row["typical"]})
    return {
        "slowest": [known[id] for id in row["slowest"] if id in known],
        "errors": [known[id] for id in row["errors"] if id in known],
        "typical": [known[id] for id in row["typical"] if id in known],
    }


def _instance(
    row: queries.TransactionEntriesRow | queries.TraceEntryRow, trace: queries.TracesByIdRow | None
) -> dict[str, Any]:
    return {
        "key": row["trace_id"],
        "trace_ids": [row["trace_id"]],
        "start": row["start"],
        "duration_ms": row["duration_ms"],
        "status": "error" if row["is_error"] else "ok",
        "user": None,
        "value": None,
        "services": trace["services"] if trace else [],
        "span_count": trace["span_count"] if trace else 0,
        "steps": [],
    }
