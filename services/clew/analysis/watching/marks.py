"""Times that baselines leave out, and changes that people have accepted.

While an alert of a series fires, the series is not as usual, so its baseline does not learn from
it, for a day at most: what lasts longer is usual. Nor does it learn from maintenance. It does from
what people called noise. A change that somebody has accepted is usual at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from clew.analysis import queries
from clew.analysis.alerts.rules import Maintenance
from clew.analysis.alerts.windows import parse_every, zone_of
from clew.analysis.traces.times import HOUR, datetime_text
from clew.storage.statements import Statements

MAX_EPISODES = 10_000
MAX_EXCLUDED = 86_400.0  # seconds of an episode
BEFORE_ALERT = 900.0  # seconds in which what an alert is about may have begun

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Mark:
    """Of one series. `excluded`: half-open intervals; `accepted`: since when its newest accepted
    change is there, 0 if there is none. Seconds since 1970."""

    excluded: tuple[tuple[float, float], ...] = ()
    accepted: float = 0.0


UNMARKED = Mark()


@dataclass(frozen=True)
class Marks:
    """Of all series, by what alerts say of them."""

    start: float
    end: float
    episodes: Sequence[queries.WatchMarksRow] = ()
    maintenance: Sequence[Maintenance] = ()
    zone: str = "UTC"

    @property
    def accepted(self) -> frozenset[tuple[str, int]]:
        """The alerts and episodes whose changes were accepted."""
        return frozenset(
            (row["alert"], row["episode"]) for row in self.episodes if row["feedback"] == "accepted"
        )

    def by_series(self, labels: Mapping[int, Labels]) -> dict[int, Mark]:
        """The marks of some series, by id. `labels`: theirs, by id."""
        by_labels: dict[frozenset[tuple[str, str]], list[queries.WatchMarksRow]] = {}
        for row in self.episodes:
            plain = {name: text for name, text in row["labels"].items() if name != "measure"}
            by_labels.setdefault(frozenset(plain.items()), []).append(row)
        marks = {}
        for id, names in labels.items():
            rows = by_labels.get(frozenset(names.items()), [])
            mark = Mark((*_excluded(rows, self.end), *self._windows(names)), _accepted(rows))
            if mark != UNMARKED:
                marks[id] = mark
        return marks

    def _windows(self, labels: Labels) -> Iterable[tuple[float, float]]:
        """The maintenance of a series."""
        first = datetime.fromtimestamp(self.start, UTC).date()
        days = int((self.end - self.start) // 86_400) + 2
        for window in self.maintenance:
            if window.match.matches(labels):
                zone = zone_of(window.zone or self.zone)
                yield from parse_every(window.every).intervals(first, days, zone)


def read_marks(
    statements: Statements,
    start: float,
    end: float,
    maintenance: Sequence[Maintenance] = (),
    zone: str = "UTC",
) -> Marks:
    """What is marked in [start, end), in seconds since 1970. Raises StorageError."""
    rows = statements.rows(
        queries.WATCH_MARKS,
        start=datetime_text(start),
        end=datetime_text(end),
        limit=MAX_EPISODES,
    )
    return Marks(start, end, rows, maintenance, zone)


def _excluded(rows: Iterable[queries.WatchMarksRow], now: float) -> Iterable[tuple[float, float]]:
    """Whole hours of the episodes that were neither noise nor accepted."""
    for row in rows:
        if row["feedback"] not in ("noise", "accepted"):
            start = (_began(row) - BEFORE_ALERT) // HOUR * HOUR
            yield start, min(row["until"] or now, start + MAX_EXCLUDED)


def _accepted(rows: Iterable[queries.WatchMarksRow]) -> float:
    return max((_began(row) for row in rows if row["feedback"] == "accepted"), default=0.0)


def _began(row: queries.WatchMarksRow) -> float:
    """When what an alert is about began."""
    if row["changed"]:
        return min(datetime.fromisoformat(row["changed"]).timestamp(), row["since"])
    return row["since"]
