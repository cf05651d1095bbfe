"""Parameters that reads share: the window of time, the environment, the page; and times in each of
their forms."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, TypedDict, TypeVar

from fastapi import Depends, Query

from clew.api.problems import Problem

T = TypeVar("T")

SECOND = 1_000_000_000
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Tables have keys in seconds of 32 bits; this leaves room to add to a time.
EARLIEST, LATEST = 0, 4_294_900_000 * SECOND
RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+\- ]\d\d:\d\d)", re.ASCII
)
WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?", re.ASCII)
EPOCH_TIME = re.compile(r"(\d{1,19})(?:\.(\d{1,9})\d*)?", re.ASCII)
# Units of epoch times, in nanoseconds, and the numbers from which the next unit is meant. Seconds
# below 1e11 reach to the year 5138; milliseconds from 1e11 on begin in 1973.
EPOCH_UNITS = ((10**11, SECOND), (10**14, 10**6), (10**17, 1000), (10**19, 1))
TIME_FORMS = (
    "write an RFC 3339 time (without a zone it is UTC), epoch seconds, milliseconds, microseconds "
    "or nanoseconds, now, or a relative time such as -15m"
)
DEFAULT_START = "-1h"
ANY_TIME = {"start": "1900-01-01 00:00:00", "end": "2262-04-11 23:47:16.854775807"}


@dataclass(frozen=True)
class Window:
    """An interval of time, in nanoseconds since 1970: `start` is part of it, `end` is not."""

    start: int
    end: int

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / SECOND

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters {start:DateTime64(9)} and {end:DateTime64(9)} of queries."""
        return {"start": sql_time(self.start), "end": sql_time(self.end)}

    @property
    def rollup_parameters(self) -> dict[str, Any]:
        """The window's whole minutes and hours, which queries read from rollups: parameters
        `first_minute`, `last_minute`, `first_hour`, `last_hour`. The last one is not part of the
        window; if there is no whole minute or hour, the first is equal to the last or later."""
        return {
            f"{edge}_{unit}": sql_time(nanoseconds)[:19]
            for unit, length in (("minute", 60 * SECOND), ("hour", 3600 * SECOND))
            for edge, nanoseconds in (
                ("first", -(-self.start // length) * length),
                ("last", self.end // length * length),
            )
        }

    @property
    def has_whole_hours(self) -> bool:
        length = 3600 * SECOND
        return -(-self.start // length) < self.end // length

    def starts(self, step: int) -> range:
        """The starts of the steps of so many seconds that the window touches, in nanoseconds:
        multiples of the step. The first may lie before the window."""
        length = step * SECOND
        return range(self.start // length * length, self.end, length)

    def step_for(self, points: int, shortest: int = 1) -> int:
        """Seconds of a step, `shortest` or more, of which the window touches at most `points`: one
        of STEPS, or whole days."""
        for step in STEPS:
            if step >= shortest and len(self.starts(step)) <= points:
                return step
        days = 2
        while len(self.starts(days * 86400)) > max(points, 2):
            days *= 2
        return days * 86400

    @property
    def step(self) -> int:
        """Seconds between two points of a series: whole minutes, at most about 120 points."""
        for step in (60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200):
            if self.seconds / step <= 120:
                return step
        return 86400


@dataclass(frozen=True)
class CommonParameters:
    """A read's window, environment and page. `position`: where the previous page ended, as its
    cursor says; empty on the first page. `ends_now`: the window's end was `now`
    when the first page was read."""

    window: Window
    environment: str | None
    limit: int
    position: dict[str, Any] = field(default_factory=dict)
    ends_now: bool = False

    def next_cursor(self, **position: Any) -> str:
        """The cursor of the next page. It contains the window, so that relative times do not move
        from page to page."""
        members = {"start": self.window.start, "end": self.window.end, **position}
        if self.ends_now:
            members["ends_now"] = True
        return base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")


def common_parameters(
    environment: Annotated[
        str | None, Query(description="Only data with this `deployment.environment.name`.")
    ] = None,
    start: Annotated[
        str,
        Query(
            description="Start of the window: RFC 3339 (without a zone: UTC), epoch seconds, "
            "milliseconds, microseconds or nanoseconds, or relative to now such as `-15m`. "
            "`-1h` of a window that ends earlier is the hour before its end."
        ),
    ] = DEFAULT_START,
    end: Annotated[
        str,
        Query(
            description="End of the window, written as `start`. `now` is rounded up, by at most "
            "0.3 % of the window."
        ),
    ] = "now",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the previous page. It also contains its window."),
    ] = None,
) -> CommonParameters:
    position = _read_cursor(cursor) if cursor else {}
    ends_now = position.pop("ends_now", False) if cursor else end == "now"
    if position:
        window = Window(position.pop("start"), position.pop("end"))
    else:
        now = time.time_ns()
        if ends_now:
            now = _rounded_up(now, parse_time(start, now, "start"))
        window = Window(parse_time(start, now, "start"), parse_time(end, now, "end"))
        if start == DEFAULT_START and window.end <= window.start:
            window = Window(max(0, window.end - 3600 * SECOND), window.end)
    if window.start >= window.end:
        raise Problem(400, "start is not before end")
    return CommonParameters(window, environment, limit, position, ends_now)


def _rounded_up(now: int, start: int) -> int:
    """The end of a window that ends now: so little later, at most 0.3 % of the window and a minute,
    that who asks every few seconds asks for the same window a few times, whose answer is known if
    nothing new was stored."""
    longest = min((now - start) // 360, 60 * SECOND)
    step = max((step for step in STEPS if step * SECOND <= longest), default=0) * SECOND
    return -(-now // step) * step if step else now


def parse_time(text: str, now: int, name: str) -> int:
    """Nanoseconds since 1970, from `now`, `-15m`, `now-1h`, an RFC 3339 time (without a zone: UTC)
    or an epoch time. `name`: the parameter that an error names. Raises Problem 400."""
    if text == "now":
        return now
    relative = re.fullmatch(r"(?:now)?-(\d{1,9})([smhdw])", text, re.ASCII)
    if relative:
        return max(EARLIEST, now - int(relative[1]) * UNITS[relative[2]] * SECOND)
    epoch = EPOCH_TIME.fullmatch(text)
    try:
        if epoch:
            nanoseconds = _epoch_nanoseconds(int(epoch[1]), epoch[2] or "")
        else:
            nanoseconds = read_rfc3339(text + "Z" if WITHOUT_ZONE.fullmatch(text) else text)
    except ValueError as error:
        raise Problem(400, f"{name}={text!r}: {error}") from error
    if not EARLIEST <= nanoseconds <= LATEST:
        raise Problem(400, f"{name}={text!r}: write a time between 1970 and 2106")
    return nanoseconds


def _epoch_nanoseconds(number: int, decimals: str) -> int:
    """Nanoseconds since 1970, from a number and its decimals. Its size says what unit it has."""
    unit = next(nanoseconds for limit, nanoseconds in EPOCH_UNITS if number < limit)
    return number * unit + int(decimals.ljust(9, "0")) * unit // SECOND


def read_rfc3339(text: str) -> int:
    """Nanoseconds since 1970; digits after the ninth are ignored. Raises ValueError."""
    # An unencoded '+' in a query string arrives as a space.
    parts = RFC3339.fullmatch(text)
    if parts is None:
        raise ValueError(TIME_FORMS)
    clock, fraction, zone = parts[1].upper(), parts[2] or "", parts[3].upper().replace(" ", "+")
    moment = datetime.fromisoformat(clock.replace(" ", "T") + zone.replace("Z", "+00:00"))
    return (moment - EPOCH) // timedelta(seconds=1) * SECOND + int(fraction.ljust(9, "0"))


def sql_time(nanoseconds: int) -> str:
    """A time as a parameter of a query: `2026-01-31 23:59:59.123456789`, in UTC."""
    seconds, fraction = divmod(nanoseconds, SECOND)
    return f"{_clock(seconds)}.{fraction:09}"


@lru_cache(4096)  # the points of all series of an answer have the same times
def _clock(seconds: int) -> str:
    return f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"


def rfc3339(nanoseconds: int) -> str:
    """`2026-01-31T23:59:59.123456789Z`."""
    return sql_time(nanoseconds).replace(" ", "T") + "Z"


def rfc3339_of_seconds(seconds: float) -> str:
    """The same, from seconds since 1970, to the millisecond."""
    return rfc3339(round(seconds * 1000) * (SECOND // 1000))


def sql_time_from_rfc3339(text: str) -> str:
    """A parameter of a query, from a time that a query returned."""
    return text.replace("T", " ").removesuffix("Z")


def full_trace_id(text: str) -> str:
    """A trace id as it is stored: in lower case, a 64-bit one with its leading zeros."""
    return text.lower().zfill(32)


class Extent(TypedDict):
    """A row with a start and an end, both RFC 3339."""

    start: str
    end: str


def extent_parameters(traces: Collection[Extent], margin: int = 0) -> dict[str, Any]:
    """The parameters `start` and `end` of queries: from the first start to the last end, with
    `margin` nanoseconds more on both sides; see `time_range`."""
    start = min(read_rfc3339(trace["start"]) for trace in traces) - margin
    end = max(read_rfc3339(trace["end"]) for trace in traces) + margin
    return time_range(start, end)


def time_range(start: int, end: int) -> dict[str, Any]:
    """The parameters `start` and `end` of queries, from nanoseconds since 1970. ANY_TIME if a clock
    was so wrong that they lie outside the range of the tables' keys."""
    if start < EARLIEST or end > LATEST:
        return ANY_TIME
    return Window(start, end).parameters


def covering_window(traces: Collection[Extent], margin: int = 0) -> Window:
    """The window from the first start to the last end, both part of it, with `margin` nanoseconds
    more on both sides. Never larger than what requests may ask for."""
    start = min(read_rfc3339(trace["start"]) for trace in traces) - margin
    end = max(read_rfc3339(trace["end"]) for trace in traces) + margin
    return Window(EARLIEST, LATEST) if start < EARLIEST or end > LATEST else Window(start, end + 1)


BAD_CURSOR = "cursor: send the next_cursor of the previous page, unchanged"
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9}", re.ASCII)


def _is_time(value: Any) -> bool:
    return type(value) is int and EARLIEST <= value <= LATEST


# The members that a cursor may have, with a check of each: clients can change a cursor.
CURSOR_MEMBERS: dict[str, Callable[[Any], bool]] = {
    "start": _is_time,
    "end": _is_time,
    "ends_now": lambda value: value is True,
    "time": lambda value: type(value) is str and TIME.fullmatch(value) is not None,
    "count": lambda value: type(value) is int and 0 <= value < 2**64,
    "id": lambda value: type(value) is str,
    "sequence": lambda value: type(value) is str,
    "sort": lambda value: type(value) is str,
    "value": lambda value: (
        value is None
        or type(value) in (int, str)
        or (type(value) is float and math.isfinite(value))
    ),
}


def _read_cursor(cursor: str) -> dict[str, Any]:
    try:
        position = dict(
            json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
        )
        is_valid = {"start", "end"} <= position.keys() and all(
            CURSOR_MEMBERS[name](value) for name, value in position.items()
        )
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Problem(400, BAD_CURSOR) from error
    if not is_valid:
        raise Problem(400, BAD_CURSOR)
    return position


def split_page(rows: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """The rows of one page, and whether there are more; `rows` are `limit` + 1 at most."""
    return rows[:limit], len(rows) > limit


CommonDependency = Annotated[CommonParameters, Depends(common_parameters)]
