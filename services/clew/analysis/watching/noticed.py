"""The smallest change of a series that would be noticed, and rules that ask for less.

No test can see a change that is smaller than what the series does by itself. Whoever writes a rule
below that is told so at once, with the number, and does not wait for an alert that never comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from clew.analysis.alerts.rules import Regressions, Rule, Rules, Select
from clew.analysis.baselines import Floats, median
from clew.analysis.detectors import regressions, spikes
from clew.analysis.detectors.findings import Sensitivity
from clew.analysis.documents import DocumentError, DocumentProblem
from clew.analysis.traces.times import HOUR
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching import learned as learning
from clew.analysis.watching.learned import Learned
from clew.analysis.watching.replay.past import Past
from clew.storage.statements import Statements

SHARE_WINDOW = 60  # minutes in which failures are counted
TRAFFIC_WINDOW = 120  # minutes in which requests are


def smallest_changes(
    learned: Learned, measure: str, sensitivity: Sensitivity = "normal", effect: float = 0.0
) -> Floats:
    """The smallest change [series] that is noticed nine times of ten; nan where none is, or too
    little is known. Of a quantile: by how much it is higher for a day, as a share of it. Of
    `error_rate`: the share of failed requests of an hour. Of `rate`: the share of the requests of
    two hours that is missing. Of `value_lost`: the value that is lost in an hour."""
    hourly = np.exp(median(learned.traffic.profile))
    if measure == "rate":
        noticed = spikes.smallest_drop(
            hourly * TRAFFIC_WINDOW / 60, learned.traffic_dispersion, sensitivity
        )
    elif measure in ("error_rate", "value_lost"):
        limits = spikes.ERROR_P if measure == "error_rate" else spikes.LOST_P
        limit = limits[spikes.ERROR_WINDOWS.index(SHARE_WINDOW)] ** spikes.CERTAIN[sensitivity]
        if measure == "error_rate":
            count, share, dispersion = hourly, learned.error_share, learned.error_dispersion
        else:
            lost = learned.lost
            count, share, dispersion = lost.an_hour, lost.share, lost.dispersion
        noticed = spikes.smallest_share(share, count * SHARE_WINDOW / 60, dispersion, limit)
        if measure == "value_lost":
            noticed = noticed * count * learned.lost.unit
    else:
        shifts = regressions.smallest_shift(learned.shifts, 24, sensitivity, effect)
        noticed = shifts[:, regressions.MEASURES.index(measure)]
    return np.where(learned.is_judged, noticed, np.nan)


def effect_check(
    statements: Statements,
    definitions: Callable[[], Sequence[Definition]],
    now: Callable[[], float] = time.time,
) -> Callable[[Rules], None]:
    """A function that raises DocumentError for regressions that are to be reported from an effect
    on that none of their series would show, by the last four weeks."""

    def check(rules: Rules) -> None:
        listed = list(_with_effect(rules))
        if not listed:
            return
        end = now()
        start = end - learning.HOURS * HOUR
        past = Past(statements, definitions(), start, end, rules.zone)
        problems = [
            DocumentProblem(None, f"{place}.effect", detail)
            for place, rule in listed
            if (detail := _problem(rule, past))
        ]
        if problems:
            raise DocumentError("alerts", problems)

    return check


def _with_effect(rules: Rules) -> Iterator[tuple[str, Rule | Regressions]]:
    """The rules that say an effect, and where they stand."""
    for number, rule in enumerate(rules.rules):
        if rule.regression and rule.effect is not None:
            yield f"rules[{number}]", rule
    for number, entry in enumerate(rules.regressions):
        if "effect" in entry.model_fields_set:
            yield f"regressions[{number}]", entry


def _problem(rule: Rule | Regressions, past: Past) -> str:
    """What is wrong with a rule's effect, and what to write; empty if nothing is."""
    select, effect = rule.select, rule.effect
    if select is None or effect is None:
        return ""
    learned = _learned(select, past)
    if learned is None:
        return ""
    sensitivity = rule.sensitivity if isinstance(rule, Rule) else "normal"
    measures = rule.regression if isinstance(rule, Rule) else ("p50", "p75", "p95")
    changes = np.stack(
        [
            smallest_changes(learned, measure, sensitivity)
            for measure in measures
            if measure in regressions.MEASURES
        ]
    )
    if not np.isfinite(changes).any() or float(np.nanmin(changes)) <= effect:
        return ""
    measure, series = np.unravel_index(np.nanargmin(changes), changes.shape)
    least = float(changes[measure, series])
    subject = " ".join(past.labels(learned.series[series]).values())
    return (
        f"{effect * 100:.3g} % would not be noticed: the smallest change that is, of {subject}, is "
        f"{least * 100:.3g} %: write effect: {np.ceil(least * 1000) / 10:.3g}% or more"
    )


def _learned(select: Select, past: Past) -> Learned | None:
    histories = past.histories(past.select(select))
    return learning.learn(histories, past.zone) if histories else None
