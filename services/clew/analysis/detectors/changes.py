"""Change points: where the level of a series changes for good, found in the whole of it at once.

PELT (Killick, Fearnhead and Eckley 2012) finds the segments with the least squared distance from
their means, plus a penalty for each segment, exactly. The penalty is the modified BIC's (Zhang and
Siegmund 2007): 3 log n and the logarithm of a segment's length, for values of variance 1. Values
are scaled by their own standard deviation, changes included, so that a trend or a slow drift does
not fall to pieces. It is what cpt.mean of R's package changepoint does by default.
"""

from __future__ import annotations

import numpy as np

from clew.analysis.baselines import Floats


def change_points(values: Floats, penalty: float = 3.0) -> list[int]:
    """The first rows of all segments but the first, of values [rows] or [rows, dimensions]. Values
    that are nan are taken from a line between their neighbours. `penalty` is by log n."""
    scaled = _scaled(values)
    rows, dimensions = scaled.shape
    if rows < 3:
        return []
    total = np.concatenate([np.zeros((1, dimensions)), np.cumsum(scaled, axis=0)])
    square = np.concatenate([[0.0], np.cumsum((scaled**2).sum(1))])
    per_segment = (penalty + dimensions - 1) * np.log(rows)
    best = np.zeros(rows + 1)
    best[0] = -per_segment
    last = np.zeros(rows + 1, dtype=np.int64)
    starts = np.array([0])
    for end in range(1, rows + 1):
        length = end - starts
        mean = ((total[end] - total[starts]) ** 2).sum(1) / length
        cost = best[starts] + square[end] - square[starts] - mean + dimensions * np.log(length)
        chosen = int(cost.argmin())
        best[end], last[end] = cost[chosen] + per_segment, starts[chosen]
        # A start that is worse by the penalty already can never be the best one again.
        starts = np.append(starts[cost <= best[end] + dimensions * np.log(rows)], end)
    points, end = [], int(last[rows])
    while end > 0:
        points.append(end)
        end = int(last[end])
    return points[::-1]


def _scaled(values: Floats) -> Floats:
    """Columns of mean 0 and variance 1, without nan and without columns that never change."""
    table = values.reshape(len(values), -1).astype(np.float64)
    rows = np.arange(len(table))
    columns = []
    for column in table.T:
        is_known = np.isfinite(column)
        if is_known.sum() < 2:
            continue
        whole = np.interp(rows, rows[is_known], column[is_known])
        if whole.std() > 1e-9 * max(np.abs(whole).max(), 1e-300):
            columns.append((whole - whole.mean()) / whole.std(ddof=1))
    return np.stack(columns, axis=1) if columns else np.zeros((len(table), 1))
