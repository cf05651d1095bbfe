"""What a disturbance costs: the excess over a baseline, never totals.

Functions over counts of two sets of traces, A (disturbed) and B (the baseline)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clew.analysis.queries import DiagnosisSetsRow, ImpactOccurrencesRow

Z95 = 1.959964
HOUR = 3600e9  # nanoseconds
MONTH = 30 * 86_400.0  # seconds


@dataclass(frozen=True)
class Excess:
    """More than expected, with a 95 % interval."""

    value: float
    lower: float
    upper: float

    def as_json(self) -> dict[str, float]:
        return {"value": self.value, "lower": self.lower, "upper": self.upper}


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson's), (0, 1) without trials."""
    if trials <= 0:
        return 0.0, 1.0
    share = successes / trials
    squared = Z95 * Z95 / trials
    middle = (share + squared / 2) / (1 + squared)
    half = Z95 / (1 + squared) * math.sqrt(share * (1 - share) / trials + squared / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def excess(came: float, trials: float, usual: float, usual_trials: float) -> Excess:
    """How many of `trials` came more than the share of the baseline lets expect: the difference of
    two shares with Newcombe's interval, which combines Wilson's of both."""
    if trials <= 0 or usual_trials <= 0:
        return Excess(0.0, 0.0, 0.0)
    share, before = came / trials, usual / usual_trials
    lower, upper = wilson(came, trials)
    lower_before, upper_before = wilson(usual, usual_trials)
    difference = share - before
    return Excess(
        trials * difference,
        trials * (difference - math.hypot(share - lower, upper_before - before)),
        trials * (difference + math.hypot(upper - share, before - lower_before)),
    )


def combined_score(parts: Mapping[str, float]) -> float:
    """One number from shares of 0 to 1: 1 - Π(1 - part). Each part alone can make it large."""
    rest = 1.0
    for part in parts.values():
        rest *= 1 - min(max(part, 0.0), 1.0)
    return 1 - rest


def budget_share(bad: Excess, objective: float, per_second: float) -> float:
    """The share of a month's error budget that so many bad occurrences take, where as many a second
    occur as usual. 0 without usual traffic."""
    allowed = (1 - objective) * per_second * MONTH
    return max(0.0, bad.value) / allowed if allowed else 0.0


def apdex(satisfied: float, tolerating: float, of_all: float) -> float | None:
    return (satisfied + tolerating / 2) / of_all if of_all else None


def value_excess(
    now: ImpactOccurrencesRow, before: ImpactOccurrencesRow | None
) -> dict[str, float]:
    """What was lost, with a 95 % interval, and what is at risk in occurrences that ended well but
    slowly, beyond the baseline's share of the value; nothing without a baseline."""
    if before is None:
        return dict.fromkeys(("lost", "lost_lower", "lost_upper", "at_risk"), 0.0)
    between = _value_lost(now, before)
    return {
        "lost": max(0.0, between.value),
        "lost_lower": between.lower,
        "lost_upper": between.upper,
        "at_risk": _beyond(now["at_risk"], now["value"], before["at_risk"], before["value"]),
    }


def _value_lost(now: ImpactOccurrencesRow, before: ImpactOccurrencesRow) -> Excess:
    """The value lost more than expected. A share of values scatters like one of as many equal
    values as Kish's effective size says: the square of their sum by the sum of their squares."""
    trials, usual_trials = _effective_size(now), _effective_size(before)
    if not (trials and usual_trials):
        lost = now["lost"] - (
            now["value"] * before["lost"] / before["value"] if usual_trials else 0
        )
        return Excess(lost, lost, lost)
    worth = now["value"] / trials
    equal = excess(
        min(now["lost"] / worth, trials),
        trials,
        min(before["lost"] / before["value"], 1.0) * usual_trials,
        usual_trials,
    )
    return Excess(worth * equal.value, worth * equal.lower, worth * equal.upper)


def _effective_size(row: ImpactOccurrencesRow) -> float:
    """How many equal values scatter like these; 0 where they have no positive sum."""
    value, squares = row["value"], row["value_squares"]
    return value * value / squares if value > 0 and squares > 0 else 0.0


def users_excess(
    now: ImpactOccurrencesRow, before: ImpactOccurrencesRow | None
) -> dict[str, float]:
    """The users who had it worse, and how many more they are than the baseline lets expect: where
    a share p of its occurrences was worse, one of n occurrences is with 1 - (1 - p)^n. The windows
    differ in length, so shares of their users cannot be compared. 0 without a baseline."""
    usual = before["worse"] / before["occurrences"] if before else 1.0
    counts, users = now["users_by_count"]
    expected = sum(many * (1 - (1 - usual) ** n) for n, many in zip(counts, users, strict=True))
    return {
        "touched": now["users"],
        "worse": now["users_worse"],
        "excess": max(0.0, now["users_worse"] - expected),
    }


def _beyond(part: float, whole: float, usual_part: float, usual_whole: float) -> float:
    return max(0.0, part - (usual_part / usual_whole * whole if usual_whole else 0.0))


@dataclass(frozen=True)
class Objective:
    """The share of a transaction's occurrences that are to be good, and within how many nanoseconds
    they must end to be."""

    share: float
    latency: float = math.inf


def occurrences_budget(
    now: ImpactOccurrencesRow, before: ImpactOccurrencesRow, objective: Objective, seconds: float
) -> float:
    """The share of a month's error budget that the occurrences of a window take beyond those of its
    baseline, which has so many seconds."""
    bad = excess(now["bad"], now["occurrences"], before["bad"], before["occurrences"])
    return budget_share(bad, objective.share, before["occurrences"] / seconds)


def impact(
    a: DiagnosisSetsRow,
    b: DiagnosisSetsRow,
    occurrences: Sequence[ImpactOccurrencesRow] = (),
    objective: Objective | None = None,
    seconds: float = HOUR / 1e9,
) -> dict[str, Any]:
    """The impact as the API's model names it. `occurrences`: of a defined transaction; `objective`:
    its one; `seconds`: how long the baseline lasts, without the window."""
    by_set = {row["is_a"]: row for row in occurrences}
    occurred, before = by_set.get(True), by_set.get(False)
    if occurred and before:
        failed = excess(
            occurred["failed"], occurred["occurrences"], before["failed"], before["occurrences"]
        )
    else:
        failed = excess(a["errors"], a["traces"], b["errors"], b["traces"])
    hours = (a["time"] / a["rows"] - b["time"] / b["rows"]) * a["traces"] / HOUR
    parts = {"failed": max(0.0, failed.lower) / max(1, a["traces"])}
    users = value = budget = None
    if occurred and before and objective:
        budget = occurrences_budget(occurred, before, objective, seconds)
        parts["budget"] = min(1.0, budget)
    if occurred:
        users = users_excess(occurred, before)
        if occurred["users"]:
            parts["users"] = users["excess"] / occurred["users"]
        value = value_excess(occurred, before)
        if occurred["value"]:
            parts["value"] = value["lost"] / occurred["value"]
    return {
        "traces": a["traces"],
        "failed": failed.as_json(),
        "user_hours": hours,
        "apdex": {"before": _apdex_of(b), "after": _apdex_of(a)},
        "users": users,
        "value": value,
        "budget_share": budget,
        "score": combined_score(parts),
        "parts": parts,
    }


def _apdex_of(sets: DiagnosisSetsRow) -> float | None:
    return apdex(sets["satisfied"], sets["tolerating"], sets["rows"])
