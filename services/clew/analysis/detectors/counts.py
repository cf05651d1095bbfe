"""How unlikely a count is, when the rate that it comes from varies.

A count with the mean m and the overdispersion d has the variance m + d m²: gamma-Poisson (negative
binomial), with the shape 1/d. Overdispersion limits what can ever be seen: half of the traffic is
at most 0.5 / √d standard deviations away, however many requests there are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_CLIP = 4.0  # standard deviations: past incidents do not count as usual variation
_LEAST = 1e-4  # no real traffic is closer to Poisson


def overdispersion(counts: Floats, means: Floats) -> Floats:
    """The overdispersion [series] of counts [series, times] around their means. Outliers count
    little; times with nan count as nothing."""
    is_known = np.isfinite(counts) & np.isfinite(means)
    mean = np.where(is_known, means, 0.0)
    distance = np.where(is_known, np.abs(counts - mean), 0.0)
    total = np.maximum((mean**2).sum(-1), 1e-12)
    result = np.full(len(counts), 0.1)
    for _ in range(4):
        limit = _CLIP * np.sqrt(mean + result[:, None] * mean**2)
        square = np.minimum(distance, limit) ** 2
        result = np.maximum((square - mean).sum(-1) / total, _LEAST)
    return result


def deviance(counts: Floats, means: Floats, dispersion: Floats) -> Floats:
    """The signed root of the deviance of counts: near to a standard normal deviate where counts
    are usual, and unlike (count - mean) / deviation also far away. Shapes broadcast."""
    shape = 1 / dispersion
    mean = np.maximum(means, 1e-12)
    part = np.where(counts > 0, counts * np.log(np.maximum(counts, 1e-12) / mean), 0.0)
    rest = (counts + shape) * np.log((counts + shape) / (mean + shape))
    result: Floats = np.sign(counts - mean) * np.sqrt(np.maximum(2 * (part - rest), 0.0))
    return result


def log_tail(counts: Floats, means: Floats, dispersion: Floats) -> Floats:
    """The natural logarithm of the probability of so many or more, as an upper bound: the first
    term of the sum and a geometric series for the others. Within a factor of 2 where it is below
    1e-3. 0 where the count is not above the mean."""
    shape = 1 / dispersion
    mean = np.maximum(means, 1e-12)
    share = mean / (mean + shape)
    first = (
        log_gamma(counts + shape)
        - log_gamma(counts + 1)
        - log_gamma(shape)
        - shape * np.log1p(mean / shape)
        + counts * np.log(share)
    )
    ratio = np.maximum((counts + shape) / (counts + 1) * share, share)
    is_above = (counts > mean) & (ratio < 1)
    bound = first - np.log1p(-np.where(is_above, ratio, 0.0))
    result: Floats = np.where(is_above, np.minimum(bound, 0.0), 0.0)
    return result


def log_gamma(values: Floats) -> Floats:
    """The logarithm of the gamma function, for values above 0: Stirling's series, after values
    below 8 were moved up. Relative error below 1e-9."""
    moved = np.asarray(values, dtype=np.float64)
    product = np.ones_like(moved)
    for _ in range(8):
        is_small = moved < 8
        product = np.where(is_small, product * moved, product)
        moved = np.where(is_small, moved + 1, moved)
    inverse = 1 / moved
    series = inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 / 1260))
    result: Floats = (moved - 0.5) * np.log(moved) - moved + 0.918938533204672742 + series
    return result - np.log(product)
