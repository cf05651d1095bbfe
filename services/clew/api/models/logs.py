"""Log records."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clew.api.models.common import Attributes, Cursor, Level, Response, Service, Time
from clew.api.reference import Model


class LogRecord(Model):
    time: Time
    """Time of the record."""
    severity: str = Field(examples=["ERROR"])
    """Severity as text; the level's name if the record has none."""
    severity_number: Annotated[int, Field(ge=0, le=255)]
    """OTLP's severity number as it was sent; 0 if there is none."""
    level: Level
    event_name: str = Field(examples=["device.app.lifecycle"])
    """Name of the event that the record is; empty if it is none."""
    service: Service
    body: str
    """Body of the record; arrays and maps as JSON."""
    attributes: Attributes
    resource: Attributes
    trace_id: str = Field(examples=["5b8efff798038103d269b633813fc60c"])
    """Trace id of the record; empty if it has none."""
    span_id: str = Field(examples=["eee19b7ec3c1b174"])
    """Span id of the record; empty if it has none."""


class Logs(Response):
    """Log records, newest first."""

    logs: list[LogRecord]
    """The records of this page."""
    next_cursor: Cursor
