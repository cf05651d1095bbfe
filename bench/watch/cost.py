"""What so many series cost: CPU time of every minute, every hour and every day, as a share of a
core, and memory. Arrays are made up; the time hardly depends on what is in them.

Series are worked on in batches, which changes no result and bounds the memory: what is held of all
series is a day of minutes and what was learned."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np

from clew.analysis import baselines
from clew.analysis.baselines import Floats
from clew.analysis.detectors import anomalies, counts, forecasts, regressions, spikes

from .figures import Row, most

HOURS = 28 * 24
MINUTES = 1440  # that minute tests see
ROUNDS = 3
BATCH = 50  # series at a time


def rows(series: int) -> list[Row]:
    """The shares of a core, and the memory that it takes."""
    random = np.random.default_rng(1)
    before = _resident()
    # Held of all series: requests and failures of a day, baselines, and what is learned of shifts.
    held = np.ones((2, series, MINUTES), np.float32)
    learned = np.ones((series, 6 * baselines.HOURS + 6 * 4 * 12 + 73 * 5))
    batches = -(-series // BATCH)
    minute, hour, day = (_cpu(part(random)) * batches for part in (_minute, _hour, _day))
    total = minute / 60 + hour / 3600 + day / 86_400
    megabytes = _resident() - before
    assert held.any()
    assert learned.any()
    return [
        most(
            f"{series} series, share of a core",
            total,
            0.005,
            series,
            minute_ms=minute * 1000,
            hour_ms=hour * 1000,
            day_ms=day * 1000,
        ),
        most(f"{series} series, MB at most", megabytes, 60, series),
    ]


def _resident() -> float:
    """The most memory that the process has had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu(run: Callable[[], None]) -> float:
    """The least CPU time of a run, in seconds."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)


def _minute(random: np.random.Generator) -> Callable[[], None]:
    requests: Floats = random.poisson(30, (BATCH, MINUTES)).astype(np.float64)
    failed = random.binomial(requests.astype(int), 0.005).astype(np.float64)
    slow = random.binomial(requests.astype(int), 0.1).astype(np.float64)
    dispersion: Floats = np.full(BATCH, 0.05)
    usual: Floats = np.full((BATCH, MINUTES), 30.0)

    def run() -> None:
        errors = spikes.Minutes(failed, requests * 0.005, dispersion, requests)
        spikes.bad_requests(errors, spikes.ERROR_WINDOWS, spikes.ERROR_P)
        last = slice(-max(spikes.SLOW_WINDOWS) - 1, None)
        few = requests[:, last]
        slower = spikes.Minutes(slow[:, last], few * 0.1, dispersion, few)
        spikes.bad_requests(slower, spikes.SLOW_WINDOWS, spikes.SLOW_P)
        last = slice(-max(spikes.TRAFFIC_WINDOWS) - 1, None)
        few = requests[:, last]
        spikes.traffic(spikes.Minutes(few, usual[:, last], dispersion, few), usual[:, last])

    return run


def _hour(random: np.random.Generator) -> Callable[[], None]:
    """The tests of an hour: shifts of the last 72 hours, and metrics by the minute of a day."""
    residuals = random.normal(0, 0.05, (BATCH, HOURS, 4))
    requests: Floats = np.full((BATCH, HOURS), 1800.0)
    request: Floats = np.full((BATCH, 4), 0.5)
    history = regressions.learn(residuals, requests, request)

    def run() -> None:
        recent, few = residuals[:, -73:], requests[:, -73:]
        current = regressions.shifts(recent, few, history, [72, 73])
        regressions.every_hour(current)
        regressions.after_deployment(current, np.full((BATCH, 2), 4))

    return run


def _day(random: np.random.Generator) -> Callable[[], None]:
    """Learning: baselines and residuals of four measures and of traffic, shifts, overdispersion,
    forecasts, and the tails of a fifth as many metrics."""
    values = random.normal(0, 0.05, (BATCH, HOURS, 4))
    requests: Floats = random.poisson(1800, (BATCH, HOURS)).astype(np.float64)
    request: Floats = np.full((BATCH, 4), 0.5)
    hours = np.arange(HOURS) % baselines.HOURS
    metrics = random.normal(50, 5, (BATCH // 5, HOURS))

    def run() -> None:
        residuals = np.empty_like(values)
        for measure in range(values.shape[2]):
            baselines.fit(values[..., measure], hours)
            residuals[..., measure] = baselines.residuals(values[..., measure], hours)
        regressions.learn(residuals, requests, request)
        logarithms = np.log(requests + 0.5)
        forecasts.day_ahead(logarithms, hours, hours[:24])
        counts.overdispersion(requests, np.full_like(requests, 1800.0))
        anomalies.learn(anomalies.features(metrics, 24))

    return run
