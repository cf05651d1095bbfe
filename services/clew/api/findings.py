"""Findings: what is slow every day, ranked by what it costs, and what people say of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Request

from clew.analysis import queries
from clew.analysis.findings.records import (
    MAX_FINDINGS,
    FindingRecords,
    FindingState,
    StoredFinding,
    stored_finding,
)
from clew.analysis.findings.rules import all_rules
from clew.analysis.traces.times import datetime64_text
from clew.api.access import requires
from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import findings as models
from clew.api.parameters import CommonDependency, rfc3339_of_seconds
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.sorting import Order, page_of, sort_parameter
from clew.storage.reader import with_literals
from clew.storage.sql import sql_of
from clew.storage.statements import Statements

router = routes("findings")

SORTS = ("cost", "saved_ms", "value", "last_seen", "rule")
SHOWN = (FindingState.OPEN, FindingState.REVIEWED, FindingState.REGRESSED)
COST_FIELDS = (
    *("id", "name", "environment", "defined"),
    *("saved_ms", "per_day_s", "p95_share", "share"),
)
MARGIN = 1.0  # seconds around the examples


@router.get("", response_model=models.Findings)
@reads()
def findings(
    common: CommonDependency,
    answer: AnswerDependency,
    transaction: Annotated[
        str | None, Query(description="Only findings of the transaction with this id.")
    ] = None,
    service: Annotated[str | None, Query(description="Only findings of this service.")] = None,
    rule: Annotated[str | None, Query(description="Only findings of this rule.")] = None,
    state: Annotated[
        list[FindingState],
        Query(
            description="Only findings in this state. May be given several times. Without it: those"
            " that are open, reviewed or regressed."
        ),
    ] = [],  # noqa: B006 (FastAPI copies it)
    sort: Annotated[str | None, sort_parameter(SORTS, "cost")] = None,
) -> dict[str, Any]:
    """What is slow every day, before anyone asks: the most expensive findings first.

    Every few minutes, rules look at the traces of the last hour, or of up to a day where few come;
    docs/findings.md explains each rule. The window of time has no meaning here."""
    answer.rests_on_settled_traces("findings")
    order = Order.parse(sort, SORTS, "cost", common.position)
    titles = {known.name: known.title for known in all_rules()}
    if rule is not None and rule not in titles:
        raise Problem(400, f"there is no rule {rule!r}; there are: {', '.join(sorted(titles))}")
    records = [
        record
        for record in map(stored_finding, answer.rows(queries.FINDING_STORED, limit=MAX_FINDINGS))
        if record.state in (state or SHOWN)
        and service in (None, record.finding.service)
        and rule in (None, record.finding.rule)
        and common.environment in (None, record.finding.environment)
        and (transaction is None or _concerns(record, transaction))
    ]
    page, next_cursor = page_of(
        records,
        common,
        order,
        lambda record: _sort_value(record, order.key),
        lambda record: record.finding.id,
    )
    return answer.document(
        findings=[_finding(record, titles) for record in page],
        failed_rules=[
            {**row, "since": rfc3339_of_seconds(row["since"])}
            for row in answer.rows(queries.FINDING_FAILURES)
        ],
        next_cursor=next_cursor,
    )


@router.get("/{finding_id}", response_model=models.FindingView)
@reads()
def finding(finding_id: str, answer: AnswerDependency) -> dict[str, Any]:
    """One finding."""
    rows = answer.rows(queries.FINDING_STORED, limit=MAX_FINDINGS)
    titles = {known.name: known.title for known in all_rules()}
    for row in rows:
        if row["id"] == finding_id:
            return answer.document(finding=_finding(stored_finding(row), titles))
    raise Problem(404, f"no finding has the id {finding_id!r}")


@router.post("/{finding_id}/state", response_model=models.Finding)
@requires("operate")
def change_finding_state(
    request: Request, finding_id: str, body: models.FindingStateBody
) -> dict[str, Any]:
    """Says what became of a finding: it was reviewed, is ignored for a reason, or is mended."""
    if body.state is FindingState.REGRESSED:
        raise Problem(400, "a finding regresses by itself: send open")
    if body.state is FindingState.IGNORED and not body.reason.strip():
        raise Problem(400, "say why it is ignored: send a reason")
    records = FindingRecords(Statements(request.app.state.reader.store))
    record = records.all().get(finding_id)
    if record is None:
        raise Problem(404, f"no finding has the id {finding_id!r}")
    at, author = time.time(), request.state.principal.name
    records.change([finding_id], body.state, at, author, body.reason)
    changed = records.all()[finding_id]
    return _finding(changed, {known.name: known.title for known in all_rules()})


def _concerns(record: StoredFinding, transaction: str) -> bool:
    return any(
        transaction == cost.id or transaction in cost.defined
        for cost in record.finding.transactions
    )


def _value(record: StoredFinding) -> float | None:
    values = [cost.value_per_day for cost in record.finding.transactions]
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _sort_value(record: StoredFinding, key: str) -> float | str:
    match key:
        case "rule":
            return record.finding.rule
        case "last_seen":
            return record.last_seen
        case "saved_ms":
            return max(cost.saved_ms for cost in record.finding.transactions)
        case "value":
            return _value(record) or 0.0
    return record.finding.per_day_s


def _finding(record: StoredFinding, titles: dict[str, str]) -> dict[str, Any]:
    known = record.finding
    costs = known.transactions
    return {
        "id": known.id,
        "rule": known.rule,
        "title": titles.get(known.rule, known.rule),
        "service": known.service,
        "operation": known.operation,
        "subject": known.subject,
        "transactions": [
            {
                **{name: getattr(cost, name) for name in COST_FIELDS},
                "value": cost.value_per_day,
            }
            for cost in costs
        ],
        "saved_ms": costs[0].saved_ms,
        "per_day_s": known.per_day_s,
        "p95_share": max(cost.p95_share for cost in costs),
        "value": _value(record),
        "traces": known.traces,
        "advice": known.advice,
        "place": known.place,
        "state": record.state,
        "reason": record.reason,
        "author": record.author,
        "state_since": rfc3339_of_seconds(record.state_since),
        "first_seen": rfc3339_of_seconds(record.first_seen),
        "last_seen": rfc3339_of_seconds(record.last_seen),
        "sql": _statement(known.traces, known.service, known.since, known.until),
    }


def _statement(traces: Sequence[str], service: str, since: float, until: float) -> str:
    query = queries.FINDING_SHOWN
    return with_literals(
        sql_of(query.package, query.name),
        {
            "trace_ids": list(traces),
            "service": service,
            "since": datetime64_text(since - MARGIN),
            "until": datetime64_text(until + MARGIN),
        },
    )
