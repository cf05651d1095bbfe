"""Versions, forecasts, change points and anomalies, each against a plain reference or a case that
must be found and one that must not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from clew.analysis.detectors import anomalies, changes, forecasts, versions

HOURS = np.arange(4 * 168) % 168
REQUEST = np.full((1, 4), 0.4)  # variance of a request's logarithm of time, around


def sampled(seed: int, requests: int, factor: float = 1.0, hours: int = 12) -> np.ndarray:
    """The logarithms of the four measures of so many requests an hour, which all drift together."""
    random = np.random.default_rng(seed)
    drift = np.random.default_rng(99).normal(0, 0.1, (hours, 1))
    times = random.normal(np.log(factor), 0.5, (hours, requests)) + drift
    p50, p75, p95, p98 = np.quantile(times, [0.5, 0.75, 0.95, 0.98], axis=1)
    return np.stack([p50, p75, p95, p98 - p50], axis=1)[None]


def requests(count: int, hours: int = 12) -> np.ndarray:
    return np.full((1, hours), float(count))


def test_a_slower_version_is_found_whatever_both_have_in_common() -> None:
    old = sampled(1, 4000)
    shift, z = versions.compare(old, sampled(2, 800, 1.1), requests(4000), requests(800), REQUEST)
    findings = versions.findings(shift, z, old, requests(800))
    assert {finding.measure for finding in findings} == {"p50", "p75", "p95"}  # the tail is not
    assert findings == sorted(findings, key=lambda one: -one.z)
    finding = findings[0]
    assert finding.kind == "version"
    assert shift[0, 0] == pytest.approx(np.log(1.1), abs=0.02)
    assert finding.value > finding.upper > finding.expected
    assert finding.requests == 800 * 12


def test_an_equal_version_is_none() -> None:
    for seed in range(30):
        old, new = sampled(seed, 4000), sampled(seed + 100, 400)
        shift, z = versions.compare(old, new, requests(4000), requests(400), REQUEST)
        assert not versions.findings(shift, z, old, requests(400))
        assert np.abs(z).max() < 4


def test_a_version_without_requests_is_not_compared() -> None:
    nothing = np.full((1, 12, 4), np.nan)
    shift, z = versions.compare(sampled(1, 4000), nothing, requests(4000), requests(0), REQUEST)
    assert np.isnan(shift).all()
    assert not versions.findings(shift, z, sampled(1, 4000), requests(0))


def test_more_failures_of_a_version() -> None:
    arguments = [np.array([value]) for value in (10.0, 10_000.0, 12.0, 1000.0)]
    assert versions.more_failures(*arguments)[0] < np.log(1e-6)
    arguments[2] = np.array([3.0])
    assert versions.more_failures(*arguments)[0] == 0.0


def test_a_forecast_has_the_season_and_todays_level() -> None:
    random = np.random.default_rng(3)
    season = 5 + 0.5 * np.cos(2 * np.pi * HOURS / 24)
    level = np.repeat(random.normal(0, 0.3, (6, 14)), 48, axis=1)  # two days alike
    level[:, -24:] = 0.6
    values = season + level + random.normal(0, 0.03, level.shape)
    forecast = forecasts.day_ahead(values, HOURS, HOURS[:24])
    error = forecast.expected - season[:24]
    assert 0.05 < error.mean() < 0.6
    assert (forecast.upper > forecast.expected).all()


def test_nine_of_ten_values_lie_in_the_band() -> None:
    random = np.random.default_rng(4)
    values = random.normal(0, 0.1, (40, len(HOURS)))
    forecast = forecasts.day_ahead(values, HOURS, HOURS[:24])
    later = random.normal(0, 0.1, (40, 24))
    covered = ((later >= forecast.lower) & (later <= forecast.upper)).mean()
    assert covered == pytest.approx(0.9, abs=0.05)


def test_a_trend_is_the_median_of_all_slopes() -> None:
    days = np.random.default_rng(5).normal(size=(3, 15)) + 0.5 * np.arange(15)
    days[0, 7] = 100.0
    slope, slowest, fastest = forecasts.trend(days)
    pairs = list(itertools.combinations(range(15), 2))
    expected = [np.median([(row[b] - row[a]) / (b - a) for a, b in pairs]) for row in days]
    np.testing.assert_allclose(slope, expected)
    assert (slowest < slope).all()
    assert (slope < fastest).all()
    assert slope == pytest.approx(0.5, abs=0.15)


def test_when_a_disk_is_full() -> None:
    hours = np.arange(len(HOURS))
    values = 0.4 + 0.01 * hours / 24 + 0.02 * np.cos(2 * np.pi * hours / 24)
    values = np.stack([values, np.full(len(hours), 0.5)])
    until, earliest = forecasts.hours_until(values, HOURS, 0.8, horizon=24 * 30)
    assert until[0] == pytest.approx((0.8 - values[0, -1]) / 0.01 * 24, abs=40)
    assert earliest[0] <= until[0]
    assert np.isinf(until[1])


def best_segments(values: np.ndarray) -> list[int]:
    """Every segmentation tried, by dynamic programming without pruning."""
    rows = len(values)
    scaled = (values - values.mean()) / values.std()
    penalty = 3 * np.log(rows)

    def cost(start: int, end: int) -> float:
        part = scaled[start:end]
        return float(((part - part.mean()) ** 2).sum() + np.log(end - start))

    best: list[tuple[float, list[int]]] = [(-penalty, [])]
    for end in range(1, rows + 1):
        best.append(
            min(
                (best[start][0] + cost(start, end) + penalty, [*best[start][1], start])
                for start in range(end)
            )
        )
    return best[rows][1][1:]


@pytest.mark.parametrize("seed", range(6))
def test_change_points_are_the_best_there_are(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=60) + 5 * (np.arange(60) > 20) - 4 * (np.arange(60) > 41)
    assert changes.change_points(values) == best_segments(values)


def test_change_points_of_several_dimensions_and_of_gaps() -> None:
    random = np.random.default_rng(7)
    values = random.normal(size=(200, 3))
    values[80:, 1] += 4
    values[100:110] = np.nan
    values[:, 2] = 1.0
    assert changes.change_points(values) == [pytest.approx(80, abs=2)]
    assert changes.change_points(np.ones(50)) == []
    assert changes.change_points(np.array([1.0, 2.0])) == []
    assert changes.change_points(np.full(20, np.nan)) == []


def metric(seed: int, rows: int = 3000, day: int = 288) -> np.ndarray:
    random = np.random.default_rng(seed)
    season = 10 * np.cos(2 * np.pi * np.arange(rows) / day)
    return (50 + season + random.normal(0, 2, rows))[None]


def score(values: np.ndarray, learned: int = 2500) -> np.ndarray:
    current = anomalies.features(values, 288)
    tails = anomalies.learn(current[:, :learned])
    return anomalies.scores(current[:, learned:], tails)[0]


def test_an_outage_of_a_metric_is_an_anomaly() -> None:
    values = metric(8)
    assert score(values).max() < anomalies.THRESHOLD
    values[:, 2700:2740] = 0
    assert score(values)[200:240].max() > anomalies.THRESHOLD


def test_what_happened_before_is_no_anomaly() -> None:
    """A series with peaks of every size has one more."""
    random = np.random.default_rng(9)
    values = metric(9)
    places = random.choice(np.arange(50, 2500), 60, replace=False)
    values[0, places] += random.pareto(1.5, 60) * 20
    values[0, 2700] += 60
    assert score(values)[200] < anomalies.THRESHOLD


def test_a_feature_never_sees_what_comes_later() -> None:
    values = metric(10, 1200)
    before = anomalies.features(values[:, :1000], 288)
    values[:, 1000:] = 1e6
    np.testing.assert_allclose(anomalies.features(values, 288)[:, :999], before[:, :999])


def test_unknown_and_constant_metrics_say_nothing() -> None:
    values = np.concatenate([np.full((1, 3000), np.nan), np.full((1, 3000), 7.0)])
    with np.errstate(all="raise"):
        current = anomalies.features(values, 288)
        tails = anomalies.learn(current[:, :2500])
        assert not anomalies.scores(current[:, 2500:], tails).any()


def test_onsets_are_beginnings_and_rises() -> None:
    rows = np.array([0.0, 2.0, 2.0, 3.0, 0.0, 2.5, 0.0, 0.0, 0.0, 2.0])
    expected = [0, 2, 0, 3, 0, 0, 0, 0, 0, 2]
    np.testing.assert_array_equal(anomalies.onsets(rows, 3, 1.5), expected)
