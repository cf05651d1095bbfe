"""Levels that are higher than ever: what processes use of CPU, memory, pools, in slots of minutes.

A slot is compared with the baseline of its hour, by the series' own deviation: of hours around the
baseline, and of slots within their hour. Three slots in a row must be far above it, by a share that
matters, and above what the past had once a week or oftener. Less than usual is no fault of its own:
tests of traffic see it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clew.analysis import baselines
from clew.analysis.baselines import Baseline, Floats, Ints, median
from clew.analysis.detectors.findings import Sensitivity
from clew.analysis.detectors.spikes import CERTAIN

LEVELS = (0.1, 0.75, 0.9)  # quantiles of the slots of an hour, which `learn` needs
LASTING = 3  # slots in a row
Z = 6.0
MIN_CHANGE = 0.3  # of the usual value
MIN_SPREAD = 0.03
RARE = baselines.HOURS  # hours of the past of which one may have been as high
_NORMAL = 2.563  # standard deviations between the quantiles 0.1 and 0.9


@dataclass(frozen=True)
class Levels:
    """Logarithms. `usual`: the baseline; `spread` [series]: the standard deviation of a slot around
    it; `tops` [series, hours]: how far the upper quarter of each past hour was above it, nan where
    nothing is known."""

    usual: Baseline
    spread: Floats
    tops: Floats


def learn(mean: Floats, levels: Floats, hours: Ints) -> Levels:
    """Learn from the means of past hours [series, hours] and the quantiles LEVELS of their slots
    [series, hours, 3], all of them logarithms."""
    rest = baselines.residuals(mean, hours)
    between = np.nan_to_num(baselines.robust_deviation(rest))
    within = np.nan_to_num(median((levels[..., 2] - levels[..., 0]) / _NORMAL))
    tops = rest + levels[..., 1] - mean
    spread = np.maximum(np.sqrt(between**2 + within**2), MIN_SPREAD)
    return Levels(baselines.fit(mean, hours), spread, tops)


def scores(
    values: Floats, hours: Ints, levels: Levels, sensitivity: Sensitivity = "normal"
) -> Floats:
    """z [series, slots] of logarithms [series, slots] at hours of the week [slots]: the least of
    LASTING slots up to each. 0: nothing to say."""
    above = values - levels.usual.expected(hours)
    lasting = np.zeros_like(above)
    if above.shape[1] >= LASTING:
        windows = np.lib.stride_tricks.sliding_window_view(above, LASTING, axis=1)
        lasting[:, LASTING - 1 :] = np.nan_to_num(windows.min(-1))
    z = lasting / levels.spread[:, None]
    is_high = (z >= Z * CERTAIN[sensitivity]) & (lasting >= np.log1p(MIN_CHANGE))
    for series, slot in np.argwhere(is_high):
        if (
            as_high(levels, int(series), float(lasting[series, slot])) * RARE
            > known(levels)[series]
        ):
            is_high[series, slot] = False
    return np.where(is_high, z, 0.0)


def as_high(levels: Levels, series: int, distance: float) -> int:
    """In how many hours of the past a series was as far above its baseline for a quarter of it."""
    return int((np.nan_to_num(levels.tops[series], nan=-np.inf) >= distance).sum())


def known(levels: Levels) -> Ints:
    """How many hours of the past are known, [series]."""
    count: Ints = np.isfinite(levels.tops).sum(1)
    return count


def smallest_change(levels: Levels, sensitivity: Sensitivity = "normal") -> Floats:
    """By what share of the usual value a series must be higher, [series]."""
    change: Floats = np.expm1(
        np.maximum(Z * CERTAIN[sensitivity] * levels.spread, np.log1p(MIN_CHANGE))
    )
    return change
