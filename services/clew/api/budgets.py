"""What budgets allow, and what is spent."""

from __future__ import annotations

import math
import time
from typing import Any

from fastapi import Request

from clew.analysis.alerts.rules import Rule
from clew.analysis.watching.budgets import Spending, spendings
from clew.analysis.watching.judges.budgets import budget_window
from clew.analysis.watching.judges.burn import read_error_budgets
from clew.analysis.watching.replay.past import Past
from clew.analysis.watching.series import MINUTE, WatchedSeries
from clew.analysis.watching.standing import all_rules
from clew.api.alert_rules import rulebook_of
from clew.api.alerts import UNITS, value_in_unit
from clew.api.answer import AnswerDependency
from clew.api.defined_transactions import BURN_WINDOWS
from clew.api.freshness import reads
from clew.api.models import budgets as models
from clew.api.parameters import SECOND, CommonDependency, rfc3339_of_seconds
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.storage.reader import with_literals
from clew.storage.statements import Statements

router = routes("budgets")

MAX_DAYS = 31
LIMITS: dict[str, int | str] = {"max_execution_time": 20, "max_memory_usage": 1 << 30}


@router.get("", response_model=models.Budgets)
@reads()
def budgets(request: Request, common: CommonDependency, answer: AnswerDependency) -> dict[str, Any]:
    """Error budgets of the last 30 days, and what transactions and operations cost against their
    performance budgets.

    Performance is judged over each budget's own window, up to now; with `start`, over the window of
    the request."""
    statements = Statements(request.app.state.reader.store, LIMITS)
    definitions = request.app.state.definitions.definitions()
    if common.window.seconds > MAX_DAYS * 86_400:
        raise Problem(400, f"start, end: at most {MAX_DAYS} days")
    rules = rulebook_of(request).current().all
    now = time.time() // MINUTE * MINUTE
    performance = []
    for rule in all_rules(rules):
        if rule.budget is None or rule.select is None:
            continue
        start, end = now - budget_window(rule), now
        if "start" in request.query_params:
            start, end = common.window.start / SECOND, common.window.end / SECOND
        past = Past(statements, definitions, start, end, rules.zone)
        severity = rule.severity or rules.defaults.severity
        for spending in spendings(rule.budget, rule.select, past):
            labels = spending.series.labels
            if common.environment in (None, labels.get("environment", "")):
                performance.append(_spending(rule, spending, past) | {"severity": severity})
    errors = read_error_budgets(WatchedSeries(statements), definitions, now)
    return answer.document(
        errors=[
            {
                "transaction": budget.definition.name,
                "environment": budget.environment,
                "objective": budget.objective,
                "total": budget.total,
                "bad": budget.bad,
                "spent": budget.spent,
                "burn_rates": dict(zip(BURN_WINDOWS, budget.rates, strict=True)),
                "gone_in_hours": budget.gone_in / 3600 if math.isfinite(budget.gone_in) else None,
            }
            for budget in errors
            if common.environment in (None, budget.environment)
        ],
        performance=performance,
    )


def _spending(rule: Rule, spending: Spending, past: Past) -> dict[str, Any]:
    measure = spending.measure
    return {
        "rule": rule.name,
        "labels": spending.series.labels,
        "measure": measure,
        "unit": UNITS.get(measure, ""),
        "value": value_in_unit(measure, spending.value) if math.isfinite(spending.value) else None,
        "limit": value_in_unit(measure, spending.limit),
        "over": spending.is_over,
        "requests": spending.requests,
        "start": rfc3339_of_seconds(past.start),
        "end": rfc3339_of_seconds(past.end),
        "sql": with_literals(spending.proof["sql"], spending.proof["parameters"]),
    }
