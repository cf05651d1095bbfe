"""What requests have in common: the window of time, the page, and the reading that answers them."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypedDict, TypeVar

from fastapi import Depends, Query

from clew.api.problems import Problem

T = TypeVar("T")

SECOND = 1_000_000_000
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Tables are kept by the second, in 32 bits; with room to add to it.
EARLIEST, LATEST = 0, 4_294_900_000 * SECOND
RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+\- ]\d\d:\d\d)", re.ASCII
)
ANY_TIME = {"start": "1900-01-01 00:00:00", "end": "2262-04-11 23:47:16.854775807"}


@dataclass(frozen=True)
class Window:
    """Nanoseconds since the epoch: `start` is in it, `end` is not."""

    start: int
    end: int

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / SECOND

    @property
    def parameters(self) -> dict[str, Any]:
        """As the queries' {start:DateTime64(9)} and {end:DateTime64(9)}."""
        return {"start": as_parameter(self.start), "end": as_parameter(self.end)}

    @property
    def rollup(self) -> dict[str, Any]:
        """The whole hours and minutes of it, as the rollups' queries have them: from the first
        on, up to but without the last. Where there is no whole one, the first is not before it."""
        return {
            f"{edge}_{name}": as_parameter(nanoseconds)[:19]
            for name, long in (("minute", 60 * SECOND), ("hour", 3600 * SECOND))
            for edge, nanoseconds in (
                ("first", -(-self.start // long) * long),
                ("last", self.end // long * long),
            )
        }

    @property
    def step(self) -> int:
        """Seconds between two points of a series: whole minutes, at most about 120 points."""
        for step in (60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200):
            if self.seconds / step <= 120:
                return step
        return 86400


@dataclass(frozen=True)
class Common:
    """A read's window, environment and page."""

    window: Window
    environment: str | None
    limit: int
    after: dict[str, Any] = field(default_factory=dict)

    def next_cursor(self, **after: Any) -> str:
        """Where the next page begins; the window is fixed in it, however it was asked for."""
        position = {"start": self.window.start, "end": self.window.end, **after}
        return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def common(
    environment: Annotated[str | None, Query(description="deployment.environment.name")] = None,
    start: Annotated[str, Query(description="RFC 3339, or relative such as -15m")] = "-1h",
    end: Annotated[str, Query(description="RFC 3339, or relative, or now")] = "now",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
) -> Common:
    after = _read_cursor(cursor) if cursor else {}
    if after:
        window = Window(after.pop("start"), after.pop("end"))
    else:
        now = time.time_ns()
        window = Window(parse_time(start, now, "start"), parse_time(end, now, "end"))
    if window.start >= window.end:
        raise Problem(400, "start is not before end")
    return Common(window, environment, limit, after)


def parse_time(text: str, now: int, name: str) -> int:
    """Nanoseconds since the epoch of `now`, `-15m`, `now-1h` or an RFC 3339 time."""
    if text == "now":
        return now
    relative = re.fullmatch(r"(?:now)?-(\d{1,9})([smhdw])", text, re.ASCII)
    if relative:
        return max(EARLIEST, now - int(relative[1]) * UNITS[relative[2]] * SECOND)
    try:
        nanoseconds = read_rfc3339(text)
    except ValueError as error:
        raise Problem(400, f"{name}={text!r}: {error}") from error
    if not EARLIEST <= nanoseconds <= LATEST:
        raise Problem(400, f"{name}={text!r}: write a time between 1970 and 2106")
    return nanoseconds


def read_rfc3339(text: str) -> int:
    """Nanoseconds since the epoch; digits after the ninth are cut off. Raises ValueError."""
    # A '+' in a query string arrives as a space where it was not encoded.
    parts = RFC3339.fullmatch(text)
    if parts is None:
        raise ValueError("write an RFC 3339 time, now, or a time ago such as -15m")
    clock, fraction, zone = parts[1].upper(), parts[2] or "", parts[3].upper().replace(" ", "+")
    moment = datetime.fromisoformat(clock.replace(" ", "T") + zone.replace("Z", "+00:00"))
    return (moment - EPOCH) // timedelta(seconds=1) * SECOND + int(fraction.ljust(9, "0"))


def as_parameter(nanoseconds: int) -> str:
    """`2026-01-31 23:59:59.123456789`, in UTC."""
    seconds, fraction = divmod(nanoseconds, SECOND)
    return f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}.{fraction:09}"


def rfc3339(nanoseconds: int) -> str:
    """`2026-01-31T23:59:59.123456789Z`."""
    return as_parameter(nanoseconds).replace(" ", "T") + "Z"


def time_parameter(text: str) -> str:
    """The query parameter for a time that a query returned."""
    return text.replace("T", " ").removesuffix("Z")


class Extent(TypedDict):
    """A row with a start and an end, both RFC 3339."""

    start: str
    end: str


def extent(traces: Collection[Extent], around: int = 0) -> dict[str, Any]:
    """As the queries' {start:DateTime64(9)} and {end:DateTime64(9)}: the time from the first start
    to the last end, and `around` nanoseconds more on both sides. All of time where a clock was off
    by decades: what lies past the tables' range is not found by its time."""
    start = min(read_rfc3339(trace["start"]) for trace in traces) - around
    end = max(read_rfc3339(trace["end"]) for trace in traces) + around
    if start < EARLIEST or end > LATEST:
        return ANY_TIME
    return Window(start, end).parameters


def window_of(traces: Collection[Extent], around: int = 0) -> Window:
    """The same as a window, with the last end in it, as far as times can be asked for."""
    start = min(read_rfc3339(trace["start"]) for trace in traces) - around
    end = max(read_rfc3339(trace["end"]) for trace in traces) + around
    return Window(EARLIEST, LATEST) if start < EARLIEST or end > LATEST else Window(start, end + 1)


SEND_AS_IT_WAS = "cursor: send the next_cursor of the page before, as it was"
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9}", re.ASCII)


def _is_time(value: Any) -> bool:
    return type(value) is int and EARLIEST <= value <= LATEST


# What may stand in a cursor: it comes back from outside, and is not taken on trust.
CURSOR: dict[str, Callable[[Any], bool]] = {
    "start": _is_time,
    "end": _is_time,
    "time": lambda value: type(value) is str and TIME.fullmatch(value) is not None,
    "count": lambda value: type(value) is int and 0 <= value < 2**64,
    "id": lambda value: type(value) is str,
    "sequence": lambda value: type(value) is str,
}


def _read_cursor(cursor: str) -> dict[str, Any]:
    try:
        position = dict(
            json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
        )
        sound = {"start", "end"} <= position.keys() and all(
            CURSOR[name](value) for name, value in position.items()
        )
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Problem(400, SEND_AS_IT_WAS) from error
    if not sound:
        raise Problem(400, SEND_AS_IT_WAS)
    return position


def page(rows: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """The rows of this page, of `limit` + 1 that were asked for, and whether there are more."""
    return rows[:limit], len(rows) > limit


CommonParameters = Annotated[Common, Depends(common)]
