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
