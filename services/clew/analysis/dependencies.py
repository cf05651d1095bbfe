"""How third parties do against their own past: the same time of the seven days before.

A host is degraded where its failures or its durations are more than Z standard deviations and more
than FACTOR times what they usually are. Requests that it refuses (4xx) are the caller's fault,
unless it refuses those of several tenants, or nearly all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Z = 5.0
FACTOR = 1.5
MIN_CALLS = 20  # in the window, and on a day that counts as past
MIN_DAYS = 3
MIN_ERRORS = 5  # one failure of thirty calls is no share
DOWN = 0.9  # share of calls that fail
SEVERAL = 3  # tenants
LEAST_SHARE = 0.01  # of failures that is worth a word: below it 1.5 times nothing is nothing
MAD = 1.4826  # of a normal distribution, a standard deviation in median absolute deviations

Status = Literal["ok", "degraded", "down", "unknown"]


@dataclass(frozen=True)
class Period:
    """The calls to a host in a time; durations in any one unit, None where nothing was called."""

    calls: int
    errors: int
    p50: float | None
    p95: float | None

    @property
    def share(self) -> float:
        """Share of calls that failed."""
        return self.errors / self.calls if self.calls else 0.0


@dataclass(frozen=True)
class Failures:
    """Failed calls of a class, such as 5xx, with the tenants that sampled traces name (0: none)."""

    name: str
    errors: int
    tenants: int

    @property
    def is_refusal(self) -> bool:
        """Whether the host refuses what the caller asks for."""
        return self.name in ("4xx", "3xx")


@dataclass(frozen=True)
class Judgement:
    """`reason`: the numbers in words. `z`: by measure, how many standard deviations above what is
    usual. `usual`: what is usual; None without MIN_DAYS days."""

    status: Status
    reason: str
    z: dict[str, float]
    usual: Period | None
    days: int


def judge(now: Period, past: Sequence[Period], failures: Sequence[Failures]) -> Judgement:
    """How a host does now against the same time of earlier days."""
    days = [day for day in past if day.calls >= MIN_CALLS]
    usual = _usual(days) if len(days) >= MIN_DAYS else None
    blamed, excused = _blamed(now, failures)
    if now.calls < MIN_CALLS:
        few = f"{now.calls} calls: at least {MIN_CALLS} are judged"
        return Judgement("unknown", few, {}, usual, len(days))
    if blamed / now.calls >= DOWN:
        down = f"{blamed} of {now.calls} calls failed"
        return Judgement("down", down, {}, usual, len(days))
    if usual is None:
        unknown = f"{len(days)} of the days before have {MIN_CALLS} calls: {MIN_DAYS} are needed"
        return Judgement("unknown", unknown, {}, None, len(days))
    blamed_now = Period(now.calls, blamed, now.p50, now.p95)
    z = {"errors": _share_z(blamed_now, days, usual)}
    reasons = []
    is_more = blamed >= MIN_ERRORS and blamed_now.share > max(FACTOR * usual.share, LEAST_SHARE)
    if z["errors"] > Z and is_more:
        reasons.append(f"{blamed_now.share:.1%} of calls fail, usually {usual.share:.1%}")
    for name in ("p50", "p95"):
        value, level = getattr(now, name), getattr(usual, name)
        if value and level:
            z[name] = _duration_z(now, days, name)
            if z[name] > Z and value > FACTOR * level:
                reasons.append(f"{name} is {value / level:.1f} times the usual")
    if excused:
        names = ", ".join(f"{one.errors} {one.name}{_of_tenants(one)}" for one in excused)
        reasons.append(f"{names}: refused requests, not counted against the host")
    status: Status = "degraded" if len(reasons) > bool(excused) else "ok"
    return Judgement(status, "; ".join(reasons) or "as usual", z, usual, len(days))


def _of_tenants(failures: Failures) -> str:
    if not failures.tenants:
        return ""
    return f" of {failures.tenants} tenant{'s' if failures.tenants > 1 else ''}"


def _blamed(now: Period, failures: Sequence[Failures]) -> tuple[int, list[Failures]]:
    """How many failures count against the host, and the classes that do not."""
    excused = [
        one
        for one in failures
        if one.is_refusal and one.tenants < SEVERAL and one.errors < DOWN * now.calls
    ]
    return max(0, now.errors - sum(one.errors for one in excused)), excused


def _usual(days: Sequence[Period]) -> Period:
    calls, errors = sum(day.calls for day in days), sum(day.errors for day in days)
    return Period(calls, errors, _middle(days, "p50"), _middle(days, "p95"))


def _middle(days: Sequence[Period], name: str) -> float | None:
    values = [value for day in days if (value := getattr(day, name))]
    return median(values) if values else None


def _share_z(now: Period, days: Sequence[Period], usual: Period) -> float:
    """The share of failures against that of the days, whose own differences count as usual."""
    calls = usual.calls + 2
    share = (usual.errors + 1) / calls
    between = sum((day.share - usual.share) ** 2 for day in days) / (len(days) - 1)
    variance = share * (1 - share) * (1 / now.calls + 1 / calls) + between
    return (now.share - usual.share) / math.sqrt(variance)


def _duration_z(now: Period, days: Sequence[Period], name: str) -> float:
    """The logarithm of a quantile against the median of the days: their spread, and that of a
    quantile of so many calls of a log-normal distribution."""
    logs = [math.log(value) for day in days if (value := getattr(day, name))]
    middle = median(logs)
    spread = MAD * median(abs(one - middle) for one in logs)
    widths = [math.log(day.p95 / day.p50) for day in (*days, now) if day.p50 and day.p95]
    sigma = median(widths) / 1.645 if widths else 0.0
    sampling = (1.25 if name == "p50" else 2.11) * sigma / math.sqrt(now.calls)
    # Sketches are exact to 1 %.
    return (math.log(getattr(now, name)) - middle) / math.hypot(spread, sampling, 0.01)
