"""The rules that stand without anybody writing them: series are compared with their own past."""

from __future__ import annotations

from collections.abc import Sequence

from clew.analysis.alerts.rules import STANDING, Regressions, Rule, Rules, Select, Watch
from clew.analysis.watching.judges.usual import MEASURES

UNUSUAL, REGRESSION, BUDGET = (f"{STANDING}{name}" for name in ("unusual", "regression", "budget"))
WATCH = (
    Watch(select=Select(transaction="*")),
    Watch(select=Select(operation="*")),
    Watch(select=Select(dependency="*")),
    Watch(select=Select(metric="*")),
)
REGRESSIONS = (Regressions(select=Select(service="*")),)


def all_rules(rules: Rules) -> Sequence[Rule]:
    """The rules of a document, and what its `watch`, `regressions` and `budgets` stand for."""
    watch = [
        Rule(
            name=_numbered(UNUSUAL, number),
            select=entry.select,
            baseline=("value",)
            if entry.select.metric
            else tuple(measure for measure in entry.metrics if measure in MEASURES),
            sensitivity=entry.sensitivity,
            min_requests=entry.min_requests,
            severity=entry.severity,
        )
        for number, entry in enumerate(rules.watch or WATCH)
        if MEASURES.keys() & set(entry.metrics)
    ]
    regressions = [
        Rule(
            name=_numbered(REGRESSION, number),
            select=entry.select,
            regression=("error_rate", "p50", "p75", "p95"),
            effect=entry.effect,
            severity=entry.severity,
        )
        for number, entry in enumerate(rules.regressions or REGRESSIONS)
    ]
    budgets = [
        Rule(
            name=_numbered(BUDGET, number),
            select=entry.select,
            budget=entry,
            severity=entry.severity,
        )
        for number, entry in enumerate(rules.budgets)
    ]
    return (*rules.rules, *watch, *regressions, *budgets)


def _numbered(name: str, number: int) -> str:
    return name if number == 0 else f"{name} {number + 1}"
