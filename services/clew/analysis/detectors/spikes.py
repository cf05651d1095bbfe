"""Spikes, judged each minute: more failed or slow requests than usual, more or fewer requests.

Failed requests, and requests slower than the usual p90 of their hour, are counted over windows of
some minutes and compared with the requests of the same minutes times the usual share, under a
gamma-Poisson with the series' own overdispersion. Traffic is compared with the baseline. A quantile
of one minute is never looked at: it is noise.

A single bad minute, which is in several windows, is no spike: the window without its worst minute
must be unusual too. Nor is it one any more when its last minutes, in which three bad requests more
than usual would have come, had few. Traffic must be unusual at two minutes in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clew.analysis.baselines import Floats, Ints
from clew.analysis.detectors.counts import deviance, log_tail
from clew.analysis.detectors.findings import Finding, Kind, Sensitivity
from clew.analysis.detectors.windows import Sums

# What is slow. p95 finds three quarters of what p90 finds: with 10 requests a minute, 5 % of them
# are too few to compare with.
SLOW_LEVEL = 0.9
SLOW_WINDOWS = (2, 3, 5, 15)  # minutes
SLOW_P = (1e-7, 1e-7, 1e-7, 1e-7)
ERROR_WINDOWS = (2, 3, 5, 15, 60, 360, 1440)
ERROR_P = (1e-7, 1e-7, 1e-7, 1e-7, 1e-6, 1e-6, 1e-6)
LOST_P = tuple(p**1.3 for p in ERROR_P)  # of value lost: sums of values have heavier tails
P_WITHOUT_WORST = 1e-3
MIN_BAD = 5
MIN_RATIO = 3.0  # times the usual share
LATEST = (3, 5, 15, 60, 360, 1440)  # minutes: how long the last minutes may be
MIN_LATEST = 3.0  # bad requests more than usual that are expected in them
ONGOING = 0.25  # of these at least, for it to go on

TRAFFIC_WINDOWS = (2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120)
MIN_EXPECTED = 20  # requests, for traffic to be judged
TRAFFIC_Z = 5.0
# From here on people may be woken.
PAGE_Z = 6.0
PAGE_P = 1e-10
# Overdispersion is learned from hours, within which traffic varies too: factor for short windows.
WITHIN_HOUR = 1.5
CERTAIN = {"low": 1.5, "normal": 1.0, "high": 0.8}  # factors of log p and of z, by sensitivity


@dataclass(frozen=True)
class Minutes:
    """What one minute test sees: [series, minutes], oldest first, up to the minute that is judged.

    `counts` is compared with `expected`, and `dispersion` is [series]. `requests` are those that
    `counts` are a part of; of traffic they are the same."""

    counts: Floats
    expected: Floats
    dispersion: Floats
    requests: Floats


def usual_share(bad: Floats, requests: Floats, prior: float = 0.01) -> Floats:
    """The usual share [series] of bad requests, from past hours [series, hours] without nan: as
    if half a request more had failed, so that a series which never failed has a share too."""
    share: Floats = (bad.sum(1) + 0.5) / (requests.sum(1) + 0.5 / prior)
    return share


def bad_requests(
    seen: Minutes,
    windows: Sequence[int],
    limits: Sequence[float],
    sensitivity: Sensitivity = "normal",
    judged: int = 1,
) -> Floats:
    """The logarithms of probabilities, [series, judged, windows], of windows that end with each of
    the last `judged` minutes and are over their limit. 0: nothing to say."""
    counts, means = Sums(seen.counts), Sums(seen.expected)
    ends = seen.counts.shape[1] + np.arange(1 - judged, 1)
    result = np.zeros((len(seen.counts), judged, len(windows)))
    for place, window in enumerate(windows):
        count, mean = counts.ending(ends, window), means.ending(ends, window)
        series, end = np.nonzero((count >= MIN_BAD) & (count >= MIN_RATIO * mean))
        log_p = log_tail(count[series, end], mean[series, end], seen.dispersion[series])
        is_rare = log_p < np.log(limits[place]) * CERTAIN[sensitivity]
        series, end, log_p = series[is_rare], end[is_rare], log_p[is_rare]
        is_lasting = _is_lasting(seen, series, ends[end], window)
        result[series, end, place] = np.where(is_lasting, log_p, 0.0)
    result[~_goes_on(counts, means, ends, windows, result)] = 0.0
    return result


def _goes_on(
    counts: Sums, means: Sums, ends: Ints, windows: Sequence[int], scores: Floats
) -> npt.NDArray[np.bool_]:
    """Whether the last minutes before each end [series, ends] were as bad as the windows that are
    unusual: there were bad requests more than usual, as many as their rate lets expect."""
    rates = [
        (counts.ending(ends, window) - means.ending(ends, window)) / window * (scores[..., n] < 0)
        for n, window in enumerate(windows)
    ]
    rate = np.max(rates, axis=0)
    goes_on = np.ones(scores.shape[:2], dtype=np.bool_)
    is_open = rate > 0
    for minutes in LATEST:
        usual = means.ending(ends, minutes)
        more = counts.ending(ends, minutes) - usual
        is_enough = rate * minutes >= MIN_LATEST + 2 * np.sqrt(usual)
        decided = is_open & is_enough
        goes_on[decided] = (more >= ONGOING * rate * minutes)[decided]
        is_open &= ~is_enough
    return goes_on


def traffic(
    seen: Minutes,
    held: Floats,
    windows: Sequence[int] = TRAFFIC_WINDOWS,
    sensitivity: Sensitivity = "normal",
    judged: int = 1,
) -> Floats:
    """z [series, judged, windows] of windows that end with each of the last `judged` minutes, in
    which the requests are unusual, there and a minute before. 0: nothing to say.

    `seen.expected` is the baseline between hours, `held` [series, minutes] that of each minute's
    whole hour. A window is as unusual as it is by the nearer of the two: where days meet, traffic
    may change at once or within an hour. Minutes of which nothing is expected, because clew did
    not receive them, count for nothing."""
    is_known = seen.expected > 0
    counts = Sums(np.where(is_known, seen.counts, 0.0))
    expectations = Sums(seen.expected), Sums(np.where(is_known, held, 0.0))
    ends = seen.counts.shape[1] + np.arange(-judged, 1)
    result = np.zeros((len(seen.counts), judged + 1, len(windows)))
    for place, window in enumerate(windows):
        count = counts.ending(ends, window)
        even, stepped = (means.ending(ends, window) for means in expectations)
        dispersion = seen.dispersion[:, None] * (WITHIN_HOUR if window < 60 else 1.0)
        nearest = np.clip(count, np.minimum(even, stepped), np.maximum(even, stepped))
        z = deviance(count, nearest, dispersion)
        is_judged = (nearest >= MIN_EXPECTED) & (ends >= window)
        is_unusual = is_judged & (np.abs(z) >= TRAFFIC_Z * CERTAIN[sensitivity])
        result[..., place] = np.where(is_unusual, z, 0.0)
    return _twice(result)


def _twice(scores: Floats) -> Floats:
    """The scores [series, ends, windows] from the second end on, of series that had one of the
    same sign at the end before."""
    last, before = scores[:, 1:], scores[:, :-1]
    above = (before > 0).any(2, keepdims=True) & (last > 0)
    below = (before < 0).any(2, keepdims=True) & (last < 0)
    return np.where(above | below, last, 0.0)


def _is_lasting(seen: Minutes, series: Ints, ends: Ints, window: int) -> npt.NDArray[np.bool_]:
    """Whether windows, [n] of n series and ends, are unusual without their worst minute too."""
    minutes = ends[:, None] - 1 - np.arange(window)
    inside = series[:, None], np.maximum(minutes, 0)
    counts, expected = seen.counts[inside], seen.expected[inside]
    worst = (counts - expected).argmax(1)[:, None] == np.arange(window)
    is_other = ~worst & (minutes >= 0)
    count = np.where(is_other, counts, 0).sum(1)
    mean = np.where(is_other, expected, 0).sum(1)
    log_p = log_tail(count, mean, seen.dispersion[series])
    is_many = count >= MIN_RATIO * mean
    result: npt.NDArray[np.bool_] = is_many & (log_p < np.log(P_WITHOUT_WORST))
    return result


def findings(seen: Minutes, scores: Floats, measure: str, windows: Sequence[int]) -> list[Finding]:
    """What to say of the series with scores [series, windows] of the last minute (`bad_requests`,
    `traffic`): of each the window that is most unusual. Values are shares of the
    requests; of traffic, requests a minute."""
    minutes = seen.counts.shape[1]
    is_traffic = measure == "rate"
    kind: Kind = "traffic" if is_traffic else "spike"
    result = []
    for series in np.flatnonzero(scores.any(1)):
        window = windows[int(np.abs(scores[series]).argmax())]
        inside = slice(max(minutes - window, 0), minutes)
        count, mean = seen.counts[series, inside].sum(), seen.expected[series, inside].sum()
        requests = seen.requests[series, inside].sum()
        deviation = np.sqrt(mean + seen.dispersion[series] * mean**2)
        unit = window if is_traffic else max(requests, 1.0)
        past, as_large = _past(seen, int(series), window, float(count - mean))
        result.append(
            Finding(
                series=int(series),
                kind=kind,
                measure=measure,
                time=minutes - 1,
                window=window,
                value=float(count / unit),
                expected=float(mean / unit),
                lower=float(max(mean - 2 * deviation, 0) / unit),
                upper=float((mean + 2 * deviation) / unit),
                requests=float(requests),
                z=float(_deviance(count, mean, seen.dispersion[series])),
                as_large=as_large,
                past=past,
                change_point=_begin(seen, int(series), window, bool(count > mean)),
            )
        )
    return result


def _deviance(count: float, mean: float, dispersion: float) -> float:
    return float(deviance(np.array([count]), np.array([mean]), np.array([dispersion]))[0])


def _past(seen: Minutes, series: int, window: int, excess: float) -> tuple[int, int]:
    """How many windows there were before this one, without overlap, and how many of them were as
    far from what was expected, in the same direction."""
    before = (seen.counts - seen.expected)[series, : -window or None]
    past = len(before) // window
    if not past:
        return 0, 0
    sums = before[len(before) - past * window :].reshape(past, window).sum(1)
    return past, int((sums * np.sign(excess) >= abs(excess)).sum())


def _begin(seen: Minutes, series: int, window: int, is_more: bool) -> int:
    """The minute since which the excess is largest, within the window."""
    excess = (seen.counts - seen.expected)[series, -window:]
    since = np.cumsum(excess[::-1])[::-1]
    place = since.argmax() if is_more else since.argmin()
    return int(seen.counts.shape[1] - len(excess) + place)


def smallest_share(
    share: Floats, requests: Floats, dispersion: Floats, limit: float, ratio: float = MIN_RATIO
) -> Floats:
    """The smallest share of bad requests [series] that is noticed, of so many requests [series]:
    at least 5 and three times the usual share."""
    mean = requests * share
    least = np.maximum(np.maximum(MIN_BAD, ratio * mean), 1.0)
    lower, upper = least.copy(), np.maximum(requests, least)
    for _ in range(30):
        middle = (lower + upper) / 2
        is_enough = log_tail(middle, mean, dispersion) < np.log(limit)
        upper, lower = np.where(is_enough, middle, upper), np.where(is_enough, lower, middle)
    is_enough = log_tail(upper, mean, dispersion) < np.log(limit)
    return np.where(is_enough & (upper <= requests), upper / np.maximum(requests, 1), np.nan)


def smallest_drop(
    expected: Floats, dispersion: Floats, sensitivity: Sensitivity = "normal"
) -> Floats:
    """The smallest drop of traffic [series] that is noticed in a window with so many expected
    requests [series], as a share of them: 0.5 for half. nan where none is."""
    shares = np.arange(0.02, 1.0, 0.02)
    remaining = np.maximum(expected, 0)[:, None] * (1 - shares)
    z = deviance(remaining, expected[:, None], dispersion[:, None])
    is_enough = (z <= -TRAFFIC_Z * CERTAIN[sensitivity]) & (expected[:, None] >= MIN_EXPECTED)
    return np.where(is_enough.any(1), shares[is_enough.argmax(1)], np.nan)
