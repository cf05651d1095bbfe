"""Steps: the interface of all work that is computed from settled traces.

The settler (clew.analysis.traces.settler) runs the steps that it is given, and knows none by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from clew.background import Stop


@dataclass(frozen=True)
class Interval:
    """The settled traces of one run of a step: rows with InsertedAt in [since, until), in seconds
    since 1970.

    The intervals of a step follow each other without gaps. A run that was interrupted is repeated
    with the same `since` and the same or a later `until`. Rows from `since - RESETTLE_SECONDS` on
    may have been settled again since the last run, because spans arrived late. `version` is greater
    than that of any run before; use it for rows that replace one another."""

    since: float
    until: float
    version: int


# For so many seconds after its last row, a trace may be settled again without new rows: the settler
# settles it once more when it got no rows for 30 s.
RESETTLE_SECONDS = 60.0


class Step(Protocol):
    """Work over settled traces. A run that is repeated after a kill leaves the same rows: they are
    replaced by version, or keyed by the interval's `since`.

    A failed step is logged and runs again later; the other steps continue."""

    @property
    def name(self) -> str:
        """The name of the row in clew_settler that has the step's progress."""

    @property
    def every(self) -> float:
        """Seconds between two runs that no read requests."""

    @property
    def on_demand(self) -> bool:
        """Whether a read may request a run at once."""

    def run(self, settled: Interval, stop: Stop) -> None:
        """Do the work for these rows. Must call stop.check() between statements: it waits while
        writers are paused and raises Stopped when clew stops. Raises StorageError."""
