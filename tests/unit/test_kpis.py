"""How KPIs move with a transaction."""

from __future__ import annotations

import numpy as np
import pytest

from clew.analysis.kpis import Correlation, correlate, without_season

HOURS = 14 * 24
CLOCK = np.arange(HOURS) % 24
DAILY = 100 + 80 * np.sin(CLOCK / 24 * 2 * np.pi)


def shared(seed: int, lag: int, weight: float) -> Correlation | None:
    """A KPI that has `weight` of what a latency did so many hours before; both have a daily season."""
    choice = np.random.default_rng(seed)
    latency = choice.normal(size=HOURS + 20)
    kpi = -weight * np.roll(latency, lag) + (1 - weight) * choice.normal(size=HOURS + 20)
    return correlate((kpi[10:-10] + DAILY), latency[10:-10] + 3 * DAILY, CLOCK)


def test_the_lag_and_the_sign_of_what_moves_together() -> None:
    for lag in (-2, 0, 3):
        correlation = shared(1, lag, 0.7)
        assert correlation is not None
        assert correlation.lag == lag
        assert correlation.is_clear
        assert -1 < correlation.lower < correlation.r < correlation.upper < 0
        assert correlation.n == HOURS - abs(lag)


def test_a_common_season_and_a_slow_drift_are_no_correlation() -> None:
    clear = 0
    for seed in range(100):
        choice = np.random.default_rng(seed)
        drifts = np.zeros((2, HOURS))
        for hour in range(1, HOURS):
            drifts[:, hour] = 0.8 * drifts[:, hour - 1] + choice.normal(size=2)
        correlation = correlate(DAILY + drifts[0], DAILY + drifts[1], CLOCK)
        clear += correlation is not None and correlation.is_clear
    assert clear <= 5


@pytest.mark.parametrize("hours", [0, 1, 23])
def test_few_hours_say_nothing(hours: int) -> None:
    values = np.arange(hours, dtype=float)
    assert correlate(values, values, np.arange(hours)) is None


def test_what_never_changes_or_is_not_known_says_nothing() -> None:
    changing = np.random.default_rng(1).normal(size=HOURS)
    assert correlate(np.ones(HOURS), changing, CLOCK) is None
    assert correlate(np.full(HOURS, np.nan), changing, CLOCK) is None
    gaps = np.where(CLOCK < 12, np.nan, changing)
    correlation = correlate(gaps, changing, CLOCK)
    assert correlation is not None
    assert correlation.n == HOURS / 2
    assert np.isfinite(without_season(changing, CLOCK)).all()
