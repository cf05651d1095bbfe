"""The excess of users, as windows differ in length, and of value lost, which has an interval."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from clew.analysis.impact import users_excess, value_excess
from clew.analysis.queries import ImpactOccurrencesRow


def row(occurrences: int, worse: int, users_worse: int, **by_count: int) -> ImpactOccurrencesRow:
    """`by_count`: users by how many occurrences they had, as `of_2=3`."""
    counts = [int(name.removeprefix("of_")) for name in by_count]
    values = {
        "occurrences": occurrences,
        "worse": worse,
        "users": sum(by_count.values()),
        "users_worse": users_worse,
        "users_by_count": (counts, list(by_count.values())),
    }
    return cast(ImpactOccurrencesRow, values)


DAY = row(10_000, 500, 90, of_100=100)  # 5 % worse, which met nearly every user


def test_what_is_usual_is_no_excess() -> None:
    now = row(130, 6, 5, of_1=70, of_2=30)
    expected = 70 * 0.05 + 30 * (1 - 0.95**2)
    assert users_excess(now, DAY)["excess"] == 0
    assert expected > 5


def test_all_users_worse_in_a_short_window_are_all_but_the_usual_ones() -> None:
    now = row(100, 100, 100, of_1=100)
    assert users_excess(now, DAY) == {"touched": 100, "worse": 100, "excess": pytest.approx(95)}


def test_without_a_baseline_there_is_no_excess() -> None:
    assert users_excess(row(10, 4, 4, of_1=10), None)["excess"] == 0


def value_row(values: Any, failed: Any) -> ImpactOccurrencesRow:
    sums = {"value": values.sum(), "value_squares": (values**2).sum(), "lost": values[failed].sum()}
    return cast(ImpactOccurrencesRow, {**sums, "at_risk": 0.0})


@pytest.mark.parametrize(("share", "usual"), [(0.02, 0.01), (0.2, 0.02), (0.05, 0.05)])
def test_the_interval_of_value_lost_has_the_truth_in_95_of_100(share: float, usual: float) -> None:
    random, inside, times = np.random.default_rng(1), 0, 400
    for _ in range(times):
        now, before = random.lognormal(0, 1.5, 300), random.lognormal(0, 1.5, 3000)
        found = value_excess(
            value_row(now, random.random(300) < share),
            value_row(before, random.random(3000) < usual),
        )
        truth = now.sum() * (share - usual)
        inside += found["lost_lower"] <= truth <= found["lost_upper"]
    assert inside / times > 0.93


def test_value_without_a_sum_or_a_baseline_has_no_interval() -> None:
    nothing = value_row(np.zeros(3), np.ones(3, dtype=bool))
    refunds = value_row(np.array([10.0, -30.0]), np.array([True, False]))
    known = value_row(np.full(100, 10.0), np.arange(100) < 1)
    assert set(value_excess(nothing, known).values()) == {0.0}
    assert set(value_excess(known, None).values()) == {0.0}
    found = value_excess(refunds, known)
    assert found["lost_lower"] == found["lost_upper"] == pytest.approx(10 + 20 * 0.01)
