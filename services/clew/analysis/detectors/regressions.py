"""Regressions: lasting shifts of latency, judged each hour, and at set times after a deployment.

Four measures of a series together: the logarithms of p50, p75, p95, and of the tail, which is p98
as a multiple of p50. (What all requests have in common, such as a busy machine, moves p50 and p98
together, so a change of the tail alone shows much earlier in their ratio.) Of each, what remains
after the baseline is averaged over a window. From that mean, what the day before lets expect is
taken away:

    shift = mean of the window - carry x mean of the 24 h before it

`carry` is how much of a day's deviation usually remains: 0 for a series whose hours are
independent, near 1 for one that drifts. It is learned, as is the standard deviation of such
shifts, from the series' own past four weeks: z is the shift by that deviation. Tests that take
requests or hours for independent find regressions everywhere.

Hours with many requests count more, as far as requests limit what an hour's quantile is worth.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from clew.analysis.baselines import Floats, Ints, median, robust_deviation
from clew.analysis.detectors.findings import Finding, Sensitivity
from clew.analysis.detectors.windows import Sums

MEASURES = ("p50", "p75", "p95", "tail")
LEVELS = (0.5, 0.75, 0.95, 0.98)
AROUND = ((0.45, 0.55), (0.7, 0.8), (0.9, 0.98), (0.95, 0.99))  # for the density at LEVELS
MIN_REQUESTS = (5, 8, 20, 50)  # in an hour, for its quantile to mean anything
WINDOWS = (1, 2, 4, 8, 24, 48)  # hours
BEFORE = 24  # hours before a window, from which its level is expected
# By window. Tuned on the synthetic suite (docs/benchmarks.md): false alarms are 1 % of unchanged
# deployments. After a deployment each window is looked at once, so less is enough.
HOURLY = (np.inf, 5.0, 4.5, 4.2, 3.8, 3.8)
DEPLOYED = (4.2, 4.0, 3.7, 3.5, 3.2, 3.2)
EFFECT = 0.08  # the smallest shift that is reported
DEPLOYED_EFFECT = 0.06
CERTAIN = {"low": 1.3, "normal": 1.0, "high": 0.85}  # factors of z, by sensitivity
MIN_PAST = 100  # windows with values, for anything to be said of a series
_LARGEST = 20  # of the largest past deviations
_CLIP = 3.0
_COVERED = 0.5  # of a window's hours must be known


@dataclass(frozen=True)
class History:
    """What is usual of each series' shifts.

    `noise`: [series, measures], variance of an hour beyond what its requests explain.
    `request`: [series, measures], the variance of one request. `carry`, `deviation`: [series,
    windows, measures]. `largest`: [series, windows, measures, 20], the largest past z, in order.
    `past`: how many past windows there were. A series with
    fewer than MIN_PAST of them has a deviation of nan, and is not judged."""

    noise: Floats
    request: Floats
    carry: Floats
    deviation: Floats
    largest: Floats
    past: int


@dataclass(frozen=True)
class Shifts:
    """Shifts of windows that end at the same hour, [series, ends, windows, measures]: in
    logarithms, and by the deviation of such shifts. nan where too little is known."""

    shift: Floats
    z: Floats

    def only(self, names: Container[str]) -> Shifts:
        """The same with nan in measures that are not named."""
        is_named = np.array([name in names for name in MEASURES])
        return Shifts(np.where(is_named, self.shift, np.nan), np.where(is_named, self.z, np.nan))


def measures(quantiles: Floats, requests: Floats) -> Floats:
    """The four measures [series, hours, measures] of logarithms of p50, p75, p95 and p98 [series,
    hours, 4] and requests [series, hours]; nan in hours with too few of them."""
    values = quantiles.copy()
    values[..., 3] -= quantiles[..., 0]
    return np.where(requests[..., None] >= np.array(MIN_REQUESTS), values, np.nan)


def request_variance(level: float, width: Floats, step: float) -> Floats:
    """The variance of one request's part in the logarithm of a quantile: level (1 - level) /
    density². The density is `step` by the distance `width` between two quantiles that lie `step`
    apart around the level."""
    return level * (1 - level) * (width / step) ** 2


def learn(residuals: Floats, requests: Floats, request: Floats) -> History:
    """From residuals of past hours [series, hours, measures] (`baselines.residuals`), their
    requests [series, hours] and the variance of one request [series, measures]."""
    spread = robust_deviation(residuals.swapaxes(1, 2))
    sampled = request[:, None, :] / np.maximum(requests[..., None], 1)
    explained = median(np.where(np.isfinite(residuals), sampled, np.nan).swapaxes(1, 2))
    noise = np.maximum(np.nan_to_num(spread**2 - explained), 1e-4)
    sums = _Weighted(residuals, requests, noise, request)
    ends = np.arange(1, residuals.shape[1] + 1)
    parts = [_learn_window(*sums.means(ends, window)) for window in WINDOWS]
    carry, deviation, largest = (np.stack(part, axis=1) for part in zip(*parts, strict=True))
    return History(noise, request, carry, deviation, largest, residuals.shape[1])


def shifts(
    residuals: Floats,
    requests: Floats,
    history: History,
    ends: Sequence[int] | Ints,
    windows: Sequence[int] = WINDOWS,
) -> Shifts:
    """The shifts of windows before each of `ends` (excluded), of residuals [series, hours,
    measures] and requests [series, hours]; 72 hours are enough."""
    sums = _Weighted(residuals, requests, history.noise, history.request)
    parts, scaled = [], []
    for window in windows:
        place = WINDOWS.index(window)
        means, before = sums.means(ends, window)
        shift = means - history.carry[:, None, place] * before
        parts.append(shift)
        scaled.append(shift / history.deviation[:, None, place])
    return Shifts(np.stack(parts, axis=2), np.stack(scaled, axis=2))


def every_hour(
    current: Shifts, sensitivity: Sensitivity = "normal", effect: float = EFFECT
) -> Floats:
    """How far windows are over their threshold, at an hour and at the one before: [series, ends
    from the second one on, windows, measures]. From 1 on the series has regressed. The ends of
    `current` are hours in a row."""
    threshold = np.array(HOURLY)[:, None] * CERTAIN[sensitivity]
    over = np.where(current.shift >= np.log1p(effect), current.z / threshold, 0.0)
    over = np.nan_to_num(over)
    before = over[:, :-1].max(axis=(2, 3), keepdims=True)
    return np.where(before >= 1, over[:, 1:], np.minimum(over[:, 1:], before))


def after_deployment(
    current: Shifts,
    hours: Ints,
    sensitivity: Sensitivity = "normal",
    effect: float = DEPLOYED_EFFECT,
) -> Floats:
    """The same, [series, ends, windows, measures], for series whose last deployment was `hours`
    [series, ends] before each end: 1 in the first hour that is the new version's. Only the window
    that begins with the deployment is looked at, and only once."""
    is_due = hours[..., None] == np.array(WINDOWS)
    threshold = np.array(DEPLOYED)[:, None] * CERTAIN[sensitivity]
    is_large = (current.shift >= np.log1p(effect)) & is_due[..., None]
    return np.nan_to_num(np.where(is_large, current.z / threshold, 0.0))


def findings(
    current: Shifts,
    over: Floats,
    expected: Floats,
    residuals: Floats,
    requests: Floats,
    history: History,
    deployments: Ints | None = None,
    names: Sequence[str] = MEASURES,
) -> list[Finding]:
    """What to say of the series that are over a threshold (`over` [series, windows, measures], see
    `every_hour`), of windows that end with the arrays. `expected`: the baseline's logarithms
    [series, hours, measures]. `deployments`: the hour of each series' last one,
    negative if there is none. `names`: of the measures, where they are others than these four."""
    end = residuals.shape[1]
    changed = change_points(residuals, requests, history)
    result = []
    for series in np.flatnonzero(over.max(axis=(1, 2)) >= 1):
        at, measure = np.unravel_index(over[series].argmax(), over[series].shape)
        window = WINDOWS[at]
        shift, z = current.shift[series, -1, at, measure], current.z[series, -1, at, measure]
        hours = slice(max(end - window, 0), end)
        usual = np.nanmean(expected[series, hours, measure])
        middle = usual + np.nanmean(residuals[series, hours, measure]) - shift
        margin = 2 * history.deviation[series, at, measure]
        deployment = None
        if deployments is not None and deployments[series] >= end - max(WINDOWS):
            deployment = int(deployments[series])
        finding = Finding(
            series=int(series),
            kind="regression",
            measure=names[measure],
            time=end - 1,
            window=window,
            value=float(np.exp(middle + shift)),
            expected=float(np.exp(middle)),
            lower=float(np.exp(middle - margin)),
            upper=float(np.exp(middle + margin)),
            requests=float(requests[series, hours].sum()),
            z=float(z),
            as_large=int((history.largest[series, at, measure] >= z).sum()),
            past=history.past,
            change_point=int(changed[series]) if deployment is None else deployment,
            deployment=deployment,
        )
        result.append(finding)
    return result


def change_points(residuals: Floats, requests: Floats, history: History) -> Ints:
    """The hour [series] since which the residuals of all measures together differ most from those
    before, within the last 48 hours."""
    noise = history.noise + history.request / np.maximum(requests.mean(1), 1)[:, None]
    scaled = np.clip(residuals / np.sqrt(noise)[:, None, :], -6, 6)
    sums = Sums(np.nan_to_num(scaled).sum(-1))
    hours = residuals.shape[1]
    starts = np.arange(max(hours - 48, BEFORE), hours)
    lengths = hours - starts
    total = np.stack([sums.ending([hours], int(length))[:, 0] for length in lengths], axis=1)
    before = sums.ending(starts, BEFORE) / BEFORE
    step = (total / lengths - before) * np.sqrt(lengths * BEFORE / (lengths + BEFORE))
    points: Ints = starts[np.abs(step).argmax(1)]
    return points


def smallest_shift(
    history: History, window: int = 24, sensitivity: Sensitivity = "normal", effect: float = EFFECT
) -> Floats:
    """The smallest shift [series, measures] that is noticed nine times of ten when it lasts for a
    window: 0.1 for 10 %."""
    place = WINDOWS.index(window)
    needed = HOURLY[place] * CERTAIN[sensitivity] + 1.28
    noticed: Floats = np.expm1(np.maximum(needed * history.deviation[:, place], np.log1p(effect)))
    return noticed


class _Weighted:
    """Means of residuals over windows, weighted by how well each hour's value is known."""

    def __init__(self, residuals: Floats, requests: Floats, noise: Floats, request: Floats) -> None:
        sampled = request[:, None, :] / np.maximum(requests[..., None], 1)
        is_known = np.isfinite(residuals)
        weights = np.where(is_known, 1 / (noise[:, None, :] + sampled), 0.0)
        self._values = Sums(weights * np.nan_to_num(residuals))
        self._weights = Sums(weights)
        self._known = Sums(is_known)

    def means(self, ends: Sequence[int] | Ints, window: int) -> tuple[Floats, Floats]:
        """The means [series, ends, measures] of windows and of the day before each."""
        ends = np.asarray(ends, dtype=np.int64)
        return self._mean(ends, window), self._mean(ends - window, BEFORE)

    def _mean(self, ends: Ints, window: int) -> Floats:
        values, weights, known = (
            sums.ending(ends, window) for sums in (self._values, self._weights, self._known)
        )
        is_covered = known >= max(window * _COVERED, 1)
        return np.where(is_covered, values / np.where(is_covered, weights, 1.0), np.nan)


def _learn_window(means: Floats, before: Floats) -> tuple[Floats, Floats, Floats]:
    """Carry, deviation and the largest z of a window, from all that ended in the past."""
    is_known = np.isfinite(means) & np.isfinite(before)
    after, day = (_clipped(np.where(is_known, part, np.nan)) for part in (means, before))
    product, square = (after * day).sum(1), (day * day).sum(1)
    carry = np.clip(product / np.maximum(square, 1e-12), 0.0, 1.0)
    shift = np.where(is_known, means - carry[:, None] * before, np.nan)
    robust = robust_deviation(shift.swapaxes(1, 2))
    count = is_known.sum(1)
    square = (_clipped(shift) ** 2).sum(1) / np.maximum(count, 1)
    deviation = np.maximum(np.maximum(robust, np.sqrt(square)), 1e-6)
    deviation = np.where(count >= MIN_PAST, deviation, np.nan)
    z = np.nan_to_num(shift / deviation[:, None]).swapaxes(1, 2)
    largest = np.sort(np.partition(z, -_LARGEST, axis=-1)[..., -_LARGEST:], axis=-1)
    return carry, deviation, largest.astype(np.float32)


def _clipped(values: Floats) -> Floats:
    """Values [series, times, measures] within three deviations; 0 where they are nan."""
    limit = _CLIP * robust_deviation(values.swapaxes(1, 2))[:, None, :]
    return np.nan_to_num(np.clip(values, -limit, limit))
