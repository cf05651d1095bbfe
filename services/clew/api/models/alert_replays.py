"""What rules of alerts would have done."""

from __future__ import annotations

from pydantic import Field

from clew.analysis.alerts.rules import RuleKind
from clew.analysis.alerts.states import Known
from clew.api.models.alerts import Labels
from clew.api.models.common import Count, Time
from clew.api.reference import Model


class ReplayedEpisode(Model):
    """A time in which an alert would have fired."""

    labels: Labels
    since: Time
    """When it would have fired."""
    until: Time | None
    """When it would have been resolved; null if it would still fire."""
    measure: str = Field(examples=["p95"])
    """What is measured; empty if the rule rests on others. `change`: by how much of its usual
    value it was higher."""
    unit: str = Field(examples=["ms"])
    """Unit of `value` and `expected`, as in alerts."""
    value: float | None
    """The worst value; null if there is none."""
    expected: float | None
    """The limit of the rule, or what was usual."""


class UnjudgedSeries(Model):
    """A series of which a rule could say nothing at any time."""

    labels: Labels
    known: Known
    """Why: `no_data` (nothing in any window, or fewer requests than the rule needs), `learning`
    (too little history), `late` (nothing was received)."""


class ReplayedRule(Model):
    """What one rule would have done."""

    rule: str
    """Its name. Those that begin with `clew: ` stand for `watch`, `regressions` and `budgets`."""
    kind: RuleKind
    """What decides whether it holds."""
    series: Count
    """How many series it was replayed on."""
    series_left_out: Count
    """How many more it selects: those with the most requests are replayed, at most 50."""
    count: Count
    """How many episodes there would have been."""
    per_week: float | None
    """Episodes a week; null if fewer than two days are stored."""
    episodes: list[ReplayedEpisode]
    """At most 100, the newest first."""
    unjudged: list[UnjudgedSeries]
    """At most 20."""
    none_because: str | None
    """Why nothing can be said of the rule; null if something can."""


class ReplayedRules(Model):
    """What rules would have done in the last two weeks."""

    start: Time
    """Start of the window."""
    end: Time
    """End of the window."""
    days: float
    """For how many of its days anything is stored."""
    rules: list[ReplayedRule]
    """The rules of the body, in its order."""
