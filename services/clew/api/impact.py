"""What an alert costs: the excess over the time before it, for each transaction that it touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from clew.analysis import queries
from clew.analysis.alerts.records import AlertRecord
from clew.analysis.impact import (
    Excess,
    Objective,
    apdex,
    combined_score,
    excess,
    occurrences_budget,
    users_excess,
    value_excess,
)
from clew.analysis.transactions.definitions import Definition
from clew.api.answer import Answer, AnswerDependency
from clew.api.defined_transactions import DefinitionsDependency
from clew.api.diagnose import alert_window, stored_alert
from clew.api.freshness import reads
from clew.api.models import impact as models
from clew.api.parameters import SECOND, CommonDependency, Window, rfc3339
from clew.api.reference import routes
from clew.api.resources import service_bottlenecks

router = routes("alerts")

DAY = 86_400 * SECOND
LONGEST = 7 * DAY
MAX_ROWS = 400
MAX_LISTED = 50
HOUR = 3600e9  # nanoseconds
WITHOUT_LATENCY = float("inf")
NOTHING = "no transaction of which anything is stored touches what the alert is about"


class Counted(Protocol):
    """Rows of both queries."""

    def __getitem__(self, name: str) -> Any: ...


@router.get("/{alert_id}/impact", response_model=models.AlertImpact)
@reads("traces", settled=True)
def alert_impact(
    alert_id: str,
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
) -> dict[str, Any]:
    """What an alert costs, from before its episode began to its end, beyond what the day before
    lets expect: failures, users, value, error budget, hours, Apdex; what is touched; one score.

    What is counted are the transactions that the alert is about, or that touch its service or
    dependency: defined ones by their occurrences, automatic ones by their traces."""
    record = stored_alert(answer, alert_id)
    answer.rests_on_settled_traces()
    window = alert_window(record, common.window.end)
    window = Window(max(window.start, window.end - LONGEST), window.end)
    baseline = Window(max(0, window.start - DAY), max(1, window.start))
    listed = [
        *_defined(answer, record, definitions, window, baseline),
        *(automatic := _automatic(answer, record, window, baseline)),
    ]
    parts = _parts(listed)
    services = {name for one in automatic for name in one.pop("services")}
    if len(listed) > MAX_LISTED:
        answer.mark_truncated()
    return answer.document(
        start=rfc3339(window.start),
        end=rfc3339(window.end),
        baseline={"start": rfc3339(baseline.start), "end": rfc3339(baseline.end)},
        transactions=sorted(listed, key=lambda one: -one["score"])[:MAX_LISTED],
        touched={
            "transactions": len(listed),
            "services": sorted(services),
            "slos": [one["name"] for one in listed if one["budget_share"] is not None],
            "labels": dict(record.labels),
        },
        headroom=_headroom(answer, record, window),
        score=combined_score(parts) if listed else None,
        parts=parts,
        reason="" if listed else NOTHING,
    )


def _parameters(record: AlertRecord, window: Window, baseline: Window) -> dict[str, Any]:
    return {
        **window.parameters,
        **{f"baseline_{name}": text for name, text in baseline.parameters.items()},
        "environment": record.labels.get("environment"),
        "service": _touched_service(record),
    }


def _touched_service(record: AlertRecord) -> str:
    """The service that the transactions touch; "" where the alert is about a transaction."""
    return "" if "transaction" in record.labels else record.labels.get("service", "")


def _defined(
    answer: Answer,
    record: AlertRecord,
    definitions: Mapping[str, Definition],
    window: Window,
    baseline: Window,
) -> list[dict[str, Any]]:
    name = record.labels.get("transaction")
    if name is None and not record.labels.get("service"):
        return []
    chosen = [
        definition
        for definition in definitions.values()
        if name in (None, definition.id, definition.name)
    ]
    if not chosen or "dependency" in record.labels:
        return []
    latencies = [one.slo.latency_ms if one.slo else None for one in chosen]
    rows = answer.rows(
        queries.IMPACT_OCCURRENCES,
        **_parameters(record, window, baseline),
        ids=[one.id for one in chosen],
        latencies=[WITHOUT_LATENCY if one is None else one * 1e6 for one in latencies],
    )
    listed = []
    for definition in chosen:
        by_set = {row["is_a"]: row for row in rows if row["id"] == definition.id}
        if True in by_set:
            now, before = by_set[True], by_set.get(False)
            listed.append(_of_definition(definition, now, before, baseline))
    return listed


def _of_definition(
    definition: Definition,
    now: queries.ImpactOccurrencesRow,
    before: queries.ImpactOccurrencesRow | None,
    baseline: Window,
) -> dict[str, Any]:
    budget = None
    if definition.slo is not None and before is not None:
        objective = Objective(definition.slo.objective)
        budget = occurrences_budget(now, before, objective, baseline.seconds)
    value = value_excess(now, before)
    users = users_excess(now, before)
    parts = {}
    if budget is not None:
        parts["budget"] = min(1.0, budget)
    if now["users"]:
        parts["users"] = users["excess"] / now["users"]
    if now["value"] > 0:
        parts["value"] = min(1.0, value["lost"] / now["value"])
    return {
        **_counted(now, before),
        "id": definition.id,
        "name": definition.name,
        "source": "defined",
        "users": users if now["users"] else None,
        "value": value if now["value"] else None,
        "budget_share": budget,
        "score": combined_score(parts),
        "parts": parts,
    }


def _automatic(
    answer: Answer, record: AlertRecord, window: Window, baseline: Window
) -> list[dict[str, Any]]:
    labels = record.labels
    if "transaction" in labels and "operation" not in labels:
        return []  # a defined one
    if not (labels.get("service") or labels.get("dependency")):
        return []
    rows = answer.limited_rows(
        queries.IMPACT_TRACES,
        MAX_ROWS,
        **_parameters(record, window, baseline),
        dependency=labels.get("dependency", ""),
        entry_service=labels.get("service", "") if "transaction" in labels else "",
        operation=labels.get("operation", "") if "transaction" in labels else "",
    )
    before = {row["id"]: row for row in rows if not row["is_a"]}
    listed = []
    for row in rows:
        if row["is_a"]:
            counted = _counted(row, before.get(row["id"]))
            failed = max(0.0, counted["failed"]["lower"]) / max(1, row["occurrences"])
            listed.append(
                {
                    **counted,
                    "id": row["id"],
                    "name": f"{row['service']}: {row['operation']}",
                    "source": "auto",
                    "users": None,
                    "value": None,
                    "budget_share": None,
                    "score": min(1.0, failed),
                    "parts": {"failed": min(1.0, failed)},
                    "services": row["services"],
                }
            )
    return listed


def _counted(now: Counted, before: Counted | None) -> dict[str, Any]:
    """What both kinds of transactions have."""
    failed = Excess(0.0, 0.0, 0.0)
    hours = 0.0
    if before is not None:
        failed = excess(now["failed"], now["occurrences"], before["failed"], before["occurrences"])
        usual = before["time"] / before["occurrences"]
        hours = (now["time"] - usual * now["occurrences"]) / HOUR
    return {
        "count": now["occurrences"],
        "failed": failed.as_json(),
        "user_hours": hours,
        "apdex": {"before": _apdex(before) if before else None, "after": _apdex(now)},
    }


def _apdex(row: Counted) -> float | None:
    return apdex(row["satisfied"], row["tolerating"], row["occurrences"])


def _parts(listed: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of each part the greatest of any transaction: the same users and failures are in several."""
    parts: dict[str, float] = {}
    for one in listed:
        for name, part in one["parts"].items():
            parts[name] = max(part, parts.get(name, 0.0))
    return parts


def _headroom(answer: Answer, record: AlertRecord, window: Window) -> dict[str, Any] | None:
    """The fullest resource of the alert's service."""
    service = record.labels.get("service")
    listed = service_bottlenecks(answer, service, window) if service else []
    if not listed:
        return None
    return {"resource": listed[0].constraint.name, "remaining": listed[0].headroom}
