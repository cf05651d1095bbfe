"""Business KPIs beside a transaction: how they move with its latency and errors, hour by hour.

What both do every day is taken out first: traffic goes up and down with the clock and would make
anything correlate. What remains is compared by ranks, at lags of up to MAX_LAG hours. A correlation
is never a cause: a campaign may move both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAX_LAG = 6  # hours
MIN_HOURS = 24  # pairs that are compared
MIN_DAYS = 3  # values of an hour of the day whose median is its usual
# The greatest of 13 correlations: 95 % for all of them together.
DEVIATIONS = 2.89
RANK = 1.06  # the standard error of a rank correlation, relative to Pearson's (Fieller)
LEAST = 10.0  # independent pairs


@dataclass(frozen=True)
class Correlation:
    """`r`: the rank correlation at `lag` hours (above 0: the KPI follows), with its 95 % interval
    `lower` to `upper`, which allows for the choice of the lag. `n`: pairs of hours; `independent`:
    how many independent ones they are worth, because an hour is like the one before."""

    r: float
    lower: float
    upper: float
    lag: int
    n: int
    independent: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval is on one side of 0."""
        return self.lower > 0 or self.upper < 0


def without_season(values: Floats, hours: Ints) -> Floats:
    """Values [hours] less the median of their hour of the day, or, where an hour of the day has
    fewer than MIN_DAYS values, less the median of all. `hours`: of the day, 0 to 23."""
    result = values.copy()
    known = np.isfinite(values)
    if not known.any():
        return result
    overall = float(np.median(values[known]))
    for hour in range(24):
        same = hours == hour
        days = values[same & known]
        result[same] -= float(np.median(days)) if len(days) >= MIN_DAYS else overall
    return result


def correlate(kpi: Floats, measure: Floats, hours: Ints) -> Correlation | None:
    """How a KPI and a measure of a transaction move together; nan: unknown. Of all lags the one
    that is the clearest. None with too few hours, or where one of the two never changes."""
    kpi, measure = without_season(kpi, hours), without_season(measure, hours)
    best: Correlation | None = None
    for lag in sorted(range(-MAX_LAG, MAX_LAG + 1), key=abs):
        correlation = _at(kpi, measure, lag)
        if correlation and (best is None or _clearness(correlation) > _clearness(best)):
            best = correlation
    return best


def _clearness(correlation: Correlation) -> float:
    return abs(math.atanh(correlation.r)) * math.sqrt(correlation.independent - 3)


def _at(kpi: Floats, measure: Floats, lag: int) -> Correlation | None:
    size = len(kpi) - abs(lag)
    later, earlier = (kpi, measure) if lag >= 0 else (measure, kpi)
    first, second = later[abs(lag) :][:size], earlier[:size]
    known = np.isfinite(first) & np.isfinite(second)
    n = int(known.sum())
    if n < MIN_HOURS:
        return None
    one, other = _ranks(first[known]), _ranks(second[known])
    if one.std() == 0 or other.std() == 0:
        return None
    r = float(np.clip(np.corrcoef(one, other)[0, 1], -0.999, 0.999))
    alike = float(np.clip(_next(one) * _next(other), 0.0, 0.98))
    independent = n * (1 - alike) / (1 + alike)
    if independent < LEAST:
        return None
    reach = DEVIATIONS * RANK / math.sqrt(independent - 3)
    lower, upper = math.tanh(math.atanh(r) - reach), math.tanh(math.atanh(r) + reach)
    return Correlation(r, lower, upper, lag, n, independent)


def _ranks(values: Floats) -> Floats:
    """Ranks from 0; equal values have the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts + 1) / 2)[places]
    return ranks


def _next(values: Floats) -> float:
    """The correlation of values with the ones after them."""
    if values[:-1].std() == 0 or values[1:].std() == 0:
        return 0.0
    return float(np.corrcoef(values[:-1], values[1:])[0, 1])
