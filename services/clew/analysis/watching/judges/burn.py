"""An error budget that is spent too fast, over a long and a short window at once.

The windows and rates are those of Google's Site Reliability Workbook, chapter 5: the budget of 30
days is gone in two days at a rate of 14.4, in five at 6, in ten at 3. The short window ends the
alert soon after the burning has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from clew.analysis.alerts.rules import Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.evidence import Evidence

PERIOD = 30 * 86_400  # seconds, of a budget


class BurnWindow(NamedTuple):
    """A rate that holds over both windows, in seconds."""

    rate: float
    long: int
    short: int


PAGE = (BurnWindow(14.4, 3600, 300), BurnWindow(6, 6 * 3600, 1800))
TICKET = (BurnWindow(3, 86_400, 7200), BurnWindow(1, 3 * 86_400, 6 * 3600))


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each environment in which the transaction has occurrences."""
    definition = next((d for d in evidence.definitions if rule.slo in (d.name, d.id)), None)
    if definition is None or definition.slo is None:
        reason = "no such transaction" if definition is None else "it has no slo"
        yield Verdict(
            rule.name, {"transaction": rule.slo or ""}, evidence.at, None, Known.ERROR,
            f"{rule.name}: {rule.slo}: {reason}",
        )  # fmt: skip
        return
    windows = PAGE if rule.severity == "page" else (*PAGE, *TICKET)
    budget = 1 - definition.slo.objective
    lengths = sorted({length for window in windows for length in window[1:]})
    for environment, burned in evidence.burned(definition, lengths).items():
        rates = {length: bad / max(total, 1) / budget for length, (total, bad) in burned.items()}
        ratio = {w: min(rates[w.long], rates[w.short]) / w.rate for w in windows}
        worst = max(windows, key=lambda window: ratio[window])
        total, bad = burned[worst.long]
        rate = rates[worst.long]
        remaining = PERIOD / rate if rate else float("inf")
        yield Verdict(
            rule=rule.name,
            labels={"transaction": definition.name, "environment": environment},
            at=evidence.at,
            holds=ratio[worst] >= 1 and bad >= rule.min_events,
            known=Known.KNOWN,
            headline=(
                f"{definition.name}: {bad} of {total} bad, {rate:.3g} × the budget"
                + (f", which is gone in {remaining / 3600:.3g} h at this rate" if rate > 1 else "")
            ),
            measure="burn_rate",
            value=rate,
            expected=worst.rate,
            requests=total,
            window=worst.long,
            facts={
                "bad": str(bad),
                "objective": f"{definition.slo.objective:.6g}",
                "short window": f"{worst.short // 60} min: {rates[worst.short]:.3g} ×",
            },
        )
