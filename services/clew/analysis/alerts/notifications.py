"""What people are told of an alert."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from clew.analysis.alerts.states import Transition


@dataclass(frozen=True)
class Notification:
    """One transition of one alert. `alert`: the id of the alert, which is that of its rule and
    labels; `episode`: the number of the episode; `at`: when the transition happened, and
    `firing_since` when the episode began, in seconds since 1970.

    `headline`: one line; `explanation`: value, expected, band and the other numbers, as texts by
    name; `url`: the alert's page."""

    alert: str
    episode: int
    transition: Transition
    at: float
    firing_since: float
    rule: str
    severity: str
    labels: Mapping[str, str]
    headline: str
    explanation: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    url: str = ""
    runbook: str = ""

    @property
    def is_resolved(self) -> bool:
        """Whether it says that the alert is over."""
        return self.transition is Transition.RESOLVED

    def key(self, receiver: str) -> str:
        """The idempotency key: the same whenever this transition is told to this receiver, 32 hex
        digits."""
        parts = (self.alert, str(self.episode), self.transition, repr(self.at), receiver)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
