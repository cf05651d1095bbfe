"""The funnel: how many occurrences of a defined transaction reached each step."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from clew.analysis.transactions.definitions import Definition
from clew.api.answer import AnswerDependency
from clew.api.defined_transactions import DefinitionsDependency
from clew.api.freshness import reads
from clew.api.models import joined as models
from clew.api.parameters import CommonDependency, rfc3339
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.transactions import find_transaction
from clew.storage import queries

router = routes("transactions")

SECONDS_PER_GROUP = {"day": 86400, "hour": 3600}
ATTRIBUTE_PREFIX = "attr:"
MAX_GROUPS = 200
MAX_OCCURRENCES = 200_000  # that are searched for an attribute

NOT_REACHED: queries.FunnelSteps = {
    "number": 0,
    "reached": 0,
    "p50_ms": None,
    "p95_ms": None,
    "errors": 0,
    "lost": None,
    "failed": 0,
}

Grouping = Annotated[
    str | None,
    Query(
        description="Group occurrences by `day`, by `hour`, or by an attribute: its key, or "
        "`attr:KEY`. Its value is that of the entry span, else of the first other span that has "
        "it, else of a log record. Without `by` there are no groups.",
        examples=["day", "user.id"],
    ),
]


@router.get("/{transaction_id}/funnel", response_model=models.Funnel)
@reads("traces", "logs", settled=True)
def funnel(
    transaction_id: str,
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
    by: Grouping = None,
) -> dict[str, Any]:
    """How many occurrences reached each step, how long they took from the step before, and the
    value that was lost. The entry counts as the first step. An error and the value it lost are
    counted at the last step that the occurrence reached."""
    definition = find_transaction(answer, definitions, transaction_id)
    if not isinstance(definition, Definition) or not definition.steps:
        raise Problem(
            422,
            f"{transaction_id!r} has no steps: only a defined transaction with `steps` has a "
            "funnel; define one with PUT /api/v1/definitions or in the file of --transactions",
        )
    attribute = "" if by in SECONDS_PER_GROUP else (by or "").removeprefix(ATTRIBUTE_PREFIX)
    if by is not None and by not in SECONDS_PER_GROUP and not attribute:
        raise Problem(422, f"by={by!r}: write day, hour, or the key of an attribute")
    answer.rests_on_settled_traces()
    rows = answer.rows(
        queries.FUNNEL,
        **common.window.parameters,
        environment=common.environment,
        defined=transaction_id,
        unit=SECONDS_PER_GROUP.get(by or "", 0),
        by_attribute=bool(attribute),
        attribute=attribute,
        most=MAX_OCCURRENCES,
        limit=MAX_GROUPS + 2,
    )
    total = rows[0]["steps"] if rows else []
    group_rows = rows[1:]
    has_unsearched = attribute and total and total[0]["reached"] > MAX_OCCURRENCES
    if len(group_rows) > MAX_GROUPS or has_unsearched:
        answer.mark_truncated()
    groups = [
        {"group": row["group"], "steps": _steps(row["steps"], definition)}
        for row in group_rows[:MAX_GROUPS]
        if by is not None
    ]
    if by in SECONDS_PER_GROUP:
        groups.sort(key=lambda group: str(group["group"]))
    return answer.document(
        transaction={"id": definition.id, "name": definition.name},
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        by=by,
        steps=_steps(total, definition),
        groups=groups,
    )


def _steps(rows: list[queries.FunnelSteps], definition: Definition) -> list[dict[str, Any]]:
    """All steps of the definition, the entry first."""
    by_number = {row["number"]: row for row in rows}
    previous = 0
    steps = []
    for number, name in enumerate([definition.name, *(step.name for step in definition.steps)]):
        step = by_number.get(number, NOT_REACHED)
        count = step["reached"]
        steps.append(
            {
                "name": name,
                "reached": count,
                "drop_off": max(0.0, 1 - count / previous) if previous else 0.0,
                "from_previous_ms": {"p50": step["p50_ms"], "p95": step["p95_ms"]}
                if number
                else None,
                "errors": step["errors"],
                "lost_value": step["lost"] or 0.0,
                "failed": step["failed"],
            }
        )
        previous = count or previous
    return steps
