"""Business KPIs of transactions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clew.api.models.common import MetricPoint, TransactionId, WindowResponse
from clew.api.reference import Model

Rank = Annotated[float, Field(ge=-1, le=1)]


class KpiCorrelation(Model):
    """How a KPI moves with a measure of the transaction, without what both do every day. It is
    never a cause: something else may move both."""

    measure: Literal["p50", "p95", "error_rate"]
    """The measure of the transaction."""
    r: Rank
    """Rank correlation, from -1 to 1, at the lag where it is clearest."""
    lower: Rank
    """Lower end of its 95 % interval, which allows for the choice of the lag."""
    upper: Rank
    """Upper end of the interval."""
    lag_hours: int
    """Hours by which the KPI follows the measure; below 0 it goes before."""
    n: int
    """Hours that were compared."""
    independent: float
    """How many independent hours they are worth: an hour is like the one before."""
    is_clear: bool
    """Whether the interval is on one side of 0."""


class TransactionKpi(Model):
    """A KPI, hour by hour."""

    name: str = Field(examples=["signups"])
    """Name of the KPI, as the definition has it."""
    metric: str | None
    """Name of the metric; null for the sum of an attribute."""
    sum: str | None
    """The attribute that is summed; null for a metric."""
    unit: str
    """Unit of the metric; empty if there is none."""
    aggregation: str
    """How it is combined over an hour."""
    points: list[MetricPoint]
    """Its values, whole hours."""
    correlations: list[KpiCorrelation]
    """With each measure for which there are enough hours, the clearest first."""
    reason: str
    """Why there is no correlation; empty if there is one."""


class TransactionKpis(WindowResponse):
    """The KPIs of a transaction."""

    id: TransactionId
    kpis: list[TransactionKpi]
    """In the order of the definition; empty for a transaction without any."""
