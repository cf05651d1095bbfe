"""Keys and values of attributes."""

from __future__ import annotations

from typing import Literal

from clew.api.models.common import Count, Response, SettledUntil
from clew.api.reference import Model


class AttributeKey(Model):
    key: str
    """Key of the attribute."""
    source: Literal["span", "resource", "log"]
    """Whether spans, resources or log records have it."""
    count: Count
    """How often it was counted, in the part of the telemetry that is counted."""


class AttributeKeys(Response):
    attributes: list[AttributeKey]
    """Attribute keys, most frequent first."""
    settled_until: SettledUntil


class AttributeValue(Model):
    value: str
    """Value of the attribute."""
    count: Count
    """How often it was counted, in the part of the telemetry that is counted."""


class AttributeValues(Response):
    key: str
    """Key of the attribute."""
    values: list[AttributeValue]
    """Values, most frequent first."""
    settled_until: SettledUntil
