"""Rules of alerts."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from clew.analysis.alerts.rules import Rules
from clew.api.reference import Model


class RulesBody(Rules):
    """Rules, routes and windows, as PUT takes them. The other members are those of an answer, and
    ignored: an answer of GET can be sent unchanged."""

    revision: object = None
    """Ignored."""
    file: object = None
    """Ignored."""
    receivers: object = None
    """Ignored, if it is a list; receivers themselves come from the file alone."""

    @field_validator("receivers")
    @classmethod
    def _names_no_receivers(cls, value: Any) -> Any:
        if isinstance(value, dict):
            raise ValueError("receivers come from the file of --alerts alone")
        return value

    @property
    def rules_alone(self) -> Rules:
        """The rules without the other members."""
        return Rules.model_validate(
            self.model_dump(mode="json", exclude_defaults=True, include=set(Rules.model_fields))
        )


class ReceiverName(Model):
    """Somebody who can be told."""

    name: str = Field(examples=["oncall"])
    """Name of the receiver."""
    kind: str = Field(examples=["webhook"])
    """How it is told."""


class RulesAnswer(Rules):
    """The rules in force. The members beside `revision`, `file` and `receivers` are what came over
    the API."""

    revision: str
    """The revision of the API's rules, which is also the ETag. Every change makes a new one."""
    file: Rules
    """The rules of the file of --alerts, which count too."""
    receivers: list[ReceiverName]
    """Who can be told: the receivers of the file."""
