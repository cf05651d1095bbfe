"""Business transactions: the list, the joined view of one, and its occurrences."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from clew.api.metrics import linked_metrics
from clew.api.parameters import (
    Answer,
    Answering,
    Common,
    CommonParameters,
    Window,
    extent,
    page,
    rfc3339,
    time_parameter,
)
from clew.api.problems import Problem
from clew.api.traces import summaries
from clew.storage import Row

router = APIRouter(prefix="/api/v1/transactions", tags=["transactions"])

SERVICES_SAMPLE = 20_000  # traces that the services of listed transactions are read from
LOGS = 50  # of each way they are linked
EXCEPTIONS = 50
DEPLOYMENTS = 100
OPERATIONS = 200


@router.get("")
def list_transactions(common: CommonParameters, answer: Answering) -> dict[str, Any]:
    """Every business transaction of the window, the most frequent first."""
    rows, more = page(_transactions(answer, common, limit=common.limit + 1), common.limit)
    total = sum(row["count"] for row in rows)
    services = _services(answer, common, total)
    last = rows[-1] if rows else None
    return answer.of(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        transactions=[_transaction(row, common.window, services) for row in rows],
        next_cursor=common.next_cursor(count=last["count"], id=last["id"])
        if more and last
        else None,
    )


@router.get("/{transaction_id}")
def joined_view(transaction_id: str, common: CommonParameters, answer: Answering) -> dict[str, Any]:
    """One transaction with everything that belongs to it: series, where its time went, traces worth
    opening, logs, exceptions, metrics of the processes it ran in, deployments."""
    name = _name(answer, transaction_id)
    scope: dict[str, Any] = {
        **name,
        **common.window.parameters,
        "environment": common.environment,
    }
    row = next(iter(_transactions(answer, common, id=transaction_id, limit=1)), None) or _nothing(
        transaction_id, name
    )
    series = [
        _point(point)
        for point in answer.rows("transaction_series", **scope, step=common.window.step)
    ]
    chosen = answer.row("transaction_traces", **scope) or {}
    known = summaries(
        answer, {id for kind in ("slowest", "errors", "typical", "sample") for id in chosen[kind]}
    )
    traces = {
        kind: [known[id] for id in chosen[kind] if id in known]
        for kind in ("slowest", "errors", "typical")
    }
    sample = [known[id] for id in chosen["sample"] if id in known]
    processes = _processes(answer, sample)
    services = sorted(
        {service for trace in sample for service in trace["services"]} | {name["service"]}
    )
    linked: dict[str, Any] = scope | {"trace_ids": []}
    return answer.of(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        transaction=_transaction(
            row, common.window, {(name["service"], name["operation"]): services}
        ),
        series=series,
        breakdown=_breakdown(answer, sample),
        sample={"traces": len(sample), "of": chosen["total"]},
        traces=traces,
        logs=answer.most("linked_logs", LOGS, each="linked_by", **linked, processes=processes),
        exceptions=answer.most("exceptions", EXCEPTIONS, **linked),
        metrics=linked_metrics(answer, linked, processes, common.window.step, series),
        deployments=answer.most(
            "deployments", DEPLOYMENTS, services=services, environment=common.environment
        ),
    )


@router.get("/{transaction_id}/instances")
def list_instances(
    transaction_id: str, common: CommonParameters, answer: Answering
) -> dict[str, Any]:
    """The occurrences of a transaction, newest first. Without a key, an occurrence is a trace."""
    name = _name(answer, transaction_id)
    rows, more = page(
        answer.rows(
            "transaction_entries",
            **name,
            **common.window.parameters,
            environment=common.environment,
            after_time=common.after.get("time"),
            after_id=str(common.after.get("id", "")),
            limit=common.limit + 1,
        ),
        common.limit,
    )
    known = summaries(answer, {row["trace_id"] for row in rows})
    last = rows[-1] if rows else None
    return answer.of(
        instances=[_instance(row, known.get(row["trace_id"])) for row in rows],
        next_cursor=common.next_cursor(time=time_parameter(last["start"]), id=last["trace_id"])
        if more and last
        else None,
    )


def _transactions(
    answer: Answer, common: Common, *, limit: int, id: str | None = None
) -> list[Row]:
    return answer.rows(
        "transactions",
        **common.window.parameters,
        environment=common.environment,
        id=id,
        after_count=None if id else common.after.get("count"),
        after_id=str(common.after.get("id", "")),
        limit=limit,
    )


def _services(answer: Answer, common: Common, total: int) -> dict[tuple[str, str], list[str]]:
    """The services of each (service, operation), from a sample where there are many traces."""
    share = min(1.0, SERVICES_SAMPLE / max(1, total))
    below = "g" if share == 1.0 else f"{int(share * 2**32):08x}"
    rows = answer.rows(
        "transaction_services",
        **common.window.parameters,
        environment=common.environment,
        below=below,
    )
    return {(row["service"], row["operation"]): row["services"] for row in rows}


def _name(answer: Answer, transaction_id: str) -> dict[str, str]:
    """The service and operation of a transaction. Raises a 404 for an unknown id."""
    row = answer.row("transaction_names", id=transaction_id)
    if row is None:
        raise Problem(
            404,
            f"no transaction has the id {transaction_id!r}; GET /api/v1/transactions lists them",
        )
    return row


def _nothing(transaction_id: str, name: dict[str, str]) -> Row:
    counts = dict.fromkeys(("count", "errors", "satisfied", "tolerating"), 0)
    return {"id": transaction_id, **name, **counts, "quantiles": [None] * 4, "max": None}


def _transaction(
    row: Row, window: Window, services: dict[tuple[str, str], list[str]]
) -> dict[str, Any]:
    service, operation, count = row["service"], row["operation"], row["count"]
    p50, p90, p95, p99 = row["quantiles"]
    return {
        "id": row["id"],
        "name": f"{service}: {operation}",
        "source": "auto",
        "service": service,
        "operation": operation,
        "services": services.get((service, operation), [service]),
        "count": count,
        "errors": row["errors"],
        "error_rate": row["errors"] / count if count else 0.0,
        "per_second": count / window.seconds,
        "duration_ms": {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": row["max"]},
        "apdex": (row["satisfied"] + row["tolerating"] / 2) / count if count else None,
        "value": None,
        "slo": None,
    }


def _point(row: Row) -> dict[str, Any]:
    p50, _, p95, p99 = row["quantiles"]
    return {
        "time": row["time"], "count": row["count"], "errors": row["errors"],
        "p50": p50, "p95": p95, "p99": p99,
    }  # fmt: skip


def _processes(answer: Answer, traces: list[dict[str, Any]]) -> list[tuple[str, str]]:
    if not traces:
        return []
    ids = [trace["trace_id"] for trace in traces]
    rows = answer.rows("processes", trace_ids=ids, **extent(traces), limit=1000)
    return [(row["service"], row["instance"]) for row in rows]


def _breakdown(answer: Answer, traces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not traces:
        return []
    ids = [trace["trace_id"] for trace in traces]
    rows = answer.most("breakdown", OPERATIONS, trace_ids=ids, **extent(traces))
    total = sum(row["self_time_ms"] for row in rows) or 1.0
    critical = sum(row["critical_ms"] for row in rows) or 1.0
    return [
        {
            "service": row["service"],
            "operation": row["operation"],
            "kind": row["kind"],
            "calls": row["calls"],
            "self_time_ms": row["self_time_ms"],
            "share": row["self_time_ms"] / total,
            "critical_share": row["critical_ms"] / critical,
        }
        for row in rows
    ]


def _instance(row: Row, trace: dict[str, Any] | None) -> dict[str, Any]:
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
