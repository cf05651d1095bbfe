"""How far the occurrences of a defined transaction come through its steps."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from clew.analysis.transactions.definitions import Definition
from clew.api import models
from clew.api.answer import Answering
from clew.api.defined import Defined
from clew.api.parameters import CommonParameters, rfc3339
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.transactions import named_by
from clew.storage import queries

router = routes("transactions")

UNITS = {"day": 86400, "hour": 3600}
ATTRIBUTE = "attr:"
GROUPS = 200
MOST = 200_000  # occurrences whose entries are looked up for an attribute

NOT_REACHED: queries.FunnelSteps = {
    "number": 0,
    "reached": 0,
    "p50_ms": None,
    "p95_ms": None,
    "errors": 0,
    "lost": None,
    "failed": 0,
}

By = Annotated[
    str | None, Query(description="day, hour, or attr:KEY for an attribute of the entry")
]


@router.get("/{transaction_id}/funnel", response_model=models.Funnel)
def funnel(
    transaction_id: str,
    common: CommonParameters,
    answer: Answering,
    defined: Defined,
    by: By = None,
) -> dict[str, Any]:
    """How many occurrences reached each step, what they took from the step before, and what was
    lost where; the entry is the first step. An error and its value count at the last step that was
    reached."""
    definition = named_by(answer, defined, transaction_id)
    if not isinstance(definition, Definition) or not definition.steps:
        raise Problem(
            422,
            f"{transaction_id!r} has no steps: a funnel is of a defined transaction with `steps`; "
            "PUT /api/v1/definitions, or the file of --transactions, defines one",
        )
    attribute = by.removeprefix(ATTRIBUTE) if by and by.startswith(ATTRIBUTE) else ""
    if by is not None and by not in UNITS and not attribute:
        raise Problem(422, f"by={by!r}: write day, hour or attr:KEY")
    rows = answer.rows(
        queries.FUNNEL,
        **common.window.parameters,
        environment=common.environment,
        defined=transaction_id,
        unit=UNITS.get(by or "", 0),
        by_attribute=bool(attribute),
        attribute=attribute,
        most=MOST,
        limit=GROUPS + 2,
    )
    whole = rows[0]["steps"] if rows else []
    groups = rows[1:]
    if len(groups) > GROUPS or (attribute and whole and whole[0]["reached"] > MOST):
        answer.was_cut()
    found = [
        {"group": row["group"], "steps": _steps(row["steps"], definition)}
        for row in groups[:GROUPS]
        if by is not None
    ]
    if by in UNITS:
        found.sort(key=lambda group: str(group["group"]))
    return answer.of(
        transaction={"id": definition.id, "name": definition.name},
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        by=by,
        steps=_steps(whole, definition),
        groups=found,
    )


def _steps(reached: list[queries.FunnelSteps], definition: Definition) -> list[dict[str, Any]]:
    """Every step of the definition, the entry before them."""
    by_number = {step["number"]: step for step in reached}
    before = 0
    steps = []
    for number, name in enumerate([definition.name, *(step.name for step in definition.steps)]):
        step = by_number.get(number, NOT_REACHED)
        count = step["reached"]
        steps.append(
            {
                "name": name,
                "reached": count,
                "drop_off": max(0.0, 1 - count / before) if before else 0.0,
                "from_previous_ms": {"p50": step["p50_ms"], "p95": step["p95_ms"]}
                if number
                else None,
                "errors": step["errors"],
                "lost_value": step["lost"] or 0.0,
                "failed": step["failed"],
            }
        )
        before = count or before
    return steps
