"""The deployments of services."""

from __future__ import annotations

from dataclasses import dataclass

from clew.analysis import queries
from clew.analysis.traces.times import datetime_text
from clew.storage.statements import Statements

MAX_DEPLOYMENTS = 1000


@dataclass(frozen=True)
class Deployment:
    """A version of a service that was first seen at a time, in seconds since 1970."""

    service: str
    environment: str
    version: str
    at: float


def read_deployments(statements: Statements, start: float, end: float) -> list[Deployment]:
    """The deployments in [start, end), in seconds since 1970, the oldest first. Raises
    StorageError."""
    rows = statements.rows(
        queries.WATCH_DEPLOYMENTS,
        start=datetime_text(start),
        end=datetime_text(end),
        limit=MAX_DEPLOYMENTS,
    )
    return [
        Deployment(row["service"], row["environment"], row["version"], row["first_seen"])
        for row in rows
    ]
