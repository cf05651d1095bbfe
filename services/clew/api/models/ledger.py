"""The ledger."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clew.api.models.common import Count, Service, Time, WindowResponse
from clew.api.reference import Model


class ServiceAccount(Model):
    service: Service
    stored: Count
    """Number of items stored."""
    late: Count
    """Number of items stored whose own time is more than an hour from their receipt."""


class Account(Model):
    """Counts of items: spans, log records or data points. `received = stored + rejected +
    pending`."""

    received: Count
    """Number of items received."""
    stored: Count
    """Number of items stored in the tables."""
    rejected: Count
    """Number of items rejected."""
    pending: Count
    """Number of items that are on disk and not in the tables yet."""
    late: Count
    """Number of items stored whose own time is more than an hour from their receipt."""
    mended: Count
    """Number of items received and changed: odd text replaced, a missing time set, or the invalid
    ids of a log record removed."""
    redacted: Count
    """Number of items received from which secrets were removed."""
    unreadable_requests: Count
    """Number of requests that could not be parsed; their items cannot be counted."""
    refused_requests: Count
    """Number of requests that were refused; their senders were told to retry later."""
    reasons: dict[str, Count]
    """Number of items rejected, by reason."""
    services: list[ServiceAccount]
    """Items stored, by service."""


class MinuteAccount(Account):
    """The account of one minute."""

    time: Time
    """Start of the minute."""


class SignalAccount(Account):
    """The account of one signal."""

    signal: Literal["traces", "logs", "metrics"]
    """The signal."""
    series: list[MinuteAccount]
    """The account by minute."""


class Expired(Model):
    """A partition (a day of a table) that was dropped to keep the database below its limit."""

    time: str = Field(examples=["2026-11-22T10:00:00Z"])
    """Time when it was dropped."""
    table: str
    """Name of the table."""
    partition: str
    """Name of the partition."""
    rows: Count
    """Number of rows dropped."""
    bytes: Count
    """Size on disk, in bytes."""
    reason: str
    """Why it was dropped."""


class Outage(Model):
    """A time during which no collector ran."""

    start: Time
    """End of the last minute in which a collector ran."""
    end: Time
    """Start of the first minute in which one ran again, or the end of the window."""


class Ledger(WindowResponse):
    signals: list[SignalAccount]
    """The account of each signal."""
    unreadable_requests: Count
    """Number of requests that could not be parsed, over all signals."""
    expired: list[Expired]
    """Partitions that were dropped in the window."""
    outages: list[Outage]
    """Times in the window during which no collector ran."""
