"""The minutes of the last day of every watched series, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clew.analysis.baselines import Floats
from clew.analysis.watching.series import MINUTE, Slot

MINUTES = 1440


@dataclass(frozen=True)
class Window:
    """[series, minutes], the oldest first. `is_known`: [minutes], whether clew watched then."""

    at: tuple[float, ...]
    requests: Floats
    failed: Floats
    slow: Floats
    is_known: npt.NDArray[np.bool_]


class Recent:
    """Counts by series and minute. `follow` says which series, by id; what is known of them stays.

    12 bytes for each of 1,440 minutes: 35 MB for 2,000 series."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._counts: npt.NDArray[np.float32] = np.zeros((3, 0, MINUTES), np.float32)
        self._minute = np.full(MINUTES, -1, np.int64)  # which minute each column has

    def follow(self, ids: Sequence[int]) -> None:
        """Count these series from now on, in this order."""
        counts = np.zeros((3, len(ids), MINUTES), np.float32)
        for place, id in enumerate(ids):
            if id in self._places:
                counts[:, place] = self._counts[:, self._places[id]]
        self._counts = counts
        self._places = {id: place for place, id in enumerate(ids)}

    def add(
        self, start: float, end: float, slots: Iterable[Slot], limits: Mapping[int, Floats]
    ) -> None:
        """The minutes in [start, end) are known, and these are their slots. `limits`: by minute
        (its begin), from how many nanoseconds on a request is slow, [series]."""
        for minute in range(int(start) // MINUTE, int(end) // MINUTE):
            self._minute[minute % MINUTES] = minute
            self._counts[:, :, minute % MINUTES] = 0
        for slot in slots:
            place = self._places.get(slot.series.id)
            if place is None:
                continue
            limit = float(limits[slot.at][place])
            slow = slot.slower_than(limit) if np.isfinite(limit) else 0.0
            self._counts[:, place, slot.at // MINUTE % MINUTES] = slot.count, slot.errors, slow

    def window(self, at: float, minutes: int = MINUTES, series: slice = slice(None)) -> Window:
        """The minutes before `at`, the end of a minute, of all series or some places of them."""
        places = np.arange(int(at) // MINUTE - minutes, int(at) // MINUTE)
        columns = places % MINUTES
        is_known = self._minute[columns] == places
        requests, failed, slow = (
            self._counts[:, series][:, :, columns].astype(np.float64) * is_known
        )
        return Window(tuple(places * float(MINUTE)), requests, failed, slow, is_known)
