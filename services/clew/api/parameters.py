"""What requests have in common: the window of time, the page, and the reading that answers them."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from clew.api.problems import Problem
from clew.storage import Reader, Reading, Row

SECOND = 1_000_000_000
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = 0, 9_200_000_000 * SECOND  # what DateTime64(9) can hold, with room to add to it


@dataclass(frozen=True)
class Window:
    """Nanoseconds since the epoch: `start` is in it, `end` is not."""

    start: int
    end: int

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / SECOND

    @property
    def parameters(self) -> dict[str, str]:
        """As the queries' {start:DateTime64(9)} and {end:DateTime64(9)}."""
        return {"start": as_parameter(self.start), "end": as_parameter(self.end)}

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
    relative = re.fullmatch(r"(?:now)?-(\d{1,9})([smhdw])", text)
    if relative:
        return max(EARLIEST, now - int(relative[1]) * UNITS[relative[2]] * SECOND)
    # A '+' in a query string arrives as a space where it was not encoded.
    absolute = re.fullmatch(
        r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+\- ]\d\d:\d\d)", text
    )
    if absolute is None:
        raise Problem(
            400, f"{name}={text!r}: write an RFC 3339 time, now, or a time ago such as -15m"
        )
    zone = absolute[3].upper().replace(" ", "+")
    try:
        moment = datetime.fromisoformat(
            absolute[1].upper().replace(" ", "T") + zone.replace("Z", "+00:00")
        )
    except ValueError as error:
        raise Problem(400, f"{name}={text!r}: {error}") from error
    nanoseconds = (moment - EPOCH) // timedelta(seconds=1) * SECOND + int(
        (absolute[2] or "").ljust(9, "0")
    )
    if not EARLIEST <= nanoseconds <= LATEST:
        raise Problem(400, f"{name}={text!r}: a time between 1970 and 2261")
    return nanoseconds


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


def _read_cursor(cursor: str) -> dict[str, Any]:
    try:
        position = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        )
        inside = all(EARLIEST <= int(position[edge]) <= LATEST for edge in ("start", "end"))
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Problem(400, "cursor: send the next_cursor of the page before, as it was") from error
    if not inside:
        raise Problem(400, "cursor: send the next_cursor of the page before, as it was")
    return dict(position)


class Answer:
    """One request's reading of the database, and the answer that comes of it."""

    def __init__(self, reading: Reading, explain: bool) -> None:
        self._reading = reading
        self._explain = explain

    def rows(self, query: str, filters: str = "", **parameters: Any) -> list[Row]:
        return self._reading.rows(query, filters, **parameters)

    def row(self, query: str, **parameters: Any) -> Row | None:
        return next(iter(self.rows(query, **parameters)), None)

    def of(self, **members: Any) -> dict[str, Any]:
        """The answer's document, with the statements that produced it where they were asked for."""
        return members | ({"sql": self._reading.statements} if self._explain else {})


def answer(
    request: Request,
    explain: Annotated[bool, Query(description="add the SQL that produced the answer")] = False,
) -> Answer:
    reader: Reader = request.app.state.reader
    return Answer(reader.begin(), explain)


def page(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], bool]:
    """The rows of this page, of `limit` + 1 that were asked for, and whether there are more."""
    return rows[:limit], len(rows) > limit


CommonParameters = Annotated[Common, Depends(common)]
Answering = Annotated[Answer, Depends(answer)]
