"""From the suite's histograms to what the watcher reads from the tables: requests, failed and slow
requests, and quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from clew.analysis import baselines
from clew.analysis.baselines import Floats
from clew.analysis.detectors import regressions, spikes

HISTORY = 672  # hours before the week that is judged
WEEK_MINUTES = 7 * 24 * 60


@dataclass(frozen=True)
class Case:
    """Series of one kind, with 28 days of hours as history and a week of hours and minutes.

    `values`: [series, 840, measures], logarithms of p50, p75, p95 and of p98 / p50. `request`:
    [series, measures], variance of one request. `requests`: [series, 840]. `slow_limit`: the
    baseline of the logarithm of p90. Minutes are [series, 10080]; `deployments`: minutes of the
    week, [series, 2], of which the second may bring a change."""

    scenario: str
    values: Floats
    request: Floats
    requests: Floats
    slow_hours: Floats
    failed_hours: Floats
    minutes: Floats
    slow: Floats
    failed: Floats
    is_known: npt.NDArray[np.bool_]
    deployments: npt.NDArray[np.int64]

    @property
    def series(self) -> int:
        return len(self.values)


def quantiles(counts: npt.NDArray[Any], levels: tuple[float, ...], width: float) -> Floats:
    """The logarithms [..., levels] of quantiles of histograms [..., buckets], whose buckets are
    `width` wide; within a bucket requests lie evenly. nan where there are none."""
    cumulated = np.cumsum(counts, axis=-1, dtype=np.float64)
    total = cumulated[..., -1]
    result = np.empty((*total.shape, len(levels)))
    for place, level in enumerate(levels):
        wanted = total * level
        bucket = np.minimum((cumulated < wanted[..., None]).sum(-1), counts.shape[-1] - 1)
        upto = np.take_along_axis(cumulated, bucket[..., None], -1)[..., 0]
        inside = np.take_along_axis(counts, bucket[..., None], -1)[..., 0]
        share = 1 - (upto - wanted) / np.maximum(inside, 1e-9)
        result[..., place] = np.where(total > 0, (bucket + share) * width, np.nan)
    return result


def above(counts: npt.NDArray[Any], limits: Floats, width: float) -> Floats:
    """How many of histograms [..., buckets] lie above logarithms [...]."""
    buckets = counts.shape[-1]
    position = np.clip(np.nan_to_num(limits) / width, 0, buckets - 1e-6)
    bucket = np.floor(position).astype(np.int64)
    cumulated = np.cumsum(counts, axis=-1, dtype=np.float64)
    upto = np.take_along_axis(cumulated, bucket[..., None], -1)[..., 0]
    inside = np.take_along_axis(counts, bucket[..., None], -1)[..., 0]
    return cumulated[..., -1] - upto + inside * (bucket + 1 - position)


def case(suite: ModuleType, kind: str, scenario: str, series: int, seed: int) -> Case:
    """One call of the suite's generator, reduced."""
    return reduced(suite.make(kind, scenario, series, seed), float(suite.G))


def reduced(made: Mapping[str, Any], width: float) -> Case:
    """What the generator made, in buckets of this width."""
    by_minute, scenario = made["hm"], made["sc"]
    series = len(by_minute)
    week = by_minute.reshape(series, -1, 60, by_minute.shape[-1]).sum(2)
    hours = np.concatenate([made["hh"], week], axis=1)
    requests = hours.sum(2).astype(np.float64)
    of_week = np.arange(hours.shape[1]) % baselines.HOURS

    levels = quantiles(hours, (*regressions.LEVELS, spikes.SLOW_LEVEL), width)
    values = regressions.measures(levels[..., :4], requests)
    request = request_variance(hours[:, :HISTORY], width)
    p90 = np.where(requests >= 20, levels[..., 4], np.nan)
    limit = baselines.fit(p90[:, :HISTORY], of_week[:HISTORY])
    by_hour = limit.expected(of_week[:HISTORY])
    slow = np.empty((series, WEEK_MINUTES))
    for start in range(0, WEEK_MINUTES, 1440):  # a day at a time, for the sake of memory
        minutes = np.arange(start, start + 1440)
        slow[:, minutes] = above(by_minute[:, minutes], limit.interpolated(minutes), width)
    return Case(
        scenario=scenario,
        values=values,
        request=request,
        requests=requests,
        slow_hours=above(hours[:, :HISTORY], by_hour, width),
        failed_hours=made["eh"].astype(np.float64),
        minutes=made["cm"].astype(np.float64),
        slow=slow,
        failed=made["em"].astype(np.float64),
        is_known=~made["gap"],
        deployments=np.stack([made["T1"], made["T0"]], axis=1),
    )


def request_variance(hours: npt.NDArray[Any], width: float) -> Floats:
    """The variance of one request [series, measures], from the densities of past hours."""
    parts = []
    for level, (lower, upper) in zip(regressions.LEVELS, regressions.AROUND, strict=True):
        distance = np.diff(quantiles(hours, (lower, upper), width))[..., 0]
        usual = baselines.median(distance)
        parts.append(regressions.request_variance(level, usual, upper - lower))
    return np.stack(parts, axis=-1)
