"""What limits a service: how full each resource is, and how that follows the load."""

from __future__ import annotations

from typing import Any

from clew.analysis.resources.constraints import METRICS
from clew.analysis.resources.limits import NEAR, Bottleneck, bottlenecks, leaks, usages
from clew.analysis.resources.points import Points, ResourcePoint
from clew.api.answer import Answer, AnswerDependency
from clew.api.freshness import reads
from clew.api.models import resources as models
from clew.api.parameters import SECOND, CommonDependency, Window, rfc3339
from clew.api.reference import routes
from clew.storage import queries

router = routes("services")

STEPS = 240  # of a window
SHORTEST_STEP = 60
MAX_POINTS = 200_000
MAX_TRANSACTIONS = 50
WAITS = 0.1  # share of a transaction's time from which on the service limits it


@router.get("/{service_name:text}/resources", response_model=models.ServiceResources)
@reads("traces", "metrics", settled=True)
def service_resources(
    service_name: str, common: CommonDependency, answer: AnswerDependency
) -> dict[str, Any]:
    """What a service's processes, containers and hosts use in the window, what is fullest, how that
    follows the load, and which transactions wait for it.

    It is computed from the metrics of clew's agent and of OpenTelemetry's conventions. A resource
    whose use or limit nobody sends is not listed. A leak needs a window of two hours."""
    step = common.window.step_for(STEPS, SHORTEST_STEP)
    window = _whole_steps(common.window, step)
    answer.rests_on_settled_traces()
    (points, load), transactions = answer.in_parallel(
        lambda: _points_and_load(answer, service_name, window, step, common.environment),
        lambda: answer.rows(
            queries.RESOURCE_TRANSACTIONS,
            **window.parameters,
            service=service_name,
            environment=common.environment,
            limit=MAX_TRANSACTIONS,
        ),
    )
    listed = bottlenecks(points, load)
    bound_by = listed[0].constraint.name if listed and listed[0].peak >= NEAR else None
    return answer.document(
        start=rfc3339(window.start),
        end=rfc3339(window.end),
        service=service_name,
        step=step,
        bound_by=bound_by,
        peak_per_second=max(load.values(), default=None),
        constraints=[_constraint(one) for one in listed],
        leaks=[vars(leak) for leak in leaks(points)],
        usages=[vars(usage) for usage in usages(points)],
        transactions=[
            {**row, "bound_by": bound_by if (row["critical_share"] or 0) >= WAITS else None}
            for row in transactions
        ],
    )


def service_bottlenecks(answer: Answer, service: str, window: Window) -> list[Bottleneck]:
    """The resources of a service of which something is known, the fullest first."""
    step = window.step_for(STEPS, SHORTEST_STEP)
    return bottlenecks(*_points_and_load(answer, service, _whole_steps(window, step), step, None))


def _points_and_load(
    answer: Answer, service: str, window: Window, step: int, environment: str | None
) -> tuple[Points, dict[int, float]]:
    """The points of a service's metrics, and its requests a second by slot."""
    parameters = {**window.parameters, "service": service, "step": step}
    rows = answer.limited_rows(queries.RESOURCE_POINTS, MAX_POINTS, **parameters, metrics=METRICS)
    points = Points(
        ResourcePoint(
            row["metric"], row["source"], row["runtime"], row["attributes"], row["at"], row["value"]
        )
        for row in rows
        if row["value"] is not None
    )
    load = answer.rows(queries.RESOURCE_LOAD, **parameters, environment=environment)
    is_taken = any(row["taken"] for row in load)
    return points, {row["at"]: row["taken" if is_taken else "begun"] / step for row in load}


def _whole_steps(window: Window, step: int) -> Window:
    """The window with whole steps: a rate of half a step would be half as high."""
    length = step * SECOND
    start, end = -(-window.start // length) * length, window.end // length * length
    return Window(start, end) if start < end else window


def _constraint(one: Bottleneck) -> dict[str, Any]:
    fit = one.fit
    return {
        "name": one.constraint.name,
        "mean": one.mean,
        "peak": one.peak,
        "peak_at": rfc3339(one.at * SECOND),
        "source": one.source,
        "sources": one.sources,
        "headroom": one.headroom,
        "full": one.full,
        "fit": None
        if fit is None
        else {
            "base": fit.base,
            "per_request": fit.slope,
            "r2": fit.r2,
            "n": fit.n,
            "saturation_per_second": fit.saturation,
        },
        "reason": one.reason,
        "replicas": one.replicas,
        "advice": one.constraint.advice,
    }
