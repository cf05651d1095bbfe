"""Definitions of business transactions."""

from __future__ import annotations

from pydantic import Field

from clew.analysis.transactions.definitions import Definition, Definitions
from clew.api.reference import Model


class DefinitionsBody(Definitions):
    """Definitions, as PUT takes them. The other members are those of an answer, and ignored: an
    answer of GET can be sent unchanged."""

    revision: object = None
    """Ignored."""
    origin: object = None
    """Ignored."""
    truncated: object = None
    """Ignored."""
    sql: object = None
    """Ignored."""


class DefinitionsAnswer(Model):
    """The definitions in force."""

    revision: str
    """The revision's number, which is also the ETag. Every change makes a new revision."""
    origin: str
    """The file that the definitions come from, or `api`."""
    transactions: list[Definition]
    """The definitions of business transactions."""
    truncated: bool = False
    """Always false."""
    sql: list[str] = Field(default_factory=list)
    """With `explain=true`: the statements that produced the response, ready to be run again."""
