"""Two sums, divided: `ratio: {part: …, total: …}`, `when: value > 0.05`."""

from __future__ import annotations

from collections.abc import Iterator

from clew.analysis.alerts.rules import RatioPart, Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.evidence import Evidence, whole_minutes
from clew.analysis.watching.proofs import ratio_proof


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """One verdict; it cannot be judged while the total is 0."""
    assert rule.ratio is not None
    assert rule.when is not None
    part = _sum(rule.ratio.part, rule.over, evidence)
    total = _sum(rule.ratio.total, rule.over, evidence)
    is_judged = total > 0 and total >= rule.min_requests
    value = part / total if total else None
    yield Verdict(
        rule=rule.name,
        labels={},
        at=evidence.at,
        holds=rule.when.holds(part / total) if is_judged else None,
        known=Known.KNOWN if is_judged else Known.NO_DATA,
        headline=f"{rule.name}: {'none' if value is None else f'{value:.4g}'}, "
        f"limit {rule.when.limit:.4g}",
        measure="value",
        value=value,
        expected=rule.when.limit,
        requests=total,
        window=rule.over,
        facts={"part": f"{part:.6g}", "total": f"{total:.6g}"},
        **ratio_proof(
            rule.ratio, evidence.definitions, evidence.at - whole_minutes(rule.over), evidence.at
        ),
    )


def _sum(part: RatioPart, window: float, evidence: Evidence) -> float:
    return float(
        sum(getattr(slot, part.measure) for slot in evidence.selected(part.select, window))
    )
