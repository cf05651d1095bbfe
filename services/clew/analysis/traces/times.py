"""Times as text for the parameters of the settler's statements."""

from __future__ import annotations

from datetime import UTC, datetime

HOUR = 3600  # seconds
EARLIEST, LATEST = "1900-01-01 00:00:00", "2262-04-11 00:00:00"  # of a DateTime64(9)
LAST_SECOND = (1 << 32) - 1  # of a DateTime


def datetime_text(seconds: float) -> str:
    """A DateTime as text, from seconds since 1970. A time outside its range becomes the nearest one
    within."""
    return f"{datetime.fromtimestamp(min(max(seconds, 0), LAST_SECOND), UTC):%Y-%m-%d %H:%M:%S}"


def datetime64_text(seconds: float) -> str:
    """A DateTime64(3) as text, from seconds since 1970."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def milliseconds(seconds: float) -> int:
    """Seconds in whole milliseconds, as a DateTime64(3) has them."""
    return round(seconds * 1000)
