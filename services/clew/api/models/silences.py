"""Silences of alerts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from clew.analysis.alerts.quantities import Seconds
from clew.analysis.alerts.rules import Labels
from clew.api.models.alerts import Author
from clew.api.models.common import Cursor, StoredResponse, Time
from clew.api.reference import Model

SilenceState = Literal["active", "upcoming", "ended"]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("say why")
    return text.strip()


class SilenceBody(Model):
    """A silence to make. It ends at `end`, or `for` so long after its start."""

    match: Labels
    """The alerts: labels that they must have, at least one."""
    reason: Annotated[
        str,
        Field(max_length=1000, json_schema_extra={"pattern": r"\S"}),
        AfterValidator(_not_blank),
    ]
    """Why."""
    start: str = "now"
    """When it begins, as times in parameters."""
    end: str | None = None
    """When it ends, as times in parameters."""
    length: Annotated[Seconds | None, Field(alias="for")] = None
    """How long it lasts, such as `2h`; at most 30 days."""


class Silence(Model):
    """Alerts that match tell nobody while it is active. They are judged, and listed."""

    id: str = Field(pattern="^[0-9a-f]{16}$")
    """Its id."""
    match: Labels
    """Labels that an alert must have."""
    author: Author
    reason: str
    """Why."""
    start: Time
    """When it begins."""
    end: Time
    """When it ends, or was ended."""
    state: SilenceState
    """Whether it holds now."""


class Silences(StoredResponse):
    """A page of silences."""

    silences: list[Silence]
    """The silences of this page."""
    next_cursor: Cursor
