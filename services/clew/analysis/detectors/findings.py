"""What a detector says of one series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sensitivity = Literal["low", "normal", "high"]
Kind = Literal["spike", "traffic", "regression", "version", "change", "anomaly"]


@dataclass(frozen=True)
class Finding:
    """One series is unlike its past. Values are in the measure's own unit: seconds or whatever the
    arrays have, shares, requests of the window."""

    series: int
    """The series' place in the arrays."""
    kind: Kind
    measure: str
    """`rate`, `error_rate`, `slow_rate`, `value_lost`, `p50`, `p75`, `p95`, `tail`, which is p98 as
    a multiple of p50, or the name of a metric."""
    time: int
    """The last time of the window, as a place in the arrays."""
    window: int
    """How many times were judged, up to and including `time`."""
    value: float
    expected: float
    lower: float
    upper: float
    """The band around `expected` in which the series is usually."""
    requests: float
    """In the window."""
    z: float
    """How many standard deviations of its own past the value is from the expected one. Of counts:
    the signed root of the deviance."""
    as_large: int
    """How many of the past windows were as far off, or farther, in the same direction."""
    past: int
    """How many past windows there are to compare with."""
    change_point: int
    """The first time at which the change is seen, as a place in the arrays."""
    deployment: int | None = None
    """The deployment before it, as a place in the arrays."""
