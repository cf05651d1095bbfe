"""Traces that are known to have a root span, so that looking for those without one costs little."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.api.parameters import SECOND, Window, sql_time
from clew.storage import queries

if TYPE_CHECKING:
    from clew.api.answer import Answer

MAX_TRACES = 20_000  # ids that are remembered: 2 MB
MAX_ROOTLESS = 10_000  # traces that are looked at one by one for a root
MANY = 1000  # rows of such traces, which are not looked at again; fewer are found in no time
MAX_AGE = 600.0  # seconds; retention may have removed a root since
AHEAD = 900 * SECOND  # of now, up to which traces are looked at; what is known is forgotten sooner
VISIBLE_WITHIN = 600  # seconds after its InsertedAt, within which a row can be read


@dataclass(frozen=True)
class Known:
    """Every trace whose entry lies in `window` and that could be read at `at`, in seconds since
    1970, has a root."""

    window: Window
    at: int


class RootedTraces:
    """Remembers traces that have a root span: a trace that has one keeps it, whatever comes late.

    Rows of a trace that are not merged yet look as if it had no root, in every segment but one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._known: Known | None = None
        self._are_some_rootless = False  # when many were last compared
        self._since = time.monotonic()

    def unknown(self, trace_ids: set[str]) -> set[str]:
        """Those of the traces that are not known to have a root."""
        with self._lock:
            self._forget_what_is_old()
            return trace_ids - self._ids

    def add(self, trace_ids: set[str]) -> None:
        with self._lock:
            if len(self._ids) + len(trace_ids) > MAX_TRACES:
                self._ids = set()
            self._ids |= trace_ids

    def known(self, window: Window) -> Known | None:
        """What is known of all traces whose entry lies in the window."""
        with self._lock:
            self._forget_what_is_old()
            known = self._known
            if known is None:
                return None
            is_within = known.window.start <= window.start and window.end <= known.window.end
            return known if is_within else None

    def add_window(self, window: Window, at: int) -> None:
        """All traces of the window that could be read at `at` have a root. What is known of one
        that is as long stays."""
        with self._lock:
            if self._known is None or window.seconds > self._known.window.seconds:
                self._known = Known(window, at)

    def may_compare_many(self) -> bool:
        """Whether it is worth the time: where some traces never get a root it is not."""
        with self._lock:
            self._forget_what_is_old()
            return not self._are_some_rootless

    def add_rootless(self) -> None:
        """Some of many have no root."""
        with self._lock:
            self._are_some_rootless = True

    def _forget_what_is_old(self) -> None:
        if time.monotonic() - self._since > MAX_AGE:
            self._ids, self._known, self._are_some_rootless = set(), None, False
            self._since = time.monotonic()


def may_have_rootless(answer: Answer, window: Window) -> bool:
    """Whether a trace without a root span may have its entry in the window. False is certain."""
    rooted_traces, now = answer.rooted_traces, int(time.time())
    known = rooted_traces.known(window)
    if known is not None:
        looked_at, since = Window(window.start, known.window.end), known.at - VISIBLE_WITHIN
    else:  # and a little further, so that what is asked next is known
        until = now * SECOND + AHEAD
        is_recent = now * SECOND - AHEAD < window.end < until
        looked_at, since = Window(window.start, until if is_recent else window.end), 0
    parameters = looked_at.parameters | {"inserted_since": sql_time(max(since, 0) * SECOND)[:19]}
    rows = answer.rows(queries.ROOTLESS, **parameters, limit=MAX_ROOTLESS + 1)
    if len(rows) > MAX_ROOTLESS:
        if rooted_traces.may_compare_many():
            if not answer.rows(queries.UNROOTED, **parameters):
                rooted_traces.add_window(looked_at, now)
                return False
            rooted_traces.add_rootless()
        return True
    unknown = rooted_traces.unknown({row["trace_id"] for row in rows})
    if unknown:
        rooted = {row["trace_id"] for row in answer.rows(queries.ROOTED, trace_ids=sorted(unknown))}
        rooted_traces.add(rooted)
        if rooted != unknown:
            return True
    if len(rows) >= MANY:
        rooted_traces.add_window(looked_at, now)
    return False
