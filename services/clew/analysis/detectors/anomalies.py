"""Anomalies of any metric of which nothing is known: CPU, memory, queues, connections.

Seven features of a series, each causal: the distance from the median of the rows before; the last
hour against the half day before; the last quarter of a day against the day before; how much the
series varies, and how much it moves from row to row; the distance from the same time of the days
before, of a row and of an hour. How rare a feature is comes from
the series' own past: a generalized Pareto tail is fitted to the largest 2 % on either side (peaks
over threshold, Siffer et al. 2017), so a series with heavy tails needs larger peaks. The score is
the mean of -log10 p of the features, each at most `CAP`: one wild feature alone says less than
several that agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clew.analysis.baselines import Floats, median
from clew.analysis.detectors.windows import Sums

FEATURES = ("distance", "hour", "quarter", "variation", "movement", "season", "season_hour")
CAP = 5.0
THRESHOLD = 1.7
MIN_ROWS = 100  # of the past, for anything to be said
_TOP = 0.02
_SHAPES = (0.05, 0.6)  # limits of the tail's shape: never one that ends, never one without a mean
_NARROW = 1e-3  # of the standard deviation: the least scale of a tail
_MIN_DAY = 8


@dataclass(frozen=True)
class Tails:
    """The tails of features, [series, features, 2]: upper ones, and lower ones turned over. Beyond
    `threshold` lie the share `rate` of the past rows; `shape` and `scale` say how far."""

    threshold: Floats
    rate: Floats
    shape: Floats
    scale: Floats


def rows_of_day(step: float) -> int:
    """How many rows of `step` seconds make a day."""
    return max(round(86_400 / step), _MIN_DAY)


def features(values: Floats, day: int) -> Floats:
    """The features [series, rows, features] of values [series, rows], of which `day` make a day;
    nan where there is too little before."""
    hour = min(max(day // 24, 3), 12)
    moved = np.abs(np.diff(values, axis=1, prepend=values[:, :1]))
    season = values - _days_before(values, day)
    level, square, step, seasonal = (_Means(part) for part in (values, values**2, moved, season))
    # As of the first two days, so that the feature of a row never changes.
    least = 1e-3 * _deviation(values[:, : 2 * day])[:, None] + 1e-12
    variance = np.maximum(square.last(3 * hour) - level.last(3 * hour) ** 2, 0)
    parts = (
        values - _median_before(values, 2 * hour + 1),
        level.last(hour) - level.last(day // 2, hour),
        level.last(day // 4) - level.last(day, day // 4),
        np.log(np.sqrt(variance) + least),
        np.log(step.last(3 * hour) + least),
        season,
        seasonal.last(hour),
    )
    return np.stack(parts, axis=2)


class _Means:
    """Means over the last rows of each, of what is known."""

    def __init__(self, values: Floats) -> None:
        self._known = Sums(np.isfinite(values))
        self._total = Sums(np.nan_to_num(values))
        self._ends = np.arange(1, values.shape[1] + 1)

    def last(self, rows: int, before: int = 0) -> Floats:
        """The means [series, rows] of so many rows, up to so many rows before each."""
        ends = self._ends - before
        count = self._known.ending(ends, rows)
        result: Floats = self._total.ending(ends, rows) / np.where(count > 0, count, np.nan)
        return result


def learn(past: Floats) -> Tails:
    """The tails of past features [series, rows, features]."""
    both = np.stack([past, -past], axis=-1)
    ordered = np.sort(np.where(np.isfinite(both), both, -np.inf), axis=1)
    count = np.isfinite(past).sum(1)[..., None]
    rows = past.shape[1]
    top = np.maximum((count * _TOP).astype(np.int64), 8)
    place = np.clip(rows - top - 1, 0, rows - 1)
    threshold = np.take_along_axis(ordered, place[:, None], axis=1)[:, 0]
    start = np.where(np.isfinite(threshold), threshold, 0.0)[:, None]
    is_above = np.arange(rows)[None, :, None, None] > place[:, None]
    excess = np.where(is_above & np.isfinite(ordered), ordered, start) - start
    mean = excess.sum(1) / top
    variance = np.maximum((excess**2).sum(1) / top - mean**2, 1e-30)
    shape = np.clip(0.5 * (1 - mean**2 / variance), *_SHAPES)
    narrow = _NARROW * _deviation(past)[..., None] + 1e-12
    is_enough = (count >= MIN_ROWS) & np.isfinite(threshold)
    return Tails(
        threshold=np.where(is_enough, threshold, np.inf),
        rate=top / np.maximum(count, 1),
        shape=shape,
        scale=np.maximum(mean * (1 - shape), narrow),
    )


def scores(current: Floats, tails: Tails) -> Floats:
    """How unusual rows are, [series, rows], of features [series, rows, features]."""
    both = np.stack([current, -current], axis=-1)
    beyond = np.nan_to_num((both - tails.threshold[:, None]) / tails.scale[:, None], neginf=0.0)
    shape = tails.shape[:, None]
    rarity = np.log10(1 + shape * np.maximum(beyond, 0)) / shape - np.log10(tails.rate[:, None])
    rarity = np.where(beyond > 0, np.minimum(rarity, CAP), 0.0)
    result: Floats = rarity.max(-1).mean(-1)
    return result


def onsets(rows: Floats, calm: int, threshold: float, rise: float = 0.3) -> Floats:
    """Scores [rows] of one series, where they begin to be above a threshold, and where they rise
    further by `rise`; 0 elsewhere. After `calm` rows without, it begins anew."""
    result = np.zeros(len(rows))
    last, highest = -calm - 1, 0.0
    for row in np.flatnonzero(rows >= threshold).tolist():
        if row - last > calm:
            highest = 0.0
        if rows[row] > highest + rise:
            result[row] = highest = rows[row]
            last = row
    return result


def _deviation(values: Floats) -> Floats:
    """The standard deviation along rows [series, rows, …] of what is known; 0 where nothing is."""
    is_known = np.isfinite(values)
    count = np.maximum(is_known.sum(1), 1)
    mean = np.where(is_known, values, 0.0).sum(1) / count
    square = np.where(is_known, values - mean[:, None], 0.0) ** 2
    result: Floats = np.sqrt(square.sum(1) / count)
    return result


def _median_before(values: Floats, rows: int) -> Floats:
    """The median of so many rows before each."""
    padded = np.concatenate([np.full((len(values), rows), np.nan), values[:, :-1]], axis=1)
    return median(np.lib.stride_tricks.sliding_window_view(padded, rows, axis=1))


def _days_before(values: Floats, day: int) -> Floats:
    """The median of the same time of the last three days, each the mean of three rows."""
    series, rows = values.shape
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    around = (padded[:, :-2] + values + padded[:, 2:]) / 3
    days = np.full((series, rows, 3), np.nan)
    for number in (1, 2, 3):
        days[:, number * day :, number - 1] = around[:, : max(rows - number * day, 0)]
    return median(days)
