"""What a series usually is: its logarithm by hour of the week, learned from the weeks before.

    log value = overall + hour of day + day of week + hour of week

Each part is a median over past weeks of what the parts before leave over. It is shrunk by
signal / (signal + noise), where the noise is how much the same hour differs from week to week, so a
series without a season has none in its baseline; parts by the hour are smoothed over neighbouring
hours. Medians make a bad day in four weeks harmless; hours that are not known, or shall not count
(findings, maintenance), are nan.

All functions work on many series at once: arrays are [series, hours], natural logarithms, float64.
Hours are those of a business's time zone (`hours_of_week`), oldest first and without gaps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HOURS = 168  # of a week
WEEKS = 4  # of history
# Of a median of n values with the variance v: its variance is 1.57 v / n.
_MEDIAN_VARIANCE = 1.57
_MAD = 1.4826  # of a normal distribution: standard deviation / median absolute deviation


@dataclass(frozen=True)
class Baseline:
    """What is usual at each hour of the week.

    `profile`: [series, 168], the expected logarithm. `spread`: [series], the standard deviation of
    one hour around it. `weeks`: [series], for how many weeks there are values: what is known of
    weekly seasons rests on so many. A series without values has nan."""

    profile: Floats
    spread: Floats
    weeks: Floats

    def expected(self, hours: Ints) -> Floats:
        """The expected logarithm at hours of the week, [series, hours]."""
        return self.profile[:, hours]

    def interpolated(self, minutes: Ints) -> Floats:
        """The expected logarithm at minutes of the week, [series, minutes]. An hour's value holds
        in its middle; between two middles it changes evenly."""
        position = (minutes - 30) / 60
        hour = np.floor(position).astype(np.int64)
        share = position - hour
        before, after = self.profile[:, hour % HOURS], self.profile[:, (hour + 1) % HOURS]
        return before + (after - before) * share


def hours_of_week(seconds: Iterable[float], zone: str = "UTC") -> Ints:
    """The hour of the week, 0 for Monday 00:00 to 168, of times in seconds since 1970, in a time
    zone of the IANA database. Raises ZoneInfoNotFoundError."""
    place = ZoneInfo(zone)
    local = (datetime.fromtimestamp(second, place) for second in seconds)
    return np.array([moment.weekday() * 24 + moment.hour for moment in local], dtype=np.int64)


def without(values: Floats, seconds: Floats, intervals: Iterable[tuple[float, float]]) -> Floats:
    """`values` [..., times] with nan at times within half-open intervals, which then neither make
    nor move a baseline."""
    excluded = np.zeros(len(seconds), dtype=bool)
    for start, end in intervals:
        excluded |= (seconds >= start) & (seconds < end)
    return np.where(excluded, np.nan, values)


def rebased(values: Floats, seconds: Floats, accepted: Iterable[tuple[float, float]]) -> Floats:
    """`values` [..., times] as if accepted changes had always been. A change is the time since
    which it is there, and its shift: the logarithm of the factor."""
    result = values.copy()
    for start, shift in accepted:
        result[..., seconds < start] += shift
    return result


def fit(values: Floats, hours: Ints) -> Baseline:
    """The baseline of logarithms [series, hours] at hours of the week [hours]."""
    grid = _weekly(values, hours)
    profile = _profile(grid)
    rest = (grid - profile[:, None, :]).reshape(len(values), -1)
    return Baseline(profile, robust_deviation(rest), np.isfinite(grid).any(2).sum(1) * 1.0)


def residuals(values: Floats, hours: Ints) -> Floats:
    """How far each past value, [series, hours], was from the baseline of the *other* weeks: what
    would have been seen then. Differences from a baseline that has learned the value itself would
    be too small."""
    grid = _weekly(values, hours)
    weeks = grid.shape[1]
    profiles = [_profile(np.delete(grid, week, axis=1)) for week in range(weeks)]
    if weeks == 1:
        profiles = [_profile(grid)]
    expected = np.stack(profiles, axis=1)
    rest: Floats = values - expected[:, _weeks(hours), hours]
    return rest


def robust_deviation(values: Floats) -> Floats:
    """The standard deviation along the last axis, from the median absolute deviation."""
    middle = median(values)
    return _MAD * median(np.abs(values - middle[..., None]))


def median(values: Floats) -> Floats:
    """The median along the last axis, of what is not nan; nan where nothing is. Faster than
    numpy's nanmedian on many short rows."""
    ordered = np.sort(values, axis=-1)  # nan comes last
    count = np.isfinite(ordered).sum(-1)
    lower = np.maximum(count - 1, 0) // 2
    upper = np.minimum(count // 2, values.shape[-1] - 1)
    pair = np.stack([lower, upper], axis=-1)
    middle: Floats = np.take_along_axis(ordered, pair, axis=-1).mean(-1)
    return np.where(count > 0, middle, np.nan)


def _weeks(hours: Ints) -> Ints:
    """Which week each hour is in, 0 for the first: a week begins as far into it as the first."""
    past = (hours - hours[0]) % HOURS
    starts = np.diff(past, prepend=past[0]) < -HOURS // 2  # a clock set back is no new week
    week: Ints = np.cumsum(starts)
    return week


def _weekly(values: Floats, hours: Ints) -> Floats:
    """Values as [series, weeks, hour of the week]. Of an hour that comes twice, when clocks are
    set back, the second counts."""
    week = _weeks(hours)
    grid = np.full((len(values), int(week[-1]) + 1, HOURS), np.nan)
    grid[:, week, hours] = values
    return grid


def _profile(grid: Floats) -> Floats:
    """The expected values [series, hour of the week] of [series, weeks, hour of the week]."""
    series, weeks, _ = grid.shape
    overall = median(grid.reshape(series, -1))
    rest = grid - overall[:, None, None]

    by_day = rest.reshape(series, weeks * 7, 24).swapaxes(1, 2)
    hour_of_day = _smooth(_shrunk(by_day))
    rest = rest - np.tile(hour_of_day, 7)[:, None, :]

    days = median(rest.reshape(series, weeks, 7, 24))  # [series, weeks, day]
    day_of_week = _day_of_week(days)
    rest = rest - np.repeat(day_of_week, 24, axis=1)[:, None, :]

    hour_of_week = _smooth(_shrunk(rest.swapaxes(1, 2)))
    parts = overall[:, None] + np.tile(hour_of_day, 7) + np.repeat(day_of_week, 24, axis=1)
    profile: Floats = parts + hour_of_week
    return profile


def _day_of_week(days: Floats) -> Floats:
    """The part [series, day] of values by day, [series, weeks, day]: first of working days and of
    weekends, which rest on five and on two days of each week, then of each day."""
    series = len(days)
    kinds = np.full((series, 2, days.shape[1] * 5), np.nan)
    kinds[:, 0] = days[:, :, :5].reshape(series, -1)
    kinds[:, 1, : days.shape[1] * 2] = days[:, :, 5:].reshape(series, -1)
    weekend = _shrunk(kinds)[:, [0, 0, 0, 0, 0, 1, 1]]
    part: Floats = weekend + _shrunk((days - weekend[:, None, :]).swapaxes(1, 2))
    return part


def _shrunk(repeated: Floats) -> Floats:
    """The part [series, slots] of what was seen at each slot several times, [series, slots,
    times]: its median, shrunk by how much of the difference between slots is noise."""
    middle = median(repeated)
    count = np.isfinite(repeated).sum(-1)
    deviations = (repeated - middle[..., None]).reshape(len(repeated), -1)
    # A deviation from a median of n values is too small by (n - 1) / n.
    usual = np.maximum(median(count.astype(np.float64)), 1.0)
    correction = usual / np.maximum(usual - 1, 0.5)
    variance = robust_deviation(deviations) ** 2 * correction
    noise = _MEDIAN_VARIANCE * variance / usual
    is_known = np.isfinite(middle)
    part = np.where(is_known, middle, 0.0)
    total = (part**2).sum(-1) / np.maximum(is_known.sum(-1), 1)
    signal = np.maximum(total - np.nan_to_num(noise), 0.0)
    factor = signal / np.maximum(signal + np.nan_to_num(noise), 1e-30)
    factor = np.where(usual >= 2, factor, 0.0)  # seen once, noise and signal look the same
    shrunk: Floats = part * factor[:, None]
    return shrunk


def _smooth(parts: Floats) -> Floats:
    """Each slot with a quarter of both of its neighbours; the last one's is the first."""
    return 0.5 * parts + 0.25 * (np.roll(parts, 1, axis=1) + np.roll(parts, -1, axis=1))
