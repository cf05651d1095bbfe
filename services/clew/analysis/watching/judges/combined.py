"""Rules that rest on other rules: `all`, `any`, `not`, and `only_while`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from clew.analysis.alerts.rules import Rule, RuleKind
from clew.analysis.alerts.verdicts import Verdict

Result = TypeVar("Result")

COMBINED = (RuleKind.ALL, RuleKind.ANY, RuleKind.NOT)


def combine(
    rules: Sequence[Rule], verdicts: Mapping[str, Sequence[Verdict]], at: float
) -> dict[str, list[Verdict]]:
    """The verdicts of all rules, by name: those that are given, those of rules that rest on them,
    and `only_while` applied."""
    return resolve(
        rules,
        verdicts,
        lambda rule, parts: _combined(rule, parts, at),
        lambda verdict, others: _only_while(verdict, holds(others)),
    )


def resolve(
    rules: Sequence[Rule],
    results: Mapping[str, Sequence[Result]],
    join: Callable[[Rule, Sequence[Sequence[Result]]], Result],
    limit: Callable[[Result, Sequence[Result]], Result],
) -> dict[str, list[Result]]:
    """The results of all rules by name, from those of rules that rest on no other. `join` makes the
    result of a rule from those of the rules that it names; `limit` applies those of the rule that
    it names with `only_while`."""
    by_name = {rule.name: rule for rule in rules}
    complete: dict[str, list[Result]] = {}

    def results_of(name: str) -> list[Result]:
        if name not in complete:
            rule = by_name[name]
            result = list(results.get(name, ()))
            if rule.kind in COMBINED:
                names = (rule.negated,) if rule.negated is not None else rule.all or rule.any
                result = [join(rule, [results_of(other) for other in names])]
            if rule.only_while is not None:
                others = results_of(rule.only_while)
                result = [limit(one, others) for one in result]
            complete[name] = result
        return complete[name]

    for rule in rules:
        results_of(rule.name)
    return complete


def holds(verdicts: Sequence[Verdict]) -> bool | None:
    """Whether a rule holds for one of its series; None if it holds for none and one of them cannot
    be judged."""
    if any(verdict.holds for verdict in verdicts):
        return True
    return None if any(verdict.holds is None for verdict in verdicts) else False


def _combined(rule: Rule, parts: Sequence[Sequence[Verdict]], at: float) -> Verdict:
    values = [holds(part) for part in parts]
    match rule.kind:
        case RuleKind.ALL:
            result = all(values) if False in values or None not in values else None
        case RuleKind.ANY:
            result = True if True in values else None if None in values else False
        case _:
            result = None if values[0] is None else not values[0]
    reasons = [verdict.headline for part in parts for verdict in part if verdict.holds]
    return Verdict(
        rule=rule.name,
        labels={},
        at=at,
        holds=result,
        headline=f"{rule.name}: {'; '.join(reasons[:3]) or 'holds'}",
        facts={f"because {number}": reason for number, reason in enumerate(reasons[:10], 1)},
    )


def _only_while(verdict: Verdict, condition: bool | None) -> Verdict:
    if not verdict.holds or condition:
        return verdict
    return replace(verdict, holds=condition)
