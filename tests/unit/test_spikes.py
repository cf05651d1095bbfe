"""Minute tests find spikes, and are quiet about single minutes and what is not known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clew.analysis.detectors import counts, spikes


def test_log_gamma_is_maths() -> None:
    values = np.array([1e-3, 0.5, 1.0, 2.5, 7.9, 8.0, 30.0, 1e5])
    expected = [math.lgamma(value) for value in values]
    np.testing.assert_allclose(counts.log_gamma(values), expected, rtol=1e-9, atol=1e-9)


def tail(count: int, mean: float, dispersion: float) -> float:
    """The probability of so many or more under a gamma-Poisson, term by term."""
    shape = 1 / dispersion
    share = mean / (mean + shape)
    logs = (
        math.lgamma(k + shape)
        - math.lgamma(k + 1)
        - math.lgamma(shape)
        + shape * math.log1p(-share)
        + k * math.log(share)
        for k in range(count, count + 5000)
    )
    return sum(math.exp(value) for value in logs)


@pytest.mark.parametrize("dispersion", [1e-4, 0.05, 1.0, 4.0])
@pytest.mark.parametrize(("count", "mean"), [(5, 0.2), (12, 2.0), (120, 40.0), (900, 300.0)])
def test_log_tail_is_a_close_upper_bound(count: int, mean: float, dispersion: float) -> None:
    exact = tail(count, mean, dispersion)
    bound = counts.log_tail(np.array([count * 1.0]), np.array([mean]), np.array([dispersion]))
    assert math.log(exact) - 1e-6 <= bound[0] <= max(math.log(exact) + math.log(2), -1e-9)


def test_overdispersion_is_that_of_the_rate() -> None:
    random = np.random.default_rng(1)
    means = np.full((20, 2000), 50.0)
    for dispersion in (0.02, 0.2):
        rates = random.gamma(1 / dispersion, dispersion, means.shape) * means
        measured = counts.overdispersion(random.poisson(rates) * 1.0, means)
        assert measured.mean() == pytest.approx(dispersion, rel=0.15)
    assert counts.overdispersion(random.poisson(means) * 1.0, means).max() < 0.003


def test_past_incidents_are_not_usual_variation() -> None:
    means = np.full((1, 700), 100.0)
    quiet = np.random.default_rng(2).poisson(means) * 1.0
    quiet[:, 300:305] = 2000.0
    assert counts.overdispersion(quiet, means)[0] < 0.02


def test_deviance_is_near_to_the_usual_score() -> None:
    score = counts.deviance(np.array([110.0, 90.0]), np.full(2, 100.0), np.full(2, 1e-4))
    np.testing.assert_allclose(score, [0.98, -1.02], atol=0.03)


def errors(bad: dict[int, float], requests: float = 100.0, minutes: int = 200) -> spikes.Minutes:
    """A series with so many failed requests in the minutes before the last; usually 0.1 %."""
    seen = np.zeros((1, minutes))
    for before, count in bad.items():
        seen[0, minutes - 1 - before] = count
    total = np.full((1, minutes), requests)
    return spikes.Minutes(seen, total * 0.001, np.array([0.1]), total)


def scores(seen: spikes.Minutes, **arguments: object) -> np.ndarray:
    return spikes.bad_requests(seen, spikes.ERROR_WINDOWS, spikes.ERROR_P, **arguments)[:, -1]


def test_failures_of_some_minutes_are_found() -> None:
    seen = errors({0: 20, 1: 20, 2: 20})
    finding = spikes.findings(seen, scores(seen), "error_rate", spikes.ERROR_WINDOWS)[0]
    assert (finding.kind, finding.measure, finding.time) == ("spike", "error_rate", 199)
    assert finding.change_point == 197
    assert finding.value > 20 * finding.expected
    assert finding.lower <= finding.expected <= finding.upper < finding.value
    assert (finding.as_large, finding.past > 10) == (0, True)


@pytest.mark.parametrize("bad", [{}, {0: 50}, {1: 50}, {0: 2, 1: 2}, {30: 40}])
def test_a_bad_minute_and_a_few_failures_are_no_spike(bad: dict[int, float]) -> None:
    assert not scores(errors(bad)).any()


def test_many_minutes_at_once_are_judged_as_each_by_itself() -> None:
    random = np.random.default_rng(3)
    total = random.poisson(60.0, (4, 120)) * 1.0
    bad = random.binomial(total.astype(int), 0.01) * 1.0
    bad[1, 60:64] += 30
    bad[2, 80:120] += 3

    def seen(end: int) -> spikes.Minutes:
        part = total[:, :end]
        return spikes.Minutes(bad[:, :end], part * 0.01, np.full(4, 0.05), part)

    together = spikes.bad_requests(seen(120), spikes.SLOW_WINDOWS, spikes.SLOW_P, judged=100)
    assert together[1].any()
    for end in range(21, 121):
        alone = spikes.bad_requests(seen(end), spikes.SLOW_WINDOWS, spikes.SLOW_P)[:, 0]
        np.testing.assert_allclose(together[:, end - 21], alone)


def rate(requests: np.ndarray, expected: float = 30.0, dispersion: float = 0.005) -> spikes.Minutes:
    usual = np.full(requests.shape, expected)
    return spikes.Minutes(requests, usual, np.array([dispersion]), requests)


def traffic(seen: spikes.Minutes, **arguments: object) -> np.ndarray:
    return spikes.traffic(seen, seen.expected, **arguments)


def test_where_hours_meet_traffic_may_change_at_once_or_evenly() -> None:
    held = np.where(np.arange(300) < 150, 30.0, 15.0)[None]
    even = np.interp(np.arange(300), [120, 180], [30.0, 15.0])[None]
    for requests in (held, even):
        seen = spikes.Minutes(requests, even, np.array([0.002]), requests)
        assert not spikes.traffic(seen, held, judged=170).any()
    late = np.full((1, 300), 30.0)
    seen = spikes.Minutes(late, even, np.array([0.002]), late)
    assert spikes.traffic(seen, held, judged=170).max() > 5


def test_traffic_that_halves_is_found() -> None:
    requests = np.random.default_rng(4).poisson(30.0, (1, 300)) * 1.0
    assert not traffic(rate(requests), judged=200).any()
    requests[:, -15:] = 15
    seen = rate(requests)
    finding = spikes.findings(seen, traffic(seen)[:, -1], "rate", spikes.TRAFFIC_WINDOWS)[0]
    assert finding.kind == "traffic"
    assert finding.z < -5
    assert finding.value < finding.lower < finding.expected < 31
    assert finding.change_point == pytest.approx(285, abs=3)


def test_minutes_that_clew_did_not_receive_are_no_silence() -> None:
    requests = np.full((1, 300), 30.0)
    requests[:, 200:] = 0
    seen = rate(requests)
    assert traffic(seen)[0, -1].min() < -5
    expected = seen.expected.copy()
    expected[:, 200:] = 0
    unknown = spikes.Minutes(requests, expected, seen.dispersion, requests)
    assert not traffic(unknown, judged=180).any()


def test_little_traffic_is_not_judged() -> None:
    assert not traffic(rate(np.zeros((1, 300)), expected=0.1)).any()


def test_smallest_share_is_where_the_test_begins() -> None:
    share, requests, dispersion = np.array([0.001]), np.array([500.0]), np.array([0.1])
    least = spikes.smallest_share(share, requests, dispersion, 1e-8)[0]
    for factor, is_noticed in ((0.95, False), (1.05, True)):
        count = np.array([requests[0] * least * factor])
        log_p = counts.log_tail(count, requests * share, dispersion)[0]
        assert (log_p < math.log(1e-8)) == is_noticed
    few = spikes.smallest_share(share, np.array([3.0]), dispersion, 1e-8)
    assert np.isnan(few[0])


def test_overdispersion_limits_which_drop_is_noticed() -> None:
    drops = spikes.smallest_drop(np.array([1e3, 1e6, 5.0]), np.array([0.005, 0.005, 0.005]))
    assert drops[0] > drops[1] > 0.2
    assert np.isnan(drops[2])
