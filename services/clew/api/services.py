"""Services, their operations, and the service map: rate, errors, duration."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any

from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import services as models
from clew.api.parameters import SECOND, CommonDependency, Window, rfc3339
from clew.api.reference import routes
from clew.api.sorting import Order, SortValue, sort_parameter, sorted_entries
from clew.storage import queries

router = routes("services")

MAX_OPERATIONS = 10_000
MAX_EDGES = 5_000
MAX_SILENT_SERVICES = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
RateRow = queries.MapServicesRow | queries.MapEdgesRow
# By the Type of an edge in clew_edges_1m, the types of its source and target, if they are not a
# service and the Type itself.
NODE_TYPES = {"consumed": ("queue", "service")}

# Keys of the list's order, and the value of each in a service.
SORT_VALUES: dict[str, Callable[[dict[str, Any]], SortValue]] = {
    "name": itemgetter("service"),
    "rate": itemgetter("per_second"),
    "count": itemgetter("count"),
    "errors": itemgetter("errors"),
    "error_rate": itemgetter("error_rate"),
    "p50": lambda service: service["duration_ms"]["p50"],
    "p95": lambda service: service["duration_ms"]["p95"],
    "p99": lambda service: service["duration_ms"]["p99"],
}


RUNS_AGENT = (
    "The agent runs in it, and it traced nothing: no request came in, its libraries are not "
    "instrumented (clew run --explain -- CMD says which), or OTEL_TRACES_SAMPLER or "
    "OTEL_TRACES_EXPORTER leaves spans out."
)
SENDS_METRICS = (
    "An SDK or a scraper sends its metrics and no spans: look at OTEL_TRACES_EXPORTER, and at "
    "which of its libraries are instrumented."
)
SENDS_LOGS = (
    "Only its log records come in, by a log shipper: start it with clew run -- CMD, or with the "
    "OpenTelemetry agent of its language."
)


@router.get("", response_model=models.ServiceList)
@reads("traces", "logs", "metrics")
def list_services(
    common: CommonDependency,
    answer: AnswerDependency,
    service: str | None = None,
    sort: Annotated[str | None, sort_parameter(SORT_VALUES, "name")] = None,
) -> dict[str, Any]:
    """The services of the window, by name, each with its operations, most frequent first; and those
    that send no spans, with the likely reason."""
    order = Order.parse(sort, SORT_VALUES, "name", {})
    parameters: dict[str, Any] = {
        **common.window.parameters,
        "environment": common.environment,
        "service": service,
    }
    last_hour = Window(max(common.window.start, common.window.end - HOUR), common.window.end)
    rows, silent = answer.in_parallel(
        lambda: answer.limited_rows(queries.SERVICES, MAX_OPERATIONS, **parameters),
        lambda: answer.limited_rows(
            queries.SILENT_SERVICES,
            MAX_SILENT_SERVICES,
            **last_hour.parameters,
            environment=common.environment,
        ),
    )
    # A service's row of received requests comes last, and replaces that of the others.
    totals = {row["service"]: row for row in rows if row["is_total"]}
    services = sorted_entries(
        [
            _service(name, list(operations), totals[name], common.window)
            for name, operations in groupby(
                (row for row in rows if not row["is_total"]), key=itemgetter("service")
            )
        ],
        order,
        SORT_VALUES[order.key],
        itemgetter("service"),
    )
    return answer.document(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        services=services,
        without_spans=[_silent(row) for row in silent if service in (None, row["service"])],
    )


def silent_reason(row: queries.SilentServicesRow) -> str:
    """Why no span comes from a service, most likely, and what to do."""
    return RUNS_AGENT if row["runs_agent"] else SENDS_METRICS if row["points"] else SENDS_LOGS


def _silent(row: queries.SilentServicesRow) -> dict[str, Any]:
    return {
        "service": row["service"],
        "log_records": row["log_records"],
        "points": row["points"],
        "reason": silent_reason(row),
    }


@router.get("/map", response_model=models.ServiceMap)
@reads("traces", settled=True, steps=("edges",))
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
    return {
        "calls": row["calls"],
        "errors": row["errors"],
        "error_rate": row["errors"] / row["calls"],
        "duration_ms": _durations(row),
    }


def _service(
    name: str,
    rows: list[queries.ServicesRow],
    total: queries.ServicesRow,
    window: Window,
) -> dict[str, Any]:
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
        "duration_ms": _durations(total),
        "operations": [_operation(row, window) for row in rows],
    }


def _operation(row: queries.ServicesRow, window: Window) -> dict[str, Any]:
    return {
        "operation": row["operation"],
        "kind": row["kind"],
        "count": row["count"],
        "errors": row["errors"],
        "error_rate": row["errors"] / row["count"],
        "per_second": row["count"] / window.seconds,
        "duration_ms": _durations(row),
    }


def _durations(
    row: RateRow | queries.ServicesRow,
) -> dict[str, float | None]:
    """The quantiles of a row as `Durations`."""
    p50, p90, p95, p99 = row["quantiles"]
    return {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": row["max"]}
