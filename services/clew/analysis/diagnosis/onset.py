"""When traces changed: a change point of their minutes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clew.analysis.detectors.changes import change_points
from clew.analysis.queries import DiagnosisMinutesRow

MINUTE = 60
NEAR = 5 * MINUTE  # of the window's start, where the onset is looked for
MIN_MINUTES = 15  # of a series in which changes are looked for


def onset(minutes: Sequence[DiagnosisMinutesRow], start: int) -> int:
    """The minute near `start` from which on durations or failures were worse, if there is one; else
    `start`. In seconds since 1970."""
    near = [minute for minute in _worsenings(minutes) if abs(minute - start) <= NEAR]
    return min(near, key=lambda minute: abs(minute - start)) if near else start


def last_worsening(minutes: Sequence[DiagnosisMinutesRow]) -> int | None:
    """The last minute from which on durations or failures were worse than before; None if there is
    none. In seconds since 1970."""
    return max(_worsenings(minutes), default=None)


def _worsenings(minutes: Sequence[DiagnosisMinutesRow]) -> list[int]:
    if len(minutes) < MIN_MINUTES:
        return []
    values = np.array([_measures(row) for row in minutes], dtype=np.float64)
    points = [0, *change_points(values), len(minutes)]
    return [
        minutes[point]["minute"]
        for before, point, end in zip(points, points[1:], points[2:], strict=False)
        if _level(minutes[point:end]) > _level(minutes[before:point])
    ]


def _measures(row: DiagnosisMinutesRow) -> tuple[float, float]:
    return row["log_duration"], (row["errors"] + 0.5) / (row["traces"] + 1)


def _level(minutes: Sequence[DiagnosisMinutesRow]) -> float:
    """How bad minutes are: the logarithm of their duration, and failures, which weigh more."""
    return float(np.mean([duration + 10 * errors for duration, errors in map(_measures, minutes)]))
