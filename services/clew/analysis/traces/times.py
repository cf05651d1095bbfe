"""Times as the settler's statements take them."""

from __future__ import annotations

from datetime import UTC, datetime

HOUR = 3600  # seconds
EARLIEST, LATEST = "1900-01-01 00:00:00", "2262-04-11 00:00:00"  # of a DateTime64(9)
LAST_SECOND = (1 << 32) - 1  # of a DateTime


def second_of(seconds: float) -> str:
    """The text of a DateTime, from seconds since 1970; times that it cannot hold become the nearest
    that it can."""
    return f"{datetime.fromtimestamp(min(max(seconds, 0), LAST_SECOND), UTC):%Y-%m-%d %H:%M:%S}"


def moment_of(seconds: float) -> str:
    """The text of a DateTime64(3), from seconds since 1970."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
