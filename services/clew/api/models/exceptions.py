"""Exceptions of services."""

from __future__ import annotations

from pydantic import Field

from clew.api.models.common import (
    Count,
    Cursor,
    Response,
    Service,
    SpanId,
    Time,
    TraceId,
    TransactionId,
    TransactionName,
)
from clew.api.reference import Model


class VersionCount(Model):
    """Exceptions of one version of a service."""

    version: str = Field(examples=["1.9.0"])
    """Version of the service (`service.version`); empty if it is not known."""
    count: Count
    """Number of exceptions."""


class ExceptionTransaction(Model):
    """A transaction."""

    id: TransactionId
    name: TransactionName


class ExceptionOfService(Model):
    """Exceptions of the same service, type and message."""

    type: str = Field(examples=["CardDeclined"])
    """Type of the exception."""
    message: str = Field(examples=["order # was declined"])
    """Message, with ids and numbers replaced by `#`."""
    service: Service
    frame: str | None
    """Innermost stack frame in the service's own code, of the newest one; null if there is none."""
    count: Count
    """Number of exceptions."""
    first: Time
    """Time of the first one in the window."""
    last: Time
    """Time of the last one in the window."""
    versions: list[VersionCount]
    """Numbers by the service's version, the greatest first."""
    transactions: list[ExceptionTransaction]
    """Transactions that up to 40 of the traces belong to, the most frequent first."""
    example_trace_id: TraceId | None
    """Trace of the newest one; null if none has a trace."""
    example_span_id: SpanId | None
    """Span of the newest one; null if it is not known."""


class Exceptions(Response):
    """Groups of exceptions in the order of `sort`."""

    exceptions: list[ExceptionOfService]
    """The groups of this page."""
    next_cursor: Cursor
