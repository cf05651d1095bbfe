"""Which traces the settler looks at next."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clew.analysis.traces.settling import Window
from clew.analysis.traces.times import LAST_SECOND

QUIET = 30  # seconds without a new row, after which a trace is looked at once more
TRACES_AT_ONCE = 40_000  # that a pass settles
MOST_ONE_IN = 64
REMEMBERED = 3600  # seconds for which it matters that traces were passed over


class InsertCursor:
    """How far the inserts are settled, by the second in which rows were inserted.

    Rows can be seen once their insert has ended, so passes overlap. `settled_up_to`: inserts up to
    here are settled. `oldest_possible`: no row older than this can still become visible; the next
    pass begins here. `quiet_up_to`: traces whose last row is older were looked at once more.
    `newest`: the newest row that was seen. All are seconds since 1970.

    `thinned`: see Settling.thinned."""

    def __init__(self, start: float, thinned: tuple[int, float, float] | None = None) -> None:
        self.oldest_possible = self.settled_up_to = self.newest = start
        self.quiet_up_to = start - 2 * QUIET
        self.is_behind = False
        self.one_in = 1
        self._lag = math.inf
        self._thinned, self._thinned_since, self._thinned_until = thinned or (1, 0.0, 0.0)

    @property
    def is_quiet(self) -> bool:
        """Whether every trace was looked at once more after it was quiet."""
        return self.quiet_up_to > self.newest

    def window(self, now: float, pending: Sequence[tuple[int, int]]) -> Window:
        """The window of the next pass. `pending`: by second of insertion, how many traces came.

        When more comes in than is settled, the lag grows: then the share of the traces that are
        settled is halved, until the lag shrinks."""
        if pending:
            self.newest = max(self.newest, pending[-1][0])
        until = self._until(pending)
        lag = now - self.settled_up_to
        if self.is_behind and until < LAST_SECOND and lag > self._lag:
            self.one_in = min(2 * self.one_in, MOST_ONE_IN)
            until = self._until(pending)
        elif 4 * sum(traces for _, traces in pending) < TRACES_AT_ONCE * self.one_in:
            self.one_in = max(1, self.one_in // 2)
        self.is_behind = until < LAST_SECOND
        self._lag = lag
        if self.one_in > 1:
            self._thinned_since = self._thinned_since or self.oldest_possible
            self._thinned_until = now
            self._thinned = max(self._thinned, self.one_in)
        elif now > self._thinned_until + REMEMBERED:
            self._thinned, self._thinned_since, self._thinned_until = 1, 0.0, 0.0
        return Window(
            since=self.oldest_possible,
            until=until,
            quiet_since=self.quiet_up_to,
            quiet_until=max(self.quiet_up_to, self._reached(until, now) - QUIET),
            one_in=self.one_in,
            thinned=self._thinned,
            thinned_since=self._thinned_since or LAST_SECOND,
            thinned_until=self._thinned_until,
        )

    def advance(self, window: Window, now: float, oldest_insert: float) -> None:
        """Every trace that could be seen in the window is settled. `oldest_insert`: when the oldest
        insert began that is under way."""
        self.settled_up_to = self._reached(window.until, now)
        self.oldest_possible = min(self.settled_up_to, math.floor(oldest_insert) - 1)
        self.quiet_up_to = window.quiet_until

    def _until(self, pending: Sequence[tuple[int, int]]) -> float:
        room = TRACES_AT_ONCE * self.one_in
        for second, traces in pending:
            if room <= 0:
                return second
            room -= traces
        return LAST_SECOND

    def _reached(self, until: float, now: float) -> float:
        return min(until, math.floor(now) - 1)
