"""Judges: one for each kind of rule. A judge is handed its rules and the evidence of a minute, and
says for each series whether its rule holds.

    thresholds  a measure compared with a limit
    metrics     a metric compared with a limit, or reaching it within a time
    statements  a statement's column compared with a limit
    ratios      two sums, divided
    absences    nothing came
    usual       the last minutes are unlike the series' past
    shifts      latency is lastingly higher
    budgets     what a transaction may cost
    burn        an error budget that is spent too fast
    combined    rules that rest on other rules
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from clew.analysis.alerts.rules import Rule, RuleKind
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.evidence import Evidence
from clew.analysis.watching.judges import (
    absences,
    budgets,
    burn,
    metrics,
    ratios,
    shifts,
    statements,
    thresholds,
    usual,
)

Judge = Callable[[Rule, Evidence], Iterator[Verdict]]

JUDGES: Mapping[RuleKind, Judge] = {
    RuleKind.THRESHOLD: lambda rule, evidence: (
        metrics.judge(rule, evidence) if rule.metric else thresholds.judge(rule, evidence)
    ),
    RuleKind.FORECAST: metrics.judge_forecast,
    RuleKind.SQL: statements.judge,
    RuleKind.BUDGET: budgets.judge,
    RuleKind.RATIO: ratios.judge,
    RuleKind.ABSENCE: absences.judge,
    RuleKind.SLO: burn.judge,
    RuleKind.BASELINE: usual.judge,
    RuleKind.REGRESSION: shifts.judge,
}


def judged(rules: Sequence[Rule], evidence: Evidence) -> Iterator[tuple[Rule, list[Verdict]]]:
    """The verdicts of each rule that rests on series."""
    for rule in rules:
        if rule.kind in JUDGES:
            yield rule, list(JUDGES[rule.kind](rule, evidence))
