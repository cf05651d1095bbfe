"""Whether a rule held for one series, minute by minute, and the episodes that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clew.analysis.alerts.states import AlertState, Known, State, Timing, advance
from clew.analysis.baselines import Floats
from clew.analysis.watching.series import MINUTE

Holds = npt.NDArray[np.int8]
YES, NO, UNKNOWN = np.int8(1), np.int8(0), np.int8(-1)


@dataclass(frozen=True)
class Track:
    """One series of a rule. `holds` [minutes]: YES, NO or UNKNOWN at the end of each minute;
    `values` and `expected` [minutes], in the measure's unit, nan where there are none. `known`: why
    it is UNKNOWN where it is."""

    labels: Mapping[str, str]
    measure: str
    holds: Holds
    values: Floats
    expected: Floats
    known: Known = Known.NO_DATA


@dataclass(frozen=True)
class Episode:
    """From firing to resolved, in seconds since 1970; `until` None: it had not ended. `value`: the
    one farthest from `expected`, in the measure's unit."""

    labels: Mapping[str, str]
    measure: str
    since: float
    until: float | None
    value: float
    expected: float


def judged(condition: npt.NDArray[np.bool_], is_known: npt.NDArray[np.bool_]) -> Holds:
    """The minutes of a track from whether a condition holds, and where that is known."""
    return np.where(is_known, condition.astype(np.int8), UNKNOWN)


def episodes(track: Track, start: float, timing: Timing) -> Iterator[Episode]:
    """The episodes of a track whose first minute begins at `start`."""
    state = AlertState()
    minute, count = 0, len(track.holds)
    bad = np.flatnonzero(track.holds == YES)
    began = -1
    while minute < count:
        if state.state in (State.OK, State.RESOLVED):  # nothing happens until it holds
            following = bad[np.searchsorted(bad, minute) :]
            if not len(following):
                break
            minute = int(following[0])
        before = state.is_open
        holds = track.holds[minute]
        at = start + (minute + 1) * MINUTE
        state, _ = advance(state, None if holds == UNKNOWN else bool(holds == YES), at, timing)
        if state.is_open and not before:
            began = minute
        if before and not state.is_open:
            yield _episode(track, start, began, minute)
        minute += 1
    if state.is_open:
        yield _episode(track, start, began, None)


def _episode(track: Track, start: float, began: int, ended: int | None) -> Episode:
    minutes = slice(began, ended)
    values, expected = track.values[minutes], track.expected[minutes]
    bad = np.where(track.holds[minutes] == YES, np.abs(values - expected), -1.0)
    worst = int(np.nan_to_num(bad, nan=-1.0).argmax())
    return Episode(
        track.labels,
        track.measure,
        start + (began + 1) * MINUTE,
        None if ended is None else start + (ended + 1) * MINUTE,
        float(values[worst]),
        float(expected[worst]),
    )
