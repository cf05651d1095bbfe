"""What receivers of alerts were told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clew.analysis.alerts.states import Transition
from clew.api.models.common import Count, Cursor, StoredResponse, Time
from clew.api.reference import Model

NotificationState = Literal["waiting", "sent", "dropped"]


class Notification(Model):
    """One change of an alert, for one receiver."""

    key: str = Field(examples=["8d969eef6ecad3c29a3a629280e686cf"])
    """Idempotency key, which goes out with the message."""
    receiver: str = Field(examples=["oncall"])
    """Name of the receiver."""
    alert: str = Field(pattern="^[0-9a-f]{16}$")
    """Id of the alert."""
    episode: Count
    """Number of the episode."""
    transition: Transition
    """What it tells."""
    headline: str
    """Its first line."""
    state: NotificationState
    """`dropped`: it was not delivered within a day, or the receiver does not want it."""
    attempts: Count
    """How often it was sent."""
    error: str
    """Why the last attempt failed; empty if it did not."""
    time: Time
    """When it was written."""


class Notifications(StoredResponse):
    """A page of messages."""

    notifications: list[Notification]
    """The messages of this page."""
    next_cursor: Cursor


class ReceiverTest(Model):
    """What became of a test message."""

    receiver: str
    """Name of the receiver."""
    kind: str = Field(examples=["webhook"])
    """How it is told."""
    delivered: bool
    """Whether the receiver took the message."""
    error: str
    """Why it did not; empty if it did."""
