"""Maintenance windows: times that come back every day or week, in a time zone, or once.

A window says when by `every: "Sun 02:00-04:00"`: days and the time between two hours. An end that
is not after the start is on the next day. Local times that a change of the clocks leaves out begin
or end a window at that change; of times that come twice, the first begins it, the second ends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EVERY = re.compile(
    r"(?:(?P<days>[A-Za-z,\- ]+?) +)?(?P<start>\d{1,2}:\d{2}) ?- ?(?P<end>\d{1,2}:\d{2})", re.ASCII
)


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone: write one such as Europe/Berlin") from error


@dataclass(frozen=True)
class Weekly:
    """Days of the week (0 is Monday), and minutes of the day. Where `end` is not after `start`, it
    is of the next day."""

    days: frozenset[int]
    start: int
    end: int

    def contains(self, at: float, zone: ZoneInfo) -> bool:
        """Whether a time lies in the window: start inclusive, end exclusive."""
        today = datetime.fromtimestamp(at, zone).date()
        return any(start <= at < end for start, end in self.intervals(today, 1, zone))

    def intervals(self, first: date, days: int, zone: ZoneInfo) -> Iterator[tuple[float, float]]:
        """Start and end of each window that begins on the day before `first`, or within the next
        so many days, as seconds since 1970."""
        for offset in range(-1, days):
            day = first + timedelta(days=offset)
            if day.weekday() in self.days:
                last_day = day + timedelta(days=int(self.end <= self.start))
                yield (
                    _timestamp(day, self.start, zone, fold=0),
                    _timestamp(last_day, self.end, zone, fold=1),
                )


def _timestamp(day: date, minute: int, zone: ZoneInfo, fold: int) -> float:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    local = midnight.replace(hour=0, fold=fold) + timedelta(minutes=minute)
    resolved = local.replace(fold=fold)
    utc = resolved.astimezone(UTC)
    # A time that the clocks skip: `fold` says whether the offset before or after the change counts.
    # The change itself lies between the two.
    if utc.astimezone(zone).replace(tzinfo=None) != resolved.replace(tzinfo=None):
        return _change_between(resolved, zone)
    return utc.timestamp()


def _change_between(skipped: datetime, zone: ZoneInfo) -> float:
    """The time at which the clocks skip over a local time."""
    before = skipped.replace(fold=1).astimezone(UTC)
    after = skipped.replace(fold=0).astimezone(UTC)
    offset = before.astimezone(zone).utcoffset()
    seconds, limit = before.timestamp(), after.timestamp()
    while limit - seconds > 1:
        middle = (seconds + limit) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            seconds = middle
        else:
            limit = middle
    return limit


def parse_every(text: str) -> Weekly:
    """Reads `Sun 02:00-04:00`, `Mon-Fri 22:00-06:00`, `Sat,Sun 00:00-24:00` or, for every day,
    `02:00-04:00`. Raises ValueError."""
    match = _EVERY.fullmatch(text.strip())
    if match is None:
        raise ValueError('write days and hours, such as "Sun 02:00-04:00" or "Mon-Fri 22:00-06:00"')
    start, end = _minute(match["start"]), _minute(match["end"])
    if start == 1440:
        raise ValueError("a window starts before 24:00")
    return Weekly(_days(match["days"] or "Mon-Sun"), start, end)


def _minute(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > 1440:
        raise ValueError(f"{text} is not a time of day: write 00:00 to 24:00")
    return hours * 60 + minutes


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        start, end = _day(first), _day(last or first)
        days.update(day % 7 for day in range(start, end + 1 if end >= start else end + 8))
    return frozenset(days)


def _day(text: str) -> int:
    name = text.capitalize()[:3]
    if name not in DAYS:
        raise ValueError(f"{text!r} is not a day of the week: write {', '.join(DAYS)}")
    return DAYS.index(name)
