"""Findings: what is slow every day."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clew.analysis.findings.records import FindingState
from clew.api.models.common import (
    Cursor,
    Operation,
    Service,
    SettledUntil,
    Share,
    StoredResponse,
    Time,
    TraceId,
)
from clew.api.reference import Model

FindingId = Annotated[str, Field(description="Stable id of the finding.", pattern="^[0-9a-f]{16}$")]
Cost = Annotated[float, Field(ge=0)]


class FindingCost(Model):
    """What a finding costs one transaction."""

    id: str
    """Stable id of the transaction."""
    name: str = Field(examples=["storefront: GET /orders"])
    """Name of the transaction."""
    environment: str
    """Its deployment environment."""
    defined: list[str]
    """Ids of the defined transactions that have the same entry."""
    saved_ms: Cost
    """Milliseconds that the mend saves in a trace that has the finding, on its critical path."""
    per_day_s: Cost
    """Seconds that it saves a day, at the rate of the last hour, or of more where little comes."""
    p95_share: Share
    """Part of the p95 of these traces that it saves, from 0 to 1."""
    share: Share
    """Part of the transaction's traces that have the finding, from 0 to 1."""
    value: float | None
    """What these traces are worth a day by the definition of a transaction; null without one."""


class Finding(Model):
    """A finding: a rule's match in many traces of a service."""

    id: FindingId
    rule: str = Field(examples=["n_plus_one_queries"])
    """Name of the rule; docs/findings.md explains it."""
    title: str = Field(examples=["N+1 queries"])
    """The rule in two words."""
    service: Service
    operation: Operation
    subject: str = Field(examples=["SELECT stock"])
    """What it is about: the statement, the request, the host."""
    transactions: list[FindingCost]
    """The transactions that it costs, the most expensive first."""
    saved_ms: Cost
    """Milliseconds that the mend saves in a trace of the first transaction."""
    per_day_s: Cost
    """Seconds that it saves a day, of all transactions."""
    p95_share: Share
    """Greatest part of a transaction's p95 that it saves."""
    value: float | None
    """What the traces that have it are worth a day; null without a definition that has a value."""
    traces: list[TraceId]
    """Traces that show it."""
    advice: str
    """What to do, with the numbers."""
    place: str
    """Where in the code; empty where spans do not say it."""
    state: FindingState
    """What became of it; `regressed`: it was resolved, and traces that began later have it."""
    reason: str
    """Why somebody, or a run, changed the state."""
    author: str
    """Name of the API key that changed the state last; empty if none did."""
    state_since: Time
    """Since when it is in this state."""
    first_seen: Time
    """When a run saw it first."""
    last_seen: Time
    """When a run saw it last."""
    sql: str
    """The statement that shows its examples, ready to be run."""


class FailedRule(Model):
    """A rule that did not run."""

    rule: str
    """Its name."""
    error: str
    """Why."""
    since: Time
    """Since when it fails so."""


class Findings(StoredResponse):
    """A page of findings."""

    findings: list[Finding]
    """The findings of this page, the most expensive first."""
    failed_rules: list[FailedRule]
    """The rules that did not run the last time: what they say is missing, or old. Each is tried
    again with every run."""
    settled_until: SettledUntil
    next_cursor: Cursor


class FindingView(StoredResponse):
    """One finding."""

    finding: Finding
    """The finding."""


class FindingStateBody(Model):
    """A change of a finding's state."""

    state: FindingState
    """`reviewed`: somebody has seen it; `ignored`: it stays, and a reason says why; `resolved`: it
    is mended, and traces that begin later make it `regressed`; `open`: none of these."""
    reason: Annotated[str, Field(max_length=1000)] = ""
    """Why; an ignored finding must have one."""
