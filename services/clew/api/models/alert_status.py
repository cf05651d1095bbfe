"""How the judging of alerts itself is."""

from __future__ import annotations

from clew.api.models.common import Count, StoredResponse, Time
from clew.api.reference import Model


class RuleError(Model):
    """A rule that cannot be judged."""

    rule: str
    """Name of the rule."""
    error: str
    """Why."""


class UnwatchedSeries(Model):
    """A series that is not compared with its past."""

    kind: str
    """transaction, defined, operation, service, dependency or process."""
    labels: dict[str, str]
    """Its names, as rules select it."""
    requests: float
    """Requests of four weeks; of processes, slots of five minutes."""
    why: str
    """Why it is not watched."""


class Watched(Model):
    """How many series are compared with their own past. Learned every six hours."""

    limit: Count
    """How many may be (--watch-limit)."""
    series: Count
    """How many are: those with the most value and requests."""
    learning: Count
    """How many of these have had too few requests to be judged yet."""
    unwatched: Count
    """How many more there are."""
    largest_unwatched: list[UnwatchedSeries]
    """The first of these, those with the most value and requests first."""


class AlertStatus(StoredResponse):
    """Whether alerts are judged and told."""

    ok: bool
    """Whether nothing of this is wrong."""
    problems: list[str]
    """What is wrong, in words; empty if nothing is."""
    judged_until: Time | None
    """The end of the last minute that was judged; null if none was."""
    lag_ms: float | None
    """How long ago that is. Minutes are judged 30 s after their end."""
    rules_in_error: list[RuleError]
    """Rules that cannot be judged now."""
    outbox: Count
    """How many messages wait for a receiver to take them."""
    outbox_age_ms: float
    """How long the oldest of them has waited."""
    watched: Watched | None
    """Which series are compared with their past; null before the first hour is over."""
