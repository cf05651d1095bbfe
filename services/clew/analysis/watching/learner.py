"""Keeps what tests need at hand: the last minutes, the hours, and what is usual.

Each hour, once it is over, its rows in clew_watch_1h are computed (and those of the hours before
again, for late rows), and the hourly tests run. Every six hours all of it is learned anew; every
hour while less than three days are known.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from clew.analysis import queries
from clew.analysis.alerts.rules import Rules
from clew.analysis.detectors.levels import LEVELS as PROCESS_LEVELS
from clew.analysis.traces.times import HOUR
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching import learned
from clew.analysis.watching.coverage import SHOWN, Coverage, Unwatched, read_coverage
from clew.analysis.watching.deployments import read_deployments
from clew.analysis.watching.learned import Learned, join, learn
from clew.analysis.watching.marks import Marks, read_marks
from clew.analysis.watching.minutes import Usual, slow_limits
from clew.analysis.watching.processes import Processes, learn_processes
from clew.analysis.watching.recent import Recent
from clew.analysis.watching.series import MINUTE, Slot, WatchedSeries
from clew.analysis.watching.shifts import HOURS, Shifted
from clew.analysis.watching.versions import compare_versions
from clew.storage.statements import Statements

logger = logging.getLogger(__name__)

LEARN_EVERY = 6 * HOUR
FILLED_AGAIN = 3  # hours before the one that is over
BEGIN_MINUTES = 125  # that are read at the start: traffic is judged over 120
LIMIT = 2000  # series; those with the most requests are judged
BATCH = 100  # series that are learned at a time


class Learner:
    """For one thread. `limit`: how many series are judged. Raises StorageError."""

    def __init__(self, statements: Statements, watched: WatchedSeries, limit: int = LIMIT) -> None:
        self.learned: Learned | None = None
        self.shifted: Shifted | None = None
        self.processes: Processes | None = None
        self._statements = statements
        self._watched = watched
        self._limit = limit
        self._coverage: Coverage | None = None
        self._recent = Recent()
        self._learned_at = 0
        self._zone = "UTC"
        self._accepted: frozenset[tuple[str, int]] = frozenset()
        self._began = 0.0  # the first minute of which silence is known
        self._hour = 0  # the end of the last hour that is filled

    def prepare(self, at: float, rules: Rules, definitions: Sequence[Definition] = ()) -> None:
        """Have everything at hand to judge the minute that ends at `at`."""
        hour, zone = int(at) // HOUR * HOUR, rules.zone
        if hour <= self._hour and zone == self._zone:
            return
        is_first = self._hour == 0
        start = self._first_missing(hour) if is_first else hour - FILLED_AGAIN * HOUR
        self._watched.fill_hours(start, hour, int(at * 1e9))
        self._hour = hour
        marks = read_marks(
            self._statements, hour - learned.HOURS * HOUR, hour, rules.maintenance, zone
        )
        is_young = self.learned is None or self.learned.is_young
        is_due = hour - self._learned_at >= (HOUR if is_young else LEARN_EVERY)
        if is_due or zone != self._zone or marks.accepted != self._accepted:
            self._say(self._learn(hour, zone, marks, definitions), int(at * 1e9))
        if self.learned is not None:
            histories = self._watched.history(
                hour - HOURS * HOUR, hour, learned.LEVELS, self.learned.places
            )
            if histories:
                deployments = read_deployments(self._statements, hour - HOURS * HOUR, hour)
                versions = compare_versions(self._statements, self.learned, deployments, hour)
                self.shifted = Shifted.compare(self.learned, histories, deployments, versions)
        if is_first and self.learned is not None:
            since = at - BEGIN_MINUTES * MINUTE
            self.add(since, at, self._watched.slots(since, at))

    def add(self, start: float, end: float, slots: Sequence[Slot]) -> None:
        """What the series did in the minutes of [start, end). Of a minute without any request,
        from before this began, nothing is known: clew may not have run."""
        if self.learned is None:
            return
        self._began = self._began or end - MINUTE
        begin = max(start, self._began)
        early = [slot for slot in slots if slot.at < begin]
        for at, together in groupby(early, key=attrgetter("at")):
            self._count(at, at + MINUTE, list(together))
        self._count(begin, end, [slot for slot in slots if slot.at >= begin])

    def usual(self, at: float) -> Usual | None:
        """The tests of the minute that ends at `at`; None while nothing is learned."""
        return None if self.learned is None else Usual(at, self.learned, self._recent)

    def _count(self, start: float, end: float, slots: Sequence[Slot]) -> None:
        assert self.learned is not None
        self._recent.add(start, end, slots, slow_limits(self.learned, start, end))

    def _learn(
        self, hour: int, zone: str, marks: Marks, definitions: Sequence[Definition]
    ) -> Coverage:
        start = hour - learned.HOURS * HOUR
        names = {definition.id: definition.name for definition in definitions}
        largest = self._watched.largest(start, hour, self._limit + SHOWN)
        chosen, others = largest[: self._limit], largest[self._limit :]
        ids = [one.series.id for one in chosen if one.series.kind != "process"]
        of_processes = [one.series.id for one in chosen if one.series.kind == "process"]
        self._learned_at, self._zone, self._accepted = hour, zone, marks.accepted
        self.processes = self._learn_processes(start, hour, of_processes, marks)
        self._learn_requests(start, hour, ids, marks, names)
        judged = 0 if self.learned is None else int(self.learned.is_judged.sum())
        if self.processes is not None:
            judged += sum(map(self.processes.is_judged, range(len(of_processes))))
        return Coverage(
            limit=self._limit,
            watched=len(chosen),
            learning=len(chosen) - judged,
            unwatched=largest[0].total - len(chosen) if largest else 0,
            largest=[
                Unwatched(one.series.kind, one.series.named(names).labels, one.requests)
                for one in others
            ],
        )

    def _say(self, coverage: Coverage, version: int) -> None:
        """Store what is watched, if that is news. `version`: greater than that of any before."""
        if self._coverage is None:
            self._coverage = read_coverage(self._statements)
        before = self._coverage.unwatched if self._coverage is not None else 0
        if coverage.unwatched != before:
            logger.warning("%d series are beyond --watch-limit, not watched", coverage.unwatched)
        if coverage != self._coverage:
            coverage.store(self._statements, version)
        self._coverage = coverage

    def _learn_requests(
        self, start: int, hour: int, ids: Sequence[int], marks: Marks, names: Mapping[str, str]
    ) -> None:
        if not ids:
            return
        parts, received = [], None
        for batch in _batches(ids):
            histories = self._watched.history(start, hour, learned.LEVELS, batch)
            if received is None:  # the largest series come first
                received = learned.hours_with_requests(histories)
            labels = {one.series.id: one.series.named(names).labels for one in histories}
            parts.append(learn(histories, self._zone, received, marks.by_series(labels)))
        self.learned = join(parts)
        followed = self.learned.series
        self._recent.follow(
            [series.id for series in followed],
            [followed[place].id for place in self.learned.valued],
        )

    def _learn_processes(
        self, start: int, hour: int, ids: Sequence[int], marks: Marks
    ) -> Processes | None:
        histories = self._watched.history(start, hour, PROCESS_LEVELS, ids) if ids else []
        if not histories:
            return None
        labels = {one.series.id: one.series.labels for one in histories}
        return learn_processes(histories, self._zone, marks.by_series(labels))

    def _first_missing(self, hour: int) -> int:
        """The hour from which on hours are to be filled: after those that are there, four weeks at
        most, and not before there were spans."""
        (row,) = self._statements.rows(queries.WATCH_FILLED)
        first = max(hour - learned.HOURS * HOUR, row["until"] - FILLED_AGAIN * HOUR)
        return max(first, row["oldest"]) if row["oldest"] else hour


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
