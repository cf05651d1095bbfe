"""What a transaction or an operation may cost: `budget: {p95: 800ms, calls: 20}`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from clew.analysis.alerts.rules import Budget, Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.traces.times import HOUR
from clew.analysis.watching.budgets import Spending, spendings
from clew.analysis.watching.evidence import Evidence
from clew.analysis.watching.replay.past import Past
from clew.analysis.watching.texts import measure_text, subject, value_text

DAY = 86_400.0  # seconds
SETTLED = 300.0  # seconds before the hour: later traces may not be settled yet


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each series and limit, judged once an hour."""
    assert rule.select is not None
    assert rule.budget is not None
    limits, select, window = rule.budget, rule.select, budget_window(rule)

    def read() -> list[Spending]:
        end = evidence.at // HOUR * HOUR - SETTLED
        statements = evidence.watched.statements
        past = Past(statements, evidence.definitions, end - window, end, evidence.zone)
        return list(spendings(limits, select, past))

    for spending in evidence.regularly(f"budget {rule.name}", read):
        yield _verdict(rule, spending, window, evidence.at)


def budget_window(rule: Rule) -> float:
    """Over how many seconds a budget is judged: a day where the rule does not say otherwise."""
    if isinstance(rule.budget, Budget):
        return rule.budget.over
    return rule.over if "over" in rule.model_fields_set else DAY


def _verdict(rule: Rule, spending: Spending, window: float, at: float) -> Verdict:
    measure, value, limit = spending.measure, spending.value, spending.limit
    is_known = math.isfinite(value) and spending.requests >= max(rule.min_requests, 1)
    return Verdict(
        rule=rule.name,
        labels=spending.series.labels | {"measure": measure},
        at=at,
        holds=spending.is_over if is_known else None,
        known=Known.KNOWN if is_known else Known.NO_DATA,
        headline=(
            f"{subject(spending.series)}: {measure_text(measure)} {value_text(measure, value)}, "
            f"budget {value_text(measure, limit)}"
        ),
        measure=measure,
        value=value if is_known else None,
        expected=limit,
        requests=spending.requests,
        window=window,
        **spending.proof,
    )
