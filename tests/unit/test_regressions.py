"""Lasting shifts are found, and the drift that a series always had is none."""

from __future__ import annotations

import numpy as np
import pytest

from clew.analysis.detectors import regressions
from clew.analysis.detectors.windows import Sums

HISTORY = 672
NOW = HISTORY + 96
MEASURES = len(regressions.MEASURES)


def drift(seed: int, series: int = 8, deviation: float = 0.05, remains: float = 0.8) -> np.ndarray:
    """Residuals of hours which resemble the hour before."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, deviation * np.sqrt(1 - remains**2), (series, NOW, MEASURES))
    for hour in range(1, NOW):
        steps[:, hour] += remains * steps[:, hour - 1]
    return steps


@pytest.fixture(scope="module")
def residuals() -> np.ndarray:
    return drift(1)


REQUESTS = np.full((8, NOW), 2000.0)
REQUEST = np.full((8, MEASURES), 0.5)


@pytest.fixture(scope="module")
def history(residuals: np.ndarray) -> regressions.History:
    return regressions.learn(residuals[:, :HISTORY], REQUESTS[:, :HISTORY], REQUEST)


def test_sums_are_those_of_slices() -> None:
    values = np.random.default_rng(2).normal(size=(2, 20, 3))
    sums = Sums(values).ending([3, 20, 25, -2], 5)
    np.testing.assert_allclose(sums[:, 0], values[:, :3].sum(1))
    np.testing.assert_allclose(sums[:, 1], values[:, 15:].sum(1))
    np.testing.assert_allclose(sums[:, 2], 0)
    np.testing.assert_allclose(sums[:, 3], 0)


def test_z_is_by_the_series_own_history(
    residuals: np.ndarray, history: regressions.History
) -> None:
    ends = np.arange(HISTORY, NOW + 1)
    z = regressions.shifts(residuals, REQUESTS, history, ends).z
    assert z.std() == pytest.approx(1.0, abs=0.2)
    # A day of independent hours would have a deviation of 0.05 / √24.
    assert history.deviation[:, 4].mean() > 2 * 0.05 / np.sqrt(24)


def test_what_a_day_leaves_behind_is_learned() -> None:
    slow = drift(3, remains=0.99)
    carry = regressions.learn(slow[:, :HISTORY], REQUESTS[:, :HISTORY], REQUEST).carry
    independent = drift(3, remains=0.0)
    none = regressions.learn(independent[:, :HISTORY], REQUESTS[:, :HISTORY], REQUEST).carry
    assert carry[:, 0].mean() > 0.6
    assert none.mean() < 0.1


def judge(residuals: np.ndarray, history: regressions.History) -> np.ndarray:
    ends = np.arange(HISTORY, NOW + 1)
    current = regressions.shifts(residuals, REQUESTS, history, ends)
    return regressions.every_hour(current).max(axis=(2, 3)) >= 1


def test_usual_drift_is_no_regression(residuals: np.ndarray, history: regressions.History) -> None:
    assert not judge(residuals, history).any()


@pytest.mark.parametrize(("measure", "shift"), [(slice(0, 3), 0.25), (3, 0.3)])
def test_a_shift_is_found_and_explained(
    residuals: np.ndarray, history: regressions.History, measure: object, shift: float
) -> None:
    slower = residuals.copy()
    slower[2, NOW - 12 :, measure] += shift
    alarms = judge(slower, history)
    assert np.flatnonzero(alarms.any(1)).tolist() == [2]
    assert HISTORY + alarms[2].argmax() >= NOW - 12

    current = regressions.shifts(slower, REQUESTS, history, [NOW - 1, NOW])
    over = regressions.every_hour(current)[:, -1]
    expected = np.zeros_like(slower)
    (finding,) = regressions.findings(current, over, expected, slower, REQUESTS, history)
    assert finding.series == 2
    assert finding.measure in np.array(regressions.MEASURES)[measure]
    assert finding.change_point == pytest.approx(NOW - 12, abs=1)
    assert finding.deployment is None
    assert finding.value > finding.upper > finding.expected > finding.lower
    assert finding.z > 3.8
    assert (finding.as_large, finding.past) == (0, HISTORY)


def test_a_measure_is_judged_though_another_one_stands_out(
    residuals: np.ndarray, history: regressions.History
) -> None:
    slower = residuals.copy()
    slower[2, NOW - 12 :] += [0.3, 0.3, 0.6, 0.3]
    current = regressions.shifts(slower, REQUESTS, history, [NOW - 1, NOW])
    for names, measure in (({"p50", "p95"}, "p95"), ({"p50"}, "p50")):
        named = current.only(names)
        over = regressions.every_hour(named)[:, -1]
        expected = np.zeros_like(slower)
        (finding,) = regressions.findings(named, over, expected, slower, REQUESTS, history)
        assert (finding.series, finding.measure) == (2, measure)


def test_faster_is_no_regression(residuals: np.ndarray, history: regressions.History) -> None:
    faster = residuals.copy()
    faster[:, NOW - 24 :] -= 0.5
    assert not judge(faster, history).any()


def test_after_a_deployment_each_window_is_looked_at_once(
    residuals: np.ndarray, history: regressions.History
) -> None:
    slower = residuals.copy()
    slower[3, NOW - 2 :, :3] += 0.4
    current = regressions.shifts(slower, REQUESTS, history, [NOW])
    for hours, is_due in ((2, True), (3, False), (-1, False)):
        since = np.full((8, 1), hours)
        over = regressions.after_deployment(current, since)[:, -1]
        assert (over[3].max() >= 1) == is_due
    over = regressions.after_deployment(current, np.full((8, 1), 2))[:, -1]
    deployments = np.full(8, NOW - 2)
    (finding,) = regressions.findings(
        current, over, np.zeros_like(slower), slower, REQUESTS, history, deployments
    )
    assert (finding.series, finding.window, finding.deployment) == (3, 2, NOW - 2)


def test_hours_without_requests_are_not_judged(
    residuals: np.ndarray, history: regressions.History
) -> None:
    unknown = residuals.copy()
    unknown[:, NOW - 30 :] = np.nan
    current = regressions.shifts(unknown, REQUESTS, history, [NOW])
    assert np.isnan(current.z[:, 0, :5]).all()
    few = regressions.measures(np.zeros((1, 1, 4)), np.array([[10.0]]))
    assert np.isfinite(few).tolist() == [[[True, True, False, False]]]


def test_hours_with_many_requests_count_more(history: regressions.History) -> None:
    values, requests = np.zeros((8, 72, MEASURES)), np.full((8, 72), 10_000.0)
    values[:, -1], requests[:, -1] = 5.0, 5.0  # an hour with few requests, far off
    z = regressions.shifts(values, requests, history, [72], windows=[8]).z
    assert z.max() < 4
    requests[:, -1] = 10_000.0
    assert regressions.shifts(values, requests, history, [72], windows=[8]).z.min() > 10


def test_the_smallest_shift_is_noticed_and_half_of_it_is_not(
    residuals: np.ndarray, history: regressions.History
) -> None:
    least = np.log1p(regressions.smallest_shift(history)[:, 0])
    assert (least > 0.08).all()
    rates = []
    for factor in (0.5, 1.0):
        slower = residuals.copy()
        slower[:, NOW - 24 :, 0] += factor * least[:, None]
        rates.append(judge(slower, history).any(1).mean())
    assert rates[0] <= 0.25
    assert rates[1] >= 0.75


def test_a_series_without_a_past_is_not_judged(residuals: np.ndarray) -> None:
    short = residuals[:, :HISTORY].copy()
    short[1, :, 0] = np.nan
    short[2, : HISTORY - 60] = np.nan
    history = regressions.learn(short, REQUESTS[:, :HISTORY], REQUEST)
    assert np.isnan(history.deviation[1, :, 0]).all()
    assert np.isnan(history.deviation[2]).all()
    slower = residuals + 1.0
    current = regressions.shifts(slower, REQUESTS, history, [NOW - 1, NOW])
    over = regressions.every_hour(current)[:, -1].max(axis=(1, 2)) >= 1
    assert not over[2]
    assert over[0]


def test_each_series_is_judged_by_itself(
    residuals: np.ndarray, history: regressions.History
) -> None:
    pair = slice(2, 4)
    alone = regressions.learn(residuals[pair, :HISTORY], REQUESTS[pair, :HISTORY], REQUEST[pair])
    np.testing.assert_allclose(alone.deviation, history.deviation[pair])
    ends = [NOW - 1, NOW]
    together = regressions.shifts(residuals, REQUESTS, history, ends)
    recent = residuals[pair, -73:], REQUESTS[pair, -73:]
    few = regressions.shifts(*recent, alone, [72, 73])
    np.testing.assert_allclose(few.z, together.z[pair], atol=1e-6)
