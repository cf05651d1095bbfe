"""Services, their operations, and who calls whom: rate, errors, duration."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from clew.api import models
from clew.api.answer import Answering
from clew.api.parameters import SECOND, CommonParameters, Window, rfc3339
from clew.api.reference import routes
from clew.storage import queries

router = routes("services")

MAX_OPERATIONS = 10_000
MAX_EDGES = 5_000
MINUTE = 60 * SECOND
# clew_edges_1m's Type says what the target is, and the source is a service; but for these.
Red = queries.MapServicesRow | queries.MapEdgesRow
ENDS = {"consumed": ("queue", "service")}


@router.get("", response_model=models.Services)
def list_services(
    common: CommonParameters, answer: Answering, service: str | None = None
) -> dict[str, Any]:
    """Every service of the window with its operations, the most frequent first."""
    rows = answer.most(
        queries.SERVICES,
        MAX_OPERATIONS,
        **common.window.parameters,
        environment=common.environment,
        service=service,
    )
    services = [
        _service(name, list(operations), common.window)
        for name, operations in groupby(rows, key=lambda row: row["service"])
    ]
    return answer.of(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        services=services,
    )


@router.get("/map", response_model=models.ServiceMap)
def service_map(common: CommonParameters, answer: Answering) -> dict[str, Any]:
    """Who calls whom: services, and the databases, external hosts and queues they use, with the
    rate, errors and duration of every edge. Minutes are whole, from the one that `start` is in to
    the one that `end` is in, and a call belongs to the minute in which its trace was entered. The
    source of calls whose caller is not known is the node `unknown`."""
    window = Window(
        common.window.start // MINUTE * MINUTE, -(-common.window.end // MINUTE) * MINUTE
    )
    asked: dict[str, Any] = {**window.parameters, "environment": common.environment}
    found, services = answer.together(
        lambda: answer.most(queries.MAP_EDGES, MAX_EDGES, each="is_node", **asked),
        lambda: answer.rows(queries.MAP_SERVICES, **asked),
    )
    edges = [row for row in found if not row["is_node"]]
    nodes: dict[str, dict[str, Any]] = {}
    for service in services:
        # The requests it took count, all its operations where it took none.
        id = _node_id("service", service["service"])
        if service["is_taken"] or id not in nodes:
            nodes[id] = _node("service", service["service"], service)
    for row in found:
        if row["is_node"]:
            nodes.setdefault(_node_id(*_target(row)), _node(*_target(row), row))
    for row in edges:
        nodes.setdefault(_node_id(*_source(row)), _node(*_source(row), None))
    return answer.of(
        start=rfc3339(window.start),
        end=rfc3339(window.end),
        nodes=[nodes[id] for id in sorted(nodes)],
        edges=[_edge(row, window) for row in edges],
        sampled=any(row["one_in"] > 1 for row in edges),
    )


def _source(row: queries.MapEdgesRow) -> tuple[str, str]:
    kind = ENDS.get(row["type"], ("service", ""))[0]
    return ("unknown", "") if not row["source"] else (kind, row["source"])


def _target(row: queries.MapEdgesRow) -> tuple[str, str]:
    return ENDS.get(row["type"], ("", row["type"]))[1], row["target"]


def _node_id(kind: str, name: str) -> str:
    return f"{kind}:{name}" if name else kind


def _node(kind: str, name: str, row: Red | None) -> dict[str, Any]:
    """What calls and is not called has no rate of its own."""
    node = {"id": _node_id(kind, name), "type": kind, "name": name}
    if row is None:
        return node | {"calls": None, "errors": None, "error_rate": None, "duration_ms": None}
    return node | _red(row)


def _edge(row: queries.MapEdgesRow, window: Window) -> dict[str, Any]:
    return {
        "source": _node_id(*_source(row)),
        "target": _node_id(*_target(row)),
        "type": row["type"],
        "per_second": row["calls"] / window.seconds,
    } | _red(row)


def _red(row: Red) -> dict[str, Any]:
    p50, p90, p95, p99 = row["quantiles"]
    return {
        "calls": row["calls"],
        "errors": row["errors"],
        "error_rate": row["errors"] / row["calls"],
        "duration_ms": {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": row["max"]},
    }


def _service(name: str, rows: list[queries.ServicesRow], window: Window) -> dict[str, Any]:
    """A service's own rate is that of the requests it took: its SERVER and CONSUMER operations, or
    all of them where it has none."""
    taken = [row for row in rows if row["kind"] in ("Server", "Consumer")] or rows
    count = sum(row["count"] for row in taken)
    errors = sum(row["errors"] for row in taken)
    return {
        "service": name,
        "count": count,
        "errors": errors,
        "error_rate": errors / count if count else 0.0,
        "per_second": count / window.seconds,
        "operations": [_operation(row, window) for row in rows],
    }


def _operation(row: queries.ServicesRow, window: Window) -> dict[str, Any]:
    p50, p90, p95, p99 = row["quantiles"]
    return {
        "operation": row["operation"],
        "kind": row["kind"],
        "count": row["count"],
        "errors": row["errors"],
        "error_rate": row["errors"] / row["count"],
        "per_second": row["count"] / window.seconds,
        "duration_ms": {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": row["max"]},
    }
