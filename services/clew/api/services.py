"""Services, their operations, and the service map: rate, errors, duration."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from clew.api import models
from clew.api.answer import AnswerDependency
from clew.api.parameters import SECOND, CommonDependency, Window, rfc3339
from clew.api.reference import routes
from clew.storage import queries

router = routes("services")

MAX_OPERATIONS = 10_000
MAX_EDGES = 5_000
MINUTE = 60 * SECOND
RateRow = queries.MapServicesRow | queries.MapEdgesRow
# By the Type of an edge in clew_edges_1m, the types of its source and target, if they are not a
# service and the Type itself.
NODE_TYPES = {"consumed": ("queue", "service")}


@router.get("", response_model=models.ServiceList)
def list_services(
    common: CommonDependency, answer: AnswerDependency, service: str | None = None
) -> dict[str, Any]:
    """The services of the window, by name, each with its operations, most frequent first."""
    rows = answer.limited_rows(
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
    return answer.document(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        services=services,
    )


@router.get("/map", response_model=models.ServiceMap)
def service_map(common: CommonDependency, answer: AnswerDependency) -> dict[str, Any]:
    """The service map: services, the databases, external hosts and queues that they use, and the
    calls between them with rate, errors and duration.

    Covers whole minutes, from the minute that contains `start` to the minute that contains `end`. A
    call belongs to the minute in which its trace started. Calls whose caller is not known come from
    the node `unknown`."""
    window = Window(
        common.window.start // MINUTE * MINUTE, -(-common.window.end // MINUTE) * MINUTE
    )
    parameters: dict[str, Any] = {**window.parameters, "environment": common.environment}
    answer.rests_on_settled_traces("edges")
    rows, services = answer.in_parallel(
        lambda: answer.limited_rows(queries.MAP_EDGES, MAX_EDGES, per="is_node", **parameters),
        lambda: answer.rows(queries.MAP_SERVICES, **parameters),
    )
    edges = [row for row in rows if not row["is_node"]]
    nodes: dict[str, dict[str, Any]] = {}
    for service in services:
        # Rates are those of the requests received; if there are none, of all operations.
        id = _node_id("service", service["service"])
        if service["is_taken"] or id not in nodes:
            nodes[id] = _node("service", service["service"], service)
    for row in rows:
        if row["is_node"]:
            nodes.setdefault(_node_id(*_target(row)), _node(*_target(row), row))
    for edge in edges:
        nodes.setdefault(_node_id(*_source(edge)), _node(*_source(edge), None))
    return answer.document(
        start=rfc3339(window.start),
        end=rfc3339(window.end),
        nodes=[nodes[id] for id in sorted(nodes)],
        edges=[_edge(row, window) for row in edges],
        sampled=any(row["one_in"] > 1 for row in edges),
    )


def _source(row: queries.MapEdgesRow) -> tuple[str, str]:
    """The type and the name of an edge's source."""
    if not row["source"]:
        return "unknown", ""
    source_type, _ = NODE_TYPES.get(row["type"], ("service", row["type"]))
    return source_type, row["source"]


def _target(row: queries.MapEdgesRow) -> tuple[str, str]:
    """The type and the name of an edge's target."""
    _, target_type = NODE_TYPES.get(row["type"], ("service", row["type"]))
    return target_type, row["target"]


def _node_id(node_type: str, name: str) -> str:
    return f"{node_type}:{name}" if name else node_type


def _node(node_type: str, name: str, row: RateRow | None) -> dict[str, Any]:
    """A node without a row only calls others, and has no rates of its own."""
    node = {"id": _node_id(node_type, name), "type": node_type, "name": name}
    if row is None:
        return node | {"calls": None, "errors": None, "error_rate": None, "duration_ms": None}
    return node | _rates(row)


def _edge(row: queries.MapEdgesRow, window: Window) -> dict[str, Any]:
    return {
        "source": _node_id(*_source(row)),
        "target": _node_id(*_target(row)),
        "type": row["type"],
        "per_second": row["calls"] / window.seconds,
    } | _rates(row)


def _rates(row: RateRow) -> dict[str, Any]:
    p50, p90, p95, p99 = row["quantiles"]
    return {
        "calls": row["calls"],
        "errors": row["errors"],
        "error_rate": row["errors"] / row["calls"],
        "duration_ms": {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": row["max"]},
    }


def _service(name: str, rows: list[queries.ServicesRow], window: Window) -> dict[str, Any]:
    """A service's rates are those of the requests it received (operations of kind SERVER and
    CONSUMER); if there are none, of all its operations."""
    received = [row for row in rows if row["kind"] in ("Server", "Consumer")] or rows
    count = sum(row["count"] for row in received)
    errors = sum(row["errors"] for row in received)
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
