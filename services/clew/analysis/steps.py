"""The seam for everything that is computed from settled traces: a step.

The settler (clew.analysis.traces.settler) runs the steps that it is given, and knows none by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from clew.background import Stop


@dataclass(frozen=True)
class Interval:
    """Which settled traces a step looks at: rows by InsertedAt, in seconds since 1970, half open.

    The intervals of one step abut, but a run that was cut short is done again from the same `since`
    to an `until` that may be later. Rows from `since - REVISED` on may have been settled again
    since the last run, because spans came late. `version` is greater than in any run before, for
    rows that replace one another."""

    since: float
    until: float
    version: int


# Seconds for which a trace may be settled again without new rows: the settler looks once more at
# what was quiet for 30 s.
REVISED = 60.0


class Step(Protocol):
    """Work over settled traces. Run again after a kill it leaves the same rows: they are replaced
    by version, or keyed by the interval's `since`.

    A step that fails is logged and run again later; the other steps go on."""

    @property
    def name(self) -> str:
        """Its row in clew_settler, which says how far it has come."""

    @property
    def every(self) -> float:
        """Seconds between two runs when nobody asks."""

    @property
    def on_demand(self) -> bool:
        """Whether a read may ask for a run at once."""

    def run(self, settled: Interval, stop: Stop) -> None:
        """Do the work for these rows. Calls stop.check() between statements, which raises Stopped
        when clew stops, and waits while it is paused. Raises StorageError."""
