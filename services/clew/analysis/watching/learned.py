"""What is usual of the watched series: learned from the hours of four weeks, for all tests.

A series is judged once it has had some requests (`is_judged`). While less than three days of it are
known it is judged as if it varied much, since how much it varies, and its days, are not known yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from clew.analysis import baselines
from clew.analysis.baselines import Baseline, Floats, Ints
from clew.analysis.detectors import counts, regressions, spikes
from clew.analysis.traces.times import HOUR
from clew.analysis.watching.marks import UNMARKED, Mark
from clew.analysis.watching.series import History, Series

HOURS = baselines.WEEKS * baselines.HOURS  # of history
MIN_HOURS = 72  # with requests, for a series' own variation to be known
MIN_REQUESTS = 100  # for a series to be judged
# The overdispersion, at least, of failed and slow requests and of traffic while fewer hours are
# known (docs/benchmarks.md). With that of traffic, three times as many requests are 3 deviations:
# only an outage is noticed.
YOUNG_ERRORS, YOUNG_SLOW, YOUNG_TRAFFIC = 0.5, 0.1, 0.2
# The quantiles that learning needs: those that are judged, and those around them.
LEVELS = (0.45, 0.5, 0.55, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
MIN_NEW = 24  # hours after an accepted change, from which failures alone are learned
MIN_SLOW = 20  # requests in an hour, for its p90 to mean anything


@dataclass(frozen=True)
class ValueLost:
    """Of value lost, [series]. `unit`: sum(v²) / sum(v) of values v, nan of series without: counted
    in it, a sum of values has the mean and the variance of a count. `an_hour`: the value of an
    hour, in it; `share`: of it that is lost, with its `dispersion`."""

    unit: Floats
    an_hour: Floats
    share: Floats
    dispersion: Floats


@dataclass(frozen=True)
class Learned:
    """Arrays are [series, …], in the order of `series`. `slow_limit` and `traffic`: baselines of
    the logarithms of p90 (nanoseconds) and of the requests an hour; `quantiles`: of the four
    measures of regressions; `share` and `dispersion` of failed and of slow requests. `hours`: how
    many have requests. `is_twin`: whether an operation is as good as a transaction, most of its
    spans being roots. `accepted`: since when a change is there that somebody accepted, in seconds
    since 1970; 0 if there is none."""

    series: tuple[Series, ...]
    zone: str
    slow_limit: Baseline
    slow_share: Floats
    slow_dispersion: Floats
    error_share: Floats
    error_dispersion: Floats
    lost: ValueLost
    traffic: Baseline
    traffic_dispersion: Floats
    quantiles: tuple[Baseline, ...]
    shifts: regressions.History
    requests: Floats
    hours: Floats
    is_twin: npt.NDArray[np.bool_]
    is_judged: npt.NDArray[np.bool_]
    accepted: Floats

    @cached_property
    def places(self) -> dict[int, int]:
        """The place of a series by its id."""
        return {series.id: place for place, series in enumerate(self.series)}

    @cached_property
    def valued(self) -> Ints:
        """The places of the series with values."""
        return np.flatnonzero(np.isfinite(self.lost.unit))

    @property
    def is_young(self) -> bool:
        """Whether no series is known for long."""
        return float(self.hours.max()) < MIN_HOURS

    def part(self, start: int, stop: int) -> Learned:
        """What was learned of some of the series."""
        cut: Learned = _cut(self, slice(start, stop))
        return cut

    def slow_limits(self, at: float) -> Floats:
        """From how many nanoseconds on a request of that minute is slow, [series]."""
        minute = _minutes_of_week([at], self.zone)
        limits: Floats = np.exp(self.slow_limit.interpolated(minute)[:, 0])
        return limits

    def expected_traffic(self, minutes: Sequence[float]) -> tuple[Floats, Floats]:
        """The usual requests of minutes that begin then, [series, minutes]: between two hours, and
        as their whole hour has them."""
        places = _minutes_of_week(minutes, self.zone)
        even = np.exp(self.traffic.interpolated(places)) / 60
        stepped = np.exp(self.traffic.expected(places // 60)) / 60
        return np.nan_to_num(even), np.nan_to_num(stepped)


def join(parts: Sequence[Learned]) -> Learned:
    """What was learned of several batches of series, together."""
    joined: Learned = _joined(parts)
    return joined


def learn(
    histories: Sequence[History],
    zone: str = "UTC",
    received: npt.NDArray[np.bool_] | None = None,
    marks: Mapping[int, Mark] = {},
) -> Learned:
    """Learn from histories of the same hours, with the quantiles LEVELS. `received`: the hours in
    which clew got anything; without it, those in which one of these series has requests. `marks`,
    by id of a series: hours that do not count, and changes that count as if they had always been.
    Else each series is learned by itself, so batches of them bound the memory."""
    seconds = (histories[0].start + HOUR * np.arange(len(histories[0].count))).astype(np.float64)
    hours = baselines.hours_of_week(seconds, zone)
    requests = np.stack([history.count for history in histories])
    failed = np.stack([history.errors for history in histories])
    logarithms = np.log(np.stack([history.levels for history in histories]))
    marked = [marks.get(history.series.id, UNMARKED) for history in histories]
    is_counted = _counted(seconds, marked)
    received = hours_with_requests(histories) if received is None else received
    requests, failed = np.where(is_counted, requests, 0.0), np.where(is_counted, failed, 0.0)
    logarithms[~is_counted] = np.nan
    logarithms = with_accepted(logarithms, seconds, hours, marked)
    is_known = (np.cumsum(requests > 0, axis=1) > 0) & received & is_counted
    known_requests = np.where(is_known, requests, np.nan)
    values = measures(logarithms, requests)
    slow_limit = baselines.fit(_p90(logarithms, requests), hours)
    slow = _above(logarithms, slow_limit.expected(hours)) * requests
    counted = np.nan_to_num(known_requests)
    known = (counted > 0).sum(1)
    is_young = known < MIN_HOURS
    slow_share = spikes.usual_share(np.nan_to_num(slow), counted)
    # A young series' first hour did not have all of its minutes.
    is_first = np.cumsum(requests > 0, axis=1) == 1
    known_requests = np.where(is_first & is_young[:, None], np.nan, known_requests)
    logarithm = np.log(known_requests + 0.5)[..., None]
    traffic = with_accepted(logarithm, seconds, hours, marked)[..., 0]
    is_new = _new_hours(seconds, marked, counted)
    tried, failed = np.where(is_new, counted, 0.0), np.where(is_new, failed, 0.0)
    error_share = spikes.usual_share(failed, tried)
    held_out = np.exp(traffic - baselines.residuals(traffic, hours))
    columns = list(np.moveaxis(values, -1, 0))
    residuals = np.stack([baselines.residuals(column, hours) for column in columns], axis=-1)
    return Learned(
        series=tuple(history.series for history in histories),
        zone=zone,
        slow_limit=slow_limit,
        slow_share=slow_share,
        slow_dispersion=_dispersion(slow, counted * slow_share[:, None], known, YOUNG_SLOW),
        error_share=error_share,
        error_dispersion=_dispersion(failed, tried * error_share[:, None], known, YOUNG_ERRORS),
        lost=_learn_lost(histories, is_new & is_counted, known),
        traffic=baselines.fit(traffic, hours),
        traffic_dispersion=_dispersion(known_requests, held_out, known, YOUNG_TRAFFIC),
        quantiles=tuple(baselines.fit(column, hours) for column in columns),
        shifts=regressions.learn(residuals, requests, request_variance(logarithms)),
        requests=counted.sum(1),
        hours=known.astype(np.float64),
        is_twin=_are_twins([history.series for history in histories], counted.sum(1)),
        is_judged=~is_young | (counted.sum(1) >= MIN_REQUESTS),
        accepted=np.array([mark.accepted for mark in marked]),
    )


def _p90(logarithms: Floats, requests: Floats) -> Floats:
    level = logarithms[..., LEVELS.index(spikes.SLOW_LEVEL)]
    return np.where(requests >= MIN_SLOW, level, np.nan)


def _learn_lost(
    histories: Sequence[History], is_counted: npt.NDArray[np.bool_], known: npt.NDArray[np.int64]
) -> ValueLost:
    value, lost, squares, count = (
        np.stack([getattr(one, name) for one in histories])
        for name in ("value", "value_lost", "value_squares", "count")
    )
    total = value.sum(1)
    mean = total / np.maximum(count.sum(1), 1)
    unit = np.where(squares.any(1), squares.sum(1) / np.where(total > 0, total, 1.0), 2 * mean)
    unit = np.where(total > 0, np.maximum(unit, mean), np.nan)
    factor = is_counted / np.nan_to_num(unit, nan=1.0)[:, None]
    value, lost = value * factor, lost * factor
    share = spikes.usual_share(lost, value)
    return ValueLost(
        unit,
        value.sum(1) / np.maximum(known, 1),
        share,
        _dispersion(lost, value * share[:, None], known, YOUNG_ERRORS),
    )


def _dispersion(
    numbers: Floats, means: Floats, hours: npt.NDArray[np.int64], least: float
) -> Floats:
    """The overdispersion around means, of so many known hours; with few it rests on `least`."""
    return np.maximum(
        counts.overdispersion(numbers, means), least * np.maximum(1 - hours / MIN_HOURS, 0)
    )


def _counted(seconds: Floats, marked: Sequence[Mark]) -> npt.NDArray[np.bool_]:
    """Which hours [series, hours] count."""
    zeros = np.zeros(len(seconds))
    rows = [baselines.without(zeros, seconds, mark.excluded) for mark in marked]
    return np.isfinite(np.stack(rows))


def _new_hours(seconds: Floats, marked: Sequence[Mark], counted: Floats) -> npt.NDArray[np.bool_]:
    """The hours [series, hours] since an accepted change, once there are enough; else all: what
    failed before says nothing of what fails now."""
    is_new = seconds >= np.array([mark.accepted for mark in marked])[:, None]
    is_enough = (is_new & (counted > 0)).sum(1) >= MIN_NEW
    return np.asarray(is_new | ~is_enough[:, None])


def with_accepted(values: Floats, seconds: Floats, hours: Ints, marked: Sequence[Mark]) -> Floats:
    """Logarithms [series, hours, n] as if accepted changes had always been there."""
    result = values.copy()
    for place, mark in enumerate(marked):
        is_new = seconds >= mark.accepted
        if mark.accepted and is_new.any():
            old = np.where(is_new, np.nan, values[place].T)
            before = baselines.fit(old, hours).expected(hours)
            shift = np.nan_to_num(baselines.median((values[place].T - before)[:, is_new]))
            result[place, ~is_new] += shift
    return result


def _cut(value: Any, places: slice) -> Any:
    if isinstance(value, np.ndarray):
        return value[places]
    if isinstance(value, tuple):
        is_series = isinstance(value[0], Series)
        return value[places] if is_series else tuple(_cut(one, places) for one in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    names = [field.name for field in fields(value)]
    return replace(value, **{name: _cut(getattr(value, name), places) for name in names})


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if isinstance(first, tuple) and isinstance(first[0], Series):
        return tuple(chain.from_iterable(parts))
    if isinstance(first, tuple):
        return tuple(_joined(together) for together in zip(*parts, strict=True))
    if not is_dataclass(first) or isinstance(first, type):
        return first
    names = [field.name for field in fields(first)]
    return replace(first, **{n: _joined([getattr(part, n) for part in parts]) for n in names})


def _are_twins(series: Sequence[Series], requests: Floats) -> npt.NDArray[np.bool_]:
    roots = {
        (one.environment, one.service, one.name): count
        for one, count in zip(series, requests, strict=True)
        if one.kind == "transaction"
    }
    return np.array(
        [
            one.kind == "operation"
            and roots.get((one.environment, one.service, one.name), 0.0) > count / 2
            for one, count in zip(series, requests, strict=True)
        ]
    )


def hours_with_requests(histories: Sequence[History]) -> npt.NDArray[np.bool_]:
    """In which hours one of the series has requests."""
    total = np.stack([history.count for history in histories]).sum(0)
    return np.asarray(total > 0)


def measures(logarithms: Floats, requests: Floats) -> Floats:
    """The measures of regressions [series, hours, 4] of logarithms of LEVELS."""
    places = [LEVELS.index(level) for level in regressions.LEVELS]
    return regressions.measures(logarithms[..., places], requests)


def request_variance(logarithms: Floats) -> Floats:
    """The variance of one request [series, measures], from the densities of past hours."""
    parts = []
    for level, (lower, upper) in zip(regressions.LEVELS, regressions.AROUND, strict=True):
        width = logarithms[..., LEVELS.index(upper)] - logarithms[..., LEVELS.index(lower)]
        usual = np.nan_to_num(baselines.median(width))
        parts.append(regressions.request_variance(level, usual, upper - lower))
    return np.stack(parts, axis=-1)


def _above(logarithms: Floats, limits: Floats) -> Floats:
    """The share of requests [series, hours] above logarithms [series, hours], between two of
    LEVELS by the distance; nan without requests."""
    levels = np.array((0.0, *LEVELS, 1.0))
    place = (logarithms < limits[..., None]).sum(-1)
    inside = np.clip(place, 1, len(LEVELS) - 1)
    upper = np.take_along_axis(logarithms, inside[..., None], -1)[..., 0]
    lower = np.take_along_axis(logarithms, inside[..., None] - 1, -1)[..., 0]
    part = np.clip((limits - lower) / np.maximum(upper - lower, 1e-12), 0, 1)
    below = levels[inside] + (levels[inside + 1] - levels[inside]) * part
    below = np.where(place == 0, 0.0, np.where(place == len(LEVELS), 1.0, below))
    return np.where(np.isfinite(logarithms[..., 0]), 1 - below, np.nan)


def _minutes_of_week(seconds: Sequence[float], zone: str) -> npt.NDArray[np.int64]:
    times = np.asarray(seconds, np.float64)
    minutes = (times // 60 % 60).astype(np.int64)
    return baselines.hours_of_week(times, zone) * 60 + minutes
