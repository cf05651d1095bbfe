"""Budgets: of errors, and of what transactions cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clew.analysis.alerts.rules import Severity
from clew.api.models.alerts import Labels
from clew.api.models.common import Count, StoredResponse, Time
from clew.api.models.transactions import BurnRates
from clew.api.reference import Model

BudgetMeasure = Literal["p95", "error_rate", "calls", "database_time", "payload", "cost"]


class ErrorBudget(Model):
    """The error budget of a defined transaction, over the last 30 days."""

    transaction: str = Field(examples=["Checkout"])
    """Name of the definition."""
    environment: str
    """The environment."""
    objective: float = Field(examples=[0.995])
    """Share of occurrences that are to be good."""
    total: Count
    """Number of occurrences."""
    bad: Count
    """Number of bad ones: with an error, or too slow."""
    spent: float
    """Share of the budget that is spent: 1 is all of it."""
    burn_rates: BurnRates
    """How fast it is spent."""
    gone_in_hours: float | None
    """When the rest will be spent at the rate of the last six hours; 0 if it is, null if nothing is
    spent now."""


class PerformanceBudget(Model):
    """One limit of one transaction or operation."""

    rule: str
    """Name of the rule; that of `budgets` of the rules' document begins with `clew: budget`."""
    labels: Labels
    measure: BudgetMeasure
    """What is limited."""
    unit: str
    """`ms`, `1` (a share), `By`; empty for calls."""
    value: float | None
    """What was measured; null if nothing is known."""
    limit: float
    """What is allowed."""
    over: bool
    """Whether the value is above the limit."""
    requests: float
    """What the value rests on."""
    start: Time
    """Start of the window that was judged."""
    end: Time
    """End of the window."""
    severity: Severity
    """The severity of its alert."""
    sql: str
    """The statement that gives the value."""


class Budgets(StoredResponse):
    """What may be spent, and what is."""

    errors: list[ErrorBudget]
    """Of each defined transaction with an slo, by environment."""
    performance: list[PerformanceBudget]
    """Of the rules with a budget, and the `budgets` of their document. At most 50 series each."""
