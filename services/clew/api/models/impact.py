"""What an alert costs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clew.analysis.resources.constraints import ConstraintName
from clew.api.models.common import (
    Count,
    Services,
    SettledUntil,
    Share,
    TransactionId,
    TransactionName,
    WindowResponse,
)
from clew.api.models.diagnosis import (
    ApdexChange,
    ComparedWindow,
    ExcessFailures,
    UserImpact,
    ValueImpact,
)
from clew.api.reference import Model


class ScoreParts(Model):
    """What a score is made of, each from 0 to 1; left out where it is not known."""

    failed: Share | None = None
    """Share of the traces that failed beyond the day before's share, at least: of automatic
    transactions."""
    budget: Share | None = None
    """Share of the month's error budget that was burnt."""
    users: Share | None = None
    """Share of the users who had it worse, beyond the day before's."""
    value: Share | None = None
    """Share of the value that was lost."""


class TransactionImpact(Model):
    """What an alert costs one transaction."""

    id: TransactionId
    name: TransactionName
    source: Literal["auto", "defined"]
    """Whether it is an automatic or a defined transaction."""
    count: Count
    """Occurrences in the time of the alert; traces of an automatic one."""
    failed: ExcessFailures
    """Failures beyond what the day before lets expect."""
    user_hours: float
    """Hours that all of them took longer than the day before's mean."""
    apdex: ApdexChange
    """Apdex of the day before and of the alert's time, with the target of 500 ms."""
    users: UserImpact | None
    """Users; null where none is named."""
    value: ValueImpact | None
    """Value beyond the day before's share; null without value."""
    budget_share: float | None
    """Share of a month's error budget that the excess took, at the day before's traffic; null
    without an SLO."""
    score: Share
    """One number: 1 - Π(1 - part)."""
    parts: ScoreParts
    """The parts of the score."""


class TouchedEntities(Model):
    """What an alert touches."""

    transactions: Count
    """Number of transactions."""
    services: Services
    slos: list[str]
    """Names of the transactions with a service level objective."""
    labels: dict[str, str] = Field(examples=[{"service": "payments"}])
    """The alert's labels."""


class ServiceHeadroom(Model):
    """The fullest resource of a service."""

    resource: ConstraintName
    """The resource."""
    remaining: Share
    """The share that was left at the peak."""


class AlertImpact(WindowResponse):
    """What an alert costs, from before its episode began to its end or to now."""

    baseline: ComparedWindow
    """The day before it, which says what is usual."""
    transactions: list[TransactionImpact]
    """The transactions that it touches, those with the greatest score first."""
    touched: TouchedEntities
    """What it touches."""
    headroom: ServiceHeadroom | None
    """What is left of the fullest resource of the alert's service; null where nothing is known."""
    score: Share | None
    """One number: 1 - Π(1 - part); null without transactions."""
    parts: ScoreParts
    """Of each part the greatest of any transaction."""
    reason: str
    """Why there is no score; empty if there is one."""
    settled_until: SettledUntil
