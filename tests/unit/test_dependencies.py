"""Third parties against their own past."""

from __future__ import annotations

import pytest

from clew.analysis.dependencies import Failures, Judgement, Period, judge

# Days with an error or none in a thousand, and p95 of 200, give or take.
PAST = [Period(1000, day % 2, 50 + day, 200 + 5 * day) for day in range(7)]
REFUSED = Failures("4xx", 80, 1)


def judged(calls: int, errors: int, p95: float, *failures: Failures) -> Judgement:
    return judge(Period(calls, errors, 52, p95), PAST, failures)


@pytest.mark.parametrize(
    ("judgement", "status", "reason"),
    [
        (judged(1000, 1, 215), "ok", "as usual"),
        (judged(1000, 80, 215, Failures("5xx", 80, 0)), "degraded", "8.0% of calls fail"),
        (judged(1000, 80, 215, REFUSED), "ok", "80 4xx of 1 tenant: refused requests"),
        (judged(1000, 80, 215, Failures("4xx", 80, 3)), "degraded", "8.0% of calls fail"),
        (judged(1000, 990, 215, Failures("4xx", 990, 1)), "down", "990 of 1000 calls failed"),
        (judged(1000, 950, 215), "down", "950 of 1000"),
        (judged(1000, 1, 400), "degraded", "p95 is 1.9 times the usual"),
        (judged(1000, 1, 250), "ok", "as usual"),  # not by half
        (judged(1000, 3, 215), "ok", "as usual"),
        (judged(30, 1, 500), "ok", "as usual"),  # a p95 of 30 calls says little
        (judged(19, 19, 215), "unknown", "at least 20"),
        (judge(Period(1000, 1, 50, 200), PAST[:2], ()), "unknown", "3 are needed"),
        (judge(Period(1000, 1000, None, None), (), ()), "down", "1000 of 1000"),
    ],
)
def test_a_host_is_judged_by_its_own_past(judgement: Judgement, status: str, reason: str) -> None:
    assert judgement.status == status, judgement
    assert reason in judgement.reason


def test_days_that_differ_much_excuse_a_difference() -> None:
    restless = [Period(1000, 60 * (day % 3), 50, 200 * (1 + day % 3)) for day in range(7)]
    judgement = judge(Period(1000, 110, 50, 500), restless, ())
    assert judgement.status == "ok"
    assert 0 < judgement.z["errors"] < 5
