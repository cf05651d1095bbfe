"""What comes next: the baseline extended from today's level, and when a limit is reached.

    forecast = expected at the hour + carry x mean residual of the last day

The band is that of the series' own errors, had each past day been forecast like this. Methods with
more parameters did worse on series of four weeks (docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clew.analysis import baselines
from clew.analysis.baselines import Floats, Ints

DAY = 24  # hours
COVERED = 0.9  # of the values lie in the band
_STEP = 6  # hours between past forecasts


@dataclass(frozen=True)
class Forecast:
    """Logarithms [series, hours]: what is expected, and the band with nine of ten values."""

    expected: Floats
    lower: Floats
    upper: Floats


def day_ahead(values: Floats, hours: Ints, next_hours: Ints) -> Forecast:
    """The forecast for hours of the week `next_hours`, which follow those of `values` [series,
    hours]. Values are logarithms; four weeks are enough."""
    baseline = baselines.fit(values, hours)
    residuals = baselines.residuals(values, hours)
    ends = np.arange(DAY, values.shape[1] - DAY, _STEP)
    levels = _level(residuals, ends)
    windows = ends[:, None] + np.arange(DAY)
    after = residuals[:, windows]  # [series, ends, hours]
    mean = baselines.median(after)
    is_known = np.isfinite(levels) & np.isfinite(mean)
    before, later = np.where(is_known, levels, 0.0), np.where(is_known, mean, 0.0)
    carry = np.clip((before * later).sum(1) / np.maximum((before**2).sum(1), 1e-12), 0, 1)
    errors = np.abs(after - (carry[:, None] * levels)[..., None]).reshape(len(values), -1)
    margin = _quantile(errors, COVERED)[:, None]
    today = np.nan_to_num(_level(residuals, np.array([values.shape[1]]))[:, 0])
    expected = baseline.expected(next_hours) + (carry * today)[:, None]
    return Forecast(expected, expected - margin, expected + margin)


def _level(residuals: Floats, ends: Ints) -> Floats:
    """The median residual [series, ends] of the day before each end."""
    return baselines.median(residuals[:, ends[:, None] - DAY + np.arange(DAY)])


def _quantile(values: Floats, level: float) -> Floats:
    """A quantile [series] of what is not nan of values [series, n]."""
    ordered = np.sort(values, axis=-1)
    count = np.isfinite(ordered).sum(-1)
    place = np.clip((level * count).astype(np.int64), 0, np.maximum(count - 1, 0))
    result: Floats = np.take_along_axis(ordered, place[:, None], axis=-1)[:, 0]
    return result


def trend(days: Floats) -> tuple[Floats, Floats, Floats]:
    """The slope a day [series] of values by day [series, days], which may be nan: the median of
    the slopes between all pairs of days (Theil-Sen), and a lower and an upper limit between which
    the slope lies nine times of ten (Sen 1968)."""
    count = days.shape[1]
    first, second = np.triu_indices(count, 1)
    slopes = np.sort((days[:, second] - days[:, first]) / (second - first), axis=-1)
    pairs = np.isfinite(slopes).sum(-1)
    known = np.isfinite(days).sum(-1)
    margin = 1.645 * np.sqrt(known * (known - 1) * (2 * known + 5) / 18)

    def at(place: Floats) -> Floats:
        index = np.clip(np.round(place), 0, np.maximum(pairs - 1, 0)).astype(np.int64)
        slope: Floats = np.take_along_axis(slopes, index[:, None], axis=-1)[:, 0]
        return slope

    return (
        baselines.median(slopes),
        at((pairs - margin) / 2 - 0.5),
        at((pairs + margin) / 2 - 0.5),
    )


def hours_until(
    values: Floats, hours: Ints, limit: float, horizon: int, rising: bool = True
) -> tuple[Floats, Floats]:
    """In how many hours [series] a value reaches a limit if it goes on as it does, and at the
    earliest; inf where it does not within `horizon` hours. Values [series, hours], at hours of the
    week, are no logarithms: what fills a disk adds up. Their season goes on as well."""
    sign = 1.0 if rising else -1.0
    whole = values.shape[1] // DAY * DAY
    daily = baselines.median(values[:, -whole:].reshape(len(values), -1, DAY))
    slope, slowest, fastest = trend(daily)
    times = np.arange(values.shape[1])
    level = baselines.fit(values - slope[:, None] * times / DAY, hours)
    ahead = np.arange(1, horizon + 1)
    season = level.expected((hours[-1] + ahead) % baselines.HOURS)
    start = season + slope[:, None] * (times[-1] / DAY)

    def reached(rise: Floats) -> Floats:
        is_reached = sign * (start + rise[:, None] * ahead / DAY) >= sign * limit
        return np.where(is_reached.any(1), ahead[is_reached.argmax(1)], np.inf)

    return reached(slope), reached(fastest if rising else slowest)
