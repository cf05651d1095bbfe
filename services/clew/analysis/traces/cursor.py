"""Which traces the next pass of the settler settles."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clew.analysis.traces.settling import Sampling, Window
from clew.analysis.traces.times import LAST_SECOND

QUIET_SECONDS = 30  # without a new row, after which a trace is settled once more
PASS_TRACES = 40_000  # traces that one pass settles, approximately
MAX_ONE_IN = 64
# Seconds, and the traces that arrive in them while telemetry comes in faster than a backlog may be
# caught up with: 8,000 spans a second in traces of 8, a third of what a fifth of a core settles.
RECENT_SECONDS, RECENT_TRACES = 10, 10_000
SAMPLING_MEMORY = 3600  # seconds after sampling during which traces that it skipped stay skipped


class InsertCursor:
    """How far inserts are settled, by the second in which their rows were inserted.

    Rows become visible only when their insert ends, so passes overlap. `settled_up_to`: inserts up
    to here are settled. `oldest_possible`: no row older than this can still become visible; the
    next pass starts here. `quiet_up_to`: traces whose last row is older were settled once more.
    `newest`: the newest insert seen. All are seconds since 1970.

    `is_behind`: the last window did not take all pending traces. `is_catching_up`: nor do many
    traces arrive, so that inserts do not need the CPU. `one_in`: the share of the traces that is
    settled, see Window. `sampling`: the sampling before a restart, see Settling.sampling."""

    def __init__(self, start: float, sampling: Sampling | None = None) -> None:
        self.oldest_possible = self.settled_up_to = self.newest = start
        self.quiet_up_to = start - 2 * QUIET_SECONDS
        self.is_behind = self.is_catching_up = False
        self.one_in = 1
        self._backlog = math.inf
        self._sampling = sampling

    @property
    def is_quiet(self) -> bool:
        """Whether every trace was settled once more after it became quiet."""
        return self.quiet_up_to > self.newest

    def window(self, now: float, pending: Sequence[tuple[int, int]]) -> Window:
        """The window of the next pass. `pending`: seconds of insertion, ascending, each with the
        number of traces that got rows in it.

        The backlog grows when more traces arrive than are settled. Then the share of the traces
        that is settled is halved with every pass until the backlog shrinks."""
        if pending:
            self.newest = max(self.newest, pending[-1][0])
        until = self._end(pending)
        backlog = sum(traces for _, traces in pending)
        if self.is_behind and until < LAST_SECOND and backlog > self._backlog:
            self.one_in = min(2 * self.one_in, MAX_ONE_IN)
            until = self._end(pending)
        elif 4 * backlog < PASS_TRACES * self.one_in:
            self.one_in = max(1, self.one_in // 2)
        self.is_behind = until < LAST_SECOND
        recent = sum(traces for second, traces in pending if second > now - RECENT_SECONDS)
        self.is_catching_up = self.is_behind and recent < RECENT_TRACES
        self._backlog = backlog
        self._update_sampling(now)
        return Window(
            since=self.oldest_possible,
            until=until,
            quiet_since=self.quiet_up_to,
            quiet_until=max(self.quiet_up_to, self._settled_up_to(until, now) - QUIET_SECONDS),
            one_in=self.one_in,
            sampling=self._sampling,
            traces=backlog,
        )

    def advance(self, window: Window, now: float, oldest_insert: float) -> None:
        """Move on after a pass over `window`. `oldest_insert`: the start of the oldest insert that
        is running."""
        self.settled_up_to = self._settled_up_to(window.until, now)
        self.oldest_possible = min(self.settled_up_to, math.floor(oldest_insert) - 1)
        self.quiet_up_to = window.quiet_until

    def _end(self, pending: Sequence[tuple[int, int]]) -> float:
        """The end of the window: the second before which enough traces are pending for a pass."""
        remaining = PASS_TRACES * self.one_in
        for second, traces in pending:
            if remaining <= 0:
                return second
            remaining -= traces
        return LAST_SECOND

    def _update_sampling(self, now: float) -> None:
        if self.one_in > 1:
            before = self._sampling or Sampling(1, self.oldest_possible, now)
            self._sampling = Sampling(max(before.one_in, self.one_in), before.since, now)
        elif self._sampling and now > self._sampling.until + SAMPLING_MEMORY:
            self._sampling = None

    def _settled_up_to(self, until: float, now: float) -> float:
        return min(until, math.floor(now) - 1)
