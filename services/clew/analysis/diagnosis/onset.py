"""When traces changed: a change point of their minutes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clew.analysis.detectors.changes import change_points
from clew.analysis.queries import DiagnosisMinutesRow

MINUTE = 60


def onset(minutes: Sequence[DiagnosisMinutesRow], start: int) -> int:
    """The minute at which durations or failures changed that is next to `start`, if one is within
    the minutes around it; else `start`. In seconds since 1970."""
    points = _change_minutes(minutes)
    near = [point for point in points if abs(point - start) <= 10 * MINUTE]
    return min(near, key=lambda point: abs(point - start)) if near else start


def last_worsening(minutes: Sequence[DiagnosisMinutesRow]) -> int | None:
    """The last minute from which on durations or failures were higher than before; None if there is
    none. In seconds since 1970."""
    points = [0, *_change_indexes(minutes), len(minutes)]
    for before, point, end in reversed(list(zip(points, points[1:], points[2:], strict=False))):
        if _level(minutes[point:end]) > _level(minutes[before:point]):
            return minutes[point]["minute"]
    return None


def _change_minutes(minutes: Sequence[DiagnosisMinutesRow]) -> list[int]:
    return [minutes[index]["minute"] for index in _change_indexes(minutes)]


def _change_indexes(minutes: Sequence[DiagnosisMinutesRow]) -> list[int]:
    values = np.array([_measures(row) for row in minutes], dtype=np.float64)
    return change_points(values) if len(values) >= 3 else []


def _measures(row: DiagnosisMinutesRow) -> tuple[float, float]:
    return row["log_duration"], (row["errors"] + 0.5) / (row["traces"] + 1)


def _level(minutes: Sequence[DiagnosisMinutesRow]) -> float:
    """How bad minutes are: the logarithm of their duration, and failures, which weigh more."""
    return float(np.mean([duration + 10 * errors for duration, errors in map(_measures, minutes)]))
