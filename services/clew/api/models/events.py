"""Events around the services."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, RootModel

from clew.analysis.events import PostedEvent
from clew.api.models.common import Attributes, Cursor, Time, WindowResponse
from clew.api.reference import Model


class EventsBody(RootModel[PostedEvent | list[PostedEvent]]):
    """One event, or a list of up to 1,000."""


class StoredIds(Model):
    """The ids of the events that were stored."""

    ids: list[str] = Field(examples=[["payments-1.9.0"]])
    """The id of each, in the order of the request: the sender's, or a new one."""


class NotedEvent(Model):
    """Something that happened around the services."""

    id: str
    """Its id."""
    time: Time
    """When it happened or began."""
    end: Time | None
    """When it ended or will; null for what has no length."""
    type: str = Field(examples=["deployment"])
    """What it is: `deployment`, `feature_flag`, `campaign`, `incident`, `holiday`, or another
    word."""
    name: str = Field(examples=["payments 1.9.0"])
    """What people call it; of a flag, its key and the variant that came."""
    service: str = Field(examples=["payments"])
    """The service that it is about; empty for what concerns all."""
    version: str = Field(examples=["1.9.0"])
    """The version that is deployed, or of the flag's rules; empty if there is none."""
    environment: str
    """The environment that it is about; empty for what concerns all."""
    attributes: Attributes
    source: Literal["posted", "version", "log"]
    """Where it is from. `posted`: `POST /api/v1/events`. `version`: a version of a service was
    first seen, after another one. `log`: log records of OpenTelemetry's conventions."""
    author: str
    """Name of the API key that posted it; empty if there is none."""


class Events(WindowResponse):
    """A page of events."""

    events: list[NotedEvent]
    """The events of this page, newest first."""
    next_cursor: Cursor
