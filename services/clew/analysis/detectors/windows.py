"""Sums over windows of several lengths that end at the same times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class Sums:
    """Sums of `values` [series, times, …] over windows, from one pass over the array. Times before
    the first count as 0."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.times = values.shape[1]
        total = np.cumsum(values, axis=1, dtype=np.float64)
        self._total = np.concatenate([np.zeros_like(total[:, :1]), total], axis=1)

    def ending(self, ends: Sequence[int] | npt.NDArray[np.int64], window: int) -> Any:
        """The sums [series, ends, …] of the `window` times before each end, which is excluded."""
        stop = np.clip(np.asarray(ends, dtype=np.int64), 0, self.times)
        start = np.clip(np.asarray(ends, dtype=np.int64) - window, 0, self.times)
        return self._total[:, stop] - self._total[:, start]
