"""An error budget that is spent too fast, over a long and a short window at once.

The windows and rates are those of Google's Site Reliability Workbook, chapter 5: the budget of 30
days is gone in two days at a rate of 14.4, in five at 6, in ten at 3. The short window ends the
alert soon after the burning has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from clew.analysis.alerts.rules import Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.texts import number_text
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching.evidence import Evidence
from clew.analysis.watching.proofs import burn_proof
from clew.analysis.watching.series import WatchedSeries

PERIOD = 30 * 86_400  # seconds, of a budget


class BurnWindow(NamedTuple):
    """A rate that holds over both windows, in seconds."""

    rate: float
    long: int
    short: int


PAGE = (BurnWindow(14.4, 3600, 300), BurnWindow(6, 6 * 3600, 1800))
TICKET = (BurnWindow(3, 86_400, 7200), BurnWindow(1, 3 * 86_400, 6 * 3600))


RATES = (3600, 6 * 3600, 3 * 86_400)  # seconds, over which burn rates of a budget are shown


@dataclass(frozen=True)
class ErrorBudget:
    """What is spent of the budget of PERIOD. `spent`: a share of it; `rates`: how fast, over each
    of RATES: at 1 it is spent exactly by its end."""

    definition: Definition
    environment: str
    total: int
    bad: int
    rates: tuple[float, ...]

    @property
    def objective(self) -> float:
        """The share of occurrences that are to be good."""
        return self.definition.slo.objective if self.definition.slo else 1.0

    @property
    def spent(self) -> float:
        """The share of the budget that is spent; more than 1 if it is overspent."""
        return _rate(self.bad, self.total, self.objective)

    @property
    def gone_in(self) -> float:
        """Seconds until the rest is spent at the rate of the last six hours; inf if nothing is."""
        rate = self.rates[1]
        return max(0.0, 1 - self.spent) * PERIOD / rate if rate else float("inf")


def read_error_budgets(
    watched: WatchedSeries, definitions: Iterable[Definition], at: float
) -> list[ErrorBudget]:
    """The error budgets of the 30 days before `at`, of definitions with an slo. Raises
    StorageError."""
    with_slo = {definition.id: definition for definition in definitions if definition.slo}
    latencies = {
        id: definition.slo.latency_ms * 1e6
        if definition.slo and definition.slo.latency_ms is not None
        else float("inf")
        for id, definition in with_slo.items()
    }
    if not with_slo:
        return []
    budgets = []
    for (id, environment), burned in watched.burned(at, latencies, (*RATES, PERIOD)).items():
        definition = with_slo[id]
        objective = definition.slo.objective if definition.slo else 1.0
        rates = tuple(_rate(bad, total, objective) for total, bad in list(burned.values())[:-1])
        total, bad = burned[PERIOD]
        budgets.append(ErrorBudget(definition, environment, total, bad, rates))
    return sorted(budgets, key=lambda budget: -budget.spent)


def _rate(bad: int, total: int, objective: float) -> float:
    return bad / max(total, 1) / (1 - objective)


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
        hours = PERIOD / rate / 3600 if rate else float("inf")
        yield Verdict(
            rule=rule.name,
            labels={"transaction": definition.name, "environment": environment},
            at=evidence.at,
            holds=ratio[worst] >= 1 and bad >= rule.min_events,
            known=Known.KNOWN,
            headline=(
                f"{definition.name}: {bad} of {total} bad, {number_text(rate)} × the budget"
                + (f", which is gone in {number_text(hours)} h at this rate" if rate > 1 else "")
            ),
            measure="burn_rate",
            value=rate,
            expected=worst.rate,
            requests=total,
            window=worst.long,
            facts={
                "bad": str(bad),
                "objective": f"{definition.slo.objective:.6g}",
                "short window": f"{worst.short // 60} min: {number_text(rates[worst.short])} ×",
            },
            **burn_proof(definition, environment, evidence.at - worst.long, evidence.at),
        )
