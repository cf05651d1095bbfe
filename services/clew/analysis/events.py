"""Events: what happens around the services and may explain what they do, such as a deployment, a
change of a feature flag, a campaign, an incident or a holiday.

They are posted (`POST /api/v1/events`), or read from telemetry: versions of services that are first
seen, and log records of OpenTelemetry's conventions (`feature_flag.key`, `deployment.*`).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BeforeValidator, Field, RootModel, model_validator

from clew.analysis import documents, queries
from clew.analysis.documents import Fields, Name, Text
from clew.analysis.traces.times import datetime_text
from clew.storage.formats import MAP, Map, encode_string
from clew.storage.rows import Rows
from clew.storage.sql import Query, RowT
from clew.storage.statements import Statements

MAX_POSTED = 1000  # events in one request
MAX_EVENTS = 100_000  # that are stored
MAX_ATTRIBUTES = 50
NEAR = 3600.0  # seconds around a time
MAX_NEAR = 100
COLUMNS = {
    "Id": "String",
    "Time": "DateTime64(9)",
    "End": "DateTime64(9)",
    "Type": "String",
    "Name": "String",
    "Environment": "String",
    "ServiceName": "String",
    "ServiceVersion": "String",
    "Attributes": MAP,
    "Author": "String",
    "Version": "UInt64",
}

_TYPE = r"[a-z][a-z0-9_.-]{0,49}"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("write a text without control characters")
    return text


def _type(text: str) -> str:
    if not re.fullmatch(_TYPE, text):
        raise ValueError("write small letters, digits, _, . and -, at most 50, such as deployment")
    return text


def _scalar_text(value: Any) -> Any:
    """A number or a boolean of JSON as a text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Printable = Annotated[Name, AfterValidator(_printable)]
AttributeKey = Annotated[str, Field(min_length=1, max_length=200)]
AttributeText = Annotated[str, Field(max_length=1000), BeforeValidator(_scalar_text)]


class PostedEvent(Fields):
    """An event, as its sender says it."""

    type: Annotated[str, Field(json_schema_extra={"pattern": f"^{_TYPE}$"}), AfterValidator(_type)]
    """What it is: `deployment`, `feature_flag`, `campaign`, `incident`, `holiday`, or another
    word."""
    time: Text = "now"
    """When it happened or begins, as times in parameters."""
    end: Text | None = None
    """When it ends, written as `time`; left out for what has no length."""
    name: Printable | None = None
    """What people call it. A deployment has its service and version as its name by default."""
    service: Printable | None = None
    """The service (`service.name`) that it is about; left out for what concerns all."""
    version: Printable | None = None
    """The version (`service.version`) that is deployed, or of the flag's rules."""
    environment: Printable | None = None
    """The environment (`deployment.environment.name`); left out for what concerns all."""
    attributes: Annotated[dict[AttributeKey, AttributeText], Field(max_length=MAX_ATTRIBUTES)] = (
        Field(default={})
    )
    """Anything else, such as the commit or an address."""
    id: Printable | None = None
    """The sender's id of the event: sent again, the event replaces the one before."""

    @model_validator(mode="after")
    def _named(self) -> PostedEvent:
        if self.name is None and self.service is None:
            raise ValueError("name the event or its service")
        return self

    @property
    def title(self) -> str:
        """The name, or else the service and the version."""
        return self.name or " ".join(filter(None, (self.service, self.version)))


class _EventList(
    RootModel[Annotated[tuple[PostedEvent, ...], Field(min_length=1, max_length=MAX_POSTED)]]
):
    pass


def read_events(text: bytes) -> Sequence[PostedEvent]:
    """The events of a JSON text: one, or a list. Raises DocumentError."""
    source = "the body"
    if text.lstrip().startswith(b"["):
        return documents.read(text, "json", _EventList, source).root
    return [documents.read(text, "json", PostedEvent, source)]


class TooManyEvents(Exception):
    """There are MAX_EVENTS already."""


class Events:
    """Stores posted events. Raises StorageError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def put(self, events: Sequence[tuple[PostedEvent, int, int]], author: str) -> list[str]:
        """Store events with their times and ends (0: none), in nanoseconds since 1970; returns
        their ids. Raises TooManyEvents."""
        (stored,) = self._statements.rows(queries.EVENTS_STORED)
        if stored["events"] + len(events) > MAX_EVENTS:
            raise TooManyEvents
        ids = [event.id or secrets.token_hex(8) for event, _, _ in events]
        version = time.time_ns()
        rows = [
            (
                id.encode(),
                at,
                until,
                event.type.encode(),
                event.title.encode(),
                (event.environment or "").encode(),
                (event.service or "").encode(),
                (event.version or "").encode(),
                _map(event.attributes),
                author.encode("utf-8", "replace"),
                version + place,
            )
            for place, (id, (event, at, until)) in enumerate(zip(ids, events, strict=True))
        ]
        self._statements.insert_rows(Rows("clew_events", COLUMNS, rows))
        return ids


def _map(attributes: dict[str, str]) -> Map:
    return (
        len(attributes),
        b"".join(encode_string(key.encode()) for key in attributes),
        b"".join(encode_string(value.encode()) for value in attributes.values()),
    )


class RunQuery(Protocol):
    """Runs a query: the method `rows` of Statements, and of an Answer of the API."""

    def __call__(self, query: Query[RowT], **parameters: Any) -> list[RowT]: ...


def events_near(
    rows: RunQuery,
    start: float,
    end: float,
    services: Collection[str] = (),
    environment: str | None = None,
    types: Collection[str] = (),
) -> list[queries.EventsRow]:
    """The events from NEAR before `start` to `end`, in seconds since 1970, that may explain what
    began then: of these services (all, if there are none) and of no service; newest first, MAX_NEAR
    at most."""
    return rows(
        queries.EVENTS,
        start=datetime_text(start - NEAR),
        end=datetime_text(end),
        types=sorted(types),
        services=sorted(services),
        environment=environment,
        after_time=None,
        after_id="",
        limit=MAX_NEAR,
    )
