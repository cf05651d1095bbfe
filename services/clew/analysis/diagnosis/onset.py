"""When traces changed: a change point of their durations and failures by time.

Of a history of 15 minutes and more the minutes are compared. A shorter one has slots of 10 to 60
seconds, as short as they have five traces each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from clew.analysis.detectors.changes import change_points
from clew.analysis.queries import DiagnosisSlotsRow

MINUTE = 60
NEAR = 5 * MINUTE  # of the window's start, where the onset is looked for
SHORTEST_SLOT = 10  # seconds
SLOTS = (SHORTEST_SLOT, 20, 30, MINUTE)
MIN_MINUTES = 15  # of a history that is compared by minutes
MIN_SLOTS = 12  # of a shorter one
MIN_TRACES = 5  # of a slot, on average
# What became worse lasts: so many traces, and so many slots that are shorter than a minute. The
# last slot is not over, and may have one slow trace.
LASTING_TRACES, LASTING_SLOTS = 20, 3
FINE = 4 * 3600  # seconds: of a longer time minutes are read


def slot_read(seconds: float) -> int:
    """The length of the slots in which a time of so many seconds is read."""
    return SHORTEST_SLOT if seconds <= FINE else MINUTE


def onset(slots: Sequence[DiagnosisSlotsRow], start: int) -> int:
    """The time near `start` from which on durations or failures were worse, if there is one; else
    `start`. In seconds since 1970."""
    near = [at for at in _worsenings(slots) if abs(at - start) <= NEAR]
    return min(near, key=lambda at: abs(at - start)) if near else start


def last_worsening(slots: Sequence[DiagnosisSlotsRow]) -> int | None:
    """The last time from which on durations or failures were worse than before; None if there is
    none. In seconds since 1970."""
    return max(_worsenings(slots), default=None)


def comparable(slots: Sequence[DiagnosisSlotsRow]) -> list[DiagnosisSlotsRow]:
    """The slots that a change is looked for in; none if there are too few traces to say."""
    if not slots:
        return []
    seconds = slots[-1]["start"] - slots[0]["start"] + SHORTEST_SLOT
    if seconds >= MIN_MINUTES * MINUTE:
        minutes = list(_merged(slots, MINUTE))
        return minutes if len(minutes) >= MIN_MINUTES else []
    traces = sum(slot["traces"] for slot in slots)
    for length in SLOTS:
        if traces * length >= MIN_TRACES * seconds:
            merged = list(_merged(slots, length))
            return merged if len(merged) >= MIN_SLOTS else []
    return []


def _merged(slots: Sequence[DiagnosisSlotsRow], length: int) -> Iterator[DiagnosisSlotsRow]:
    """Slots of a greater length."""
    for start, group in groupby(slots, key=lambda slot: slot["start"] // length * length):
        parts = list(group)
        traces = sum(part["traces"] for part in parts)
        yield {
            "start": start,
            "traces": traces,
            "errors": sum(part["errors"] for part in parts),
            "log_duration": sum(part["log_duration"] * part["traces"] for part in parts) / traces,
        }


def _worsenings(slots: Sequence[DiagnosisSlotsRow]) -> list[int]:
    compared = comparable(slots)
    if not compared:
        return []
    values = np.array([_measures(row) for row in compared], dtype=np.float64)
    points = [0, *_lasting(compared, change_points(values)), len(compared)]
    return [
        compared[point]["start"]
        for before, point, end in zip(points, points[1:], points[2:], strict=False)
        if _level(compared[point:end]) > _level(compared[before:point])
    ]


def _lasting(slots: Sequence[DiagnosisSlotsRow], points: Sequence[int]) -> list[int]:
    """The change points after which enough came before the next one."""
    is_fine = any(slot["start"] % MINUTE for slot in slots)
    lasting: list[int] = []
    end = len(slots)
    for point in reversed(points):
        traces = sum(slot["traces"] for slot in slots[point:end])
        if traces >= LASTING_TRACES and (not is_fine or end - point >= LASTING_SLOTS):
            lasting.insert(0, point)
            end = point
    return lasting


def _measures(row: DiagnosisSlotsRow) -> tuple[float, float]:
    return row["log_duration"], (row["errors"] + 0.5) / (row["traces"] + 1)


def _level(slots: Sequence[DiagnosisSlotsRow]) -> float:
    """How bad slots are: the logarithm of their duration, and failures, which weigh more."""
    return float(np.mean([duration + 10 * errors for duration, errors in map(_measures, slots)]))
