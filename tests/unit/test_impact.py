"""The excess of users: windows differ in length, so a user's chances of something slow do too."""

from __future__ import annotations

from typing import cast

import pytest

from clew.analysis.impact import users_excess
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
