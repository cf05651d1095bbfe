"""Baselines learn seasons that are there, and none that are not."""

from __future__ import annotations

import numpy as np
import pytest

from clew.analysis import baselines

HOURS = np.arange(4 * 168) % 168


def noise(seed: int, series: int = 5, deviation: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, deviation, (series, len(HOURS)))


def test_median_is_numpys() -> None:
    values = np.random.default_rng(1).normal(size=(4, 5, 9))
    values[values > 1] = np.nan
    values[0, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        expected = np.nanmedian(values, axis=-1)
    np.testing.assert_allclose(baselines.median(values), expected)


def test_a_season_is_learned() -> None:
    day = np.cos(2 * np.pi * (HOURS % 24) / 24)
    season = 3 + 0.5 * day - 0.4 * (HOURS >= 120)
    baseline = baselines.fit(season + noise(2), HOURS)
    error = baseline.expected(HOURS[:168]) - season[:168]
    assert np.abs(error).max() < 0.15
    assert np.sqrt((error**2).mean()) < 0.04
    np.testing.assert_allclose(baseline.spread, 0.1, rtol=0.2)


def test_one_odd_day_of_the_week_is_learned() -> None:
    season = 1.0 * (HOURS // 24 == 2)
    expected = baselines.fit(season + noise(3), HOURS).expected(HOURS[:168])
    assert np.abs(expected - season[:168]).mean() < 0.06


def test_without_a_season_the_baseline_is_flat() -> None:
    expected = baselines.fit(7 + noise(4), HOURS).expected(HOURS[:168])
    assert expected.std(axis=1).max() < 0.03  # the mean of four hours would have 0.05


def test_a_bad_day_does_not_matter() -> None:
    values = noise(5)
    usual = baselines.fit(values, HOURS).profile
    values[:, 200:224] += 5
    assert np.abs(baselines.fit(values, HOURS).profile - usual).max() < 0.2


def test_excluded_hours_do_not_count() -> None:
    values, seconds = noise(6), np.arange(len(HOURS)) * 3600.0
    spoiled = values.copy()
    spoiled[:, 100:400] += 2
    excluded = baselines.without(spoiled, seconds, [(100 * 3600.0, 400 * 3600.0)])
    assert np.isnan(excluded).sum() == 5 * 300
    difference = baselines.fit(excluded, HOURS).profile - baselines.fit(values, HOURS).profile
    assert np.abs(difference).max() < 0.2


def test_an_accepted_change_is_the_new_usual() -> None:
    values, seconds = noise(11), np.arange(len(HOURS)) * 3600.0
    values[:, 650:] += 0.7
    rebased = baselines.rebased(values, seconds, [(650 * 3600.0, 0.7)])
    assert baselines.fit(rebased, HOURS).profile.mean() == pytest.approx(0.7, abs=0.05)
    assert baselines.residuals(rebased, HOURS)[:, 650:].mean() == pytest.approx(0.0, abs=0.05)


def test_residuals_are_those_of_a_baseline_that_did_not_know_the_week() -> None:
    values = noise(7)
    values[:, 3 * 168 :] += 1.0  # a week that nobody could have expected
    residuals = baselines.residuals(values, HOURS)
    assert residuals[:, 3 * 168 :].mean() == pytest.approx(1.0, abs=0.05)
    others = np.delete(values, np.arange(168, 336), axis=1)
    expected = baselines.fit(others, np.delete(HOURS, np.arange(168, 336))).expected(HOURS[168:336])
    np.testing.assert_allclose(residuals[:, 168:336], values[:, 168:336] - expected)


def test_one_week_has_days_but_no_week() -> None:
    hours = HOURS[:168]
    values = noise(8)[:, :168] + 0.5 * np.cos(2 * np.pi * hours / 24)
    baseline = baselines.fit(values, hours)
    days = baseline.profile.reshape(5, 7, 24)
    assert np.ptp(days.mean(2), axis=1).max() < 0.1
    assert baseline.weeks.tolist() == [1.0] * 5


def test_series_without_values_have_no_baseline() -> None:
    values = noise(9, series=2)
    values[1] = np.nan
    baseline = baselines.fit(values, HOURS)
    assert np.isfinite(baseline.profile[0]).all()
    assert np.isnan(baseline.profile[1]).all()
    assert baseline.weeks.tolist() == [4.0, 0.0]


def test_series_do_not_change_each_other() -> None:
    values = noise(10)
    together = baselines.fit(values, HOURS).profile
    np.testing.assert_array_equal(baselines.fit(values[2:3], HOURS).profile[0], together[2])


def test_hours_are_those_of_the_time_zone() -> None:
    monday = 1_767_567_600.0  # 2026-01-05 00:00 in Berlin
    assert baselines.hours_of_week([monday], "Europe/Berlin").tolist() == [0]
    assert baselines.hours_of_week([monday], "UTC").tolist() == [167]


def test_clocks_set_forward_and_back_are_no_new_weeks() -> None:
    for start in (1_774_220_400, 1_792_360_800):  # a week before each change of 2026 in Berlin
        seconds = [start + hour * 3600.0 for hour in range(3 * 168)]
        hours = baselines.hours_of_week(seconds, "Europe/Berlin")
        baseline = baselines.fit(hours[None, :] * 1.0, hours)
        assert baseline.weeks[0] in (3, 4)
        assert baseline.profile[0, 100] == pytest.approx(100, abs=3)


def test_between_the_middles_of_hours_the_baseline_changes_evenly() -> None:
    profile = np.zeros((1, 168))
    profile[0, 0], profile[0, 1] = 1.0, 2.0
    baseline = baselines.Baseline(profile, np.ones(1), np.ones(1))
    values = baseline.interpolated(np.array([30, 60, 90, 0, 10_079]))[0]
    np.testing.assert_allclose(values, [1.0, 1.5, 2.0, 0.5, 0.5 - 1 / 60])
