"""What is expected of one series, hour by hour, in the past and in the next day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from clew.analysis import baselines
from clew.analysis.baselines import Floats
from clew.analysis.detectors import forecasts
from clew.analysis.traces.times import HOUR
from clew.analysis.watching.learned import LEVELS
from clew.analysis.watching.series import History

BandMeasure = Literal["rate", "error_rate", "p50", "p75", "p95", "value_lost", "value"]
WIDTH = 1.645  # deviations: nine of ten hours lie in the band
MIN_HOURS = 48  # that must be known before anything is expected


@dataclass(frozen=True)
class Band:
    """Arrays by hour; the first hour begins at `start`, in seconds since 1970. `value` is nan where
    nothing is known, the others where too little is. Units: requests a second, shares, seconds;
    value lost in an hour; of processes (`value`) the metric's own."""

    start: int
    value: Floats
    expected: Floats
    lower: Floats
    upper: Floats


def past_band(history: History, measure: BandMeasure, zone: str = "UTC") -> Band:
    """The band of the hours of a history, which has the quantiles LEVELS of
    clew.analysis.watching.learned; each week is compared with the others."""
    logarithms = _logarithms(history, measure)
    value = np.exp(logarithms)
    hours = _hours(history.start, len(value), zone)
    if np.isfinite(logarithms).sum() < MIN_HOURS:
        nothing = np.full(len(value), np.nan)
        return Band(history.start, value, nothing, nothing, nothing)
    rest = baselines.residuals(logarithms[None], hours)[0]
    baseline = baselines.fit(logarithms[None], hours)
    usual = baseline.expected(hours)[0]
    expected = np.where(np.isfinite(rest), logarithms - rest, usual)
    margin = WIDTH * float(baselines.robust_deviation(rest[None])[0])
    return Band(
        history.start, value, np.exp(expected), np.exp(expected - margin), np.exp(expected + margin)
    )


def next_band(history: History, measure: BandMeasure, zone: str = "UTC") -> Band:
    """The forecast of the 24 hours after a history."""
    logarithms = _logarithms(history, measure)
    end = history.start + HOUR * len(logarithms)
    value = np.full(forecasts.DAY, np.nan)
    if np.isfinite(logarithms).sum() < MIN_HOURS:
        return Band(end, value, value, value, value)
    hours = _hours(history.start, len(logarithms), zone)
    ahead = _hours(end, forecasts.DAY, zone)
    forecast = forecasts.day_ahead(logarithms[None], hours, ahead)
    return Band(
        end,
        value,
        np.exp(forecast.expected[0]),
        np.exp(forecast.lower[0]),
        np.exp(forecast.upper[0]),
    )


def _logarithms(history: History, measure: BandMeasure) -> Floats:
    """The measure of each hour; nan where nothing is known of it. A share counts as if half a
    request more had failed, so that an hour without failures has one too; value lost as if half a
    loss more had been."""
    is_known = np.cumsum(history.count) > 0
    if measure == "rate":
        values = (history.count + 0.5) / HOUR
    elif measure == "error_rate":
        values = (history.errors + 0.5) / (history.count + 1)
        is_known &= history.count > 0
    elif measure == "value_lost":
        mean = history.value.sum() / max(history.count.sum(), 1)
        values = history.value_lost + 0.5 * mean
    elif measure == "value":
        values = np.where(history.count > 0, history.value, np.nan)
    else:
        level = LEVELS.index(int(measure[1:]) / 100)
        values = history.levels[:, level] / 1e9
    result: Floats = np.log(np.where(is_known & (values > 0), values, np.nan))
    return result


def _hours(start: int, count: int, zone: str) -> npt.NDArray[np.int64]:
    return baselines.hours_of_week(start + HOUR * np.arange(count), zone)
