"""How full a service's resources are, what the load explains of it, and memory that only grows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clew.analysis.resources.constraints import CONSTRAINTS, USAGES, Constraint
from clew.analysis.resources.points import Points, Shares
from clew.analysis.texts import number_text

FULL = 0.9  # used share from which on a resource is full
NEAR = 0.8  # used share at the peak from which on a resource limits the service
TARGET = 0.7  # used share at the peak that advised replicas leave
MIN_SLOTS = 20  # of a fit
MIN_R2 = 0.7
MIN_SPREAD = 1.5  # greatest load of a fit by the least
LEAK_HOURS = 2.0  # the least time in which memory can be seen to grow
LEAK_SHARE = 0.01  # of the memory an hour
LEAK_RISING = 0.8  # share of the pairs of slots that rise
LEAK_SLOTS = 12


@dataclass(frozen=True)
class Fit:
    """The used share as `base` + `slope` · load, over `n` slots. `saturation`: the load at which it
    would be 1."""

    base: float
    slope: float
    r2: float
    n: int

    @property
    def saturation(self) -> float:
        return (1 - self.base) / self.slope


@dataclass(frozen=True)
class Bottleneck:
    """How much of a resource is used: the mean and the greatest share over slots and sources, at
    what time and by whom, and the share of slots in which a source has none left. `fit` and
    `replicas`: None where the load does not explain the use, as `reason` says."""

    constraint: Constraint
    mean: float
    peak: float
    at: int
    source: str
    sources: int
    full: float
    fit: Fit | None
    replicas: int | None
    reason: str

    @property
    def headroom(self) -> float:
        """The share that is left at the peak."""
        return max(0.0, 1 - self.peak)


def bottlenecks(points: Points, load: Mapping[int, float]) -> list[Bottleneck]:
    """Every constraint of which something is known, what is fullest first. `load`: requests a
    second by slot."""
    known = [
        _bottleneck(one, shares, load)
        for one in CONSTRAINTS
        if any((shares := one.used(points)).values())
    ]
    return sorted(known, key=lambda one: -one.peak)


def _bottleneck(constraint: Constraint, shares: Shares, load: Mapping[int, float]) -> Bottleneck:
    values = [
        (share, at, source) for source, slots in shares.items() for at, share in slots.items()
    ]
    peak, at, source = max(values)
    by_slot: dict[int, list[float]] = defaultdict(list)
    for share, slot, _ in values:
        by_slot[slot].append(share)
    means = {slot: sum(one) / len(one) for slot, one in by_slot.items()}
    slots = sorted(means.keys() & load.keys())
    fit, reason = _fit([load[slot] for slot in slots], [means[slot] for slot in slots])
    sources = sum(1 for one in shares.values() if one)
    replicas = None
    if fit is not None and constraint.has_replicas:
        replicas = _replicas(fit, max(load[slot] for slot in slots), sources)
    return Bottleneck(
        constraint,
        sum(share for share, _, _ in values) / len(values),
        peak,
        at,
        source,
        sources,
        sum(max(one) >= FULL for one in by_slot.values()) / len(by_slot),
        fit,
        replicas,
        reason,
    )


def _fit(loads: Sequence[float], shares: Sequence[float]) -> tuple[Fit | None, str]:
    """The line through shares over loads, or why there is none."""
    if len(loads) < MIN_SLOTS:
        return None, f"{len(loads)} slots with load and use: {MIN_SLOTS} are needed"
    x, y = np.array(loads), np.array(shares)
    if x.max() < MIN_SPREAD * max(x.min(), 1e-9):
        loads_text = f"{number_text(x.min())} to {number_text(x.max())} a second"
        return None, f"the load hardly varies: {loads_text}"
    if y.std() == 0:
        return None, "the use never changes"
    slope, base = np.polyfit(x, y, 1)
    r2 = float(np.corrcoef(x, y)[0, 1] ** 2)
    if r2 < MIN_R2 or slope <= 0:
        return None, f"the load explains {r2:.0%} of the use: {MIN_R2:.0%} are needed"
    return Fit(float(base), float(slope), r2, len(loads)), ""


def _replicas(fit: Fit, load: float, sources: int) -> int | None:
    """How many instances have TARGET at this load; None where the present ones do, or where no
    number would."""
    if fit.base >= TARGET or fit.base + fit.slope * load <= TARGET:
        return None
    return math.ceil(sources * fit.slope * load / (TARGET - fit.base))


@dataclass(frozen=True)
class Leak:
    """Memory of an instance that grows all the time: bytes an hour (Theil–Sen), what share of its
    median that is, and the hours over which it was seen."""

    source: str
    bytes_per_hour: float
    share_per_hour: float
    hours: float


def leaks(points: Points) -> list[Leak]:
    """The instances whose memory grows by more than LEAK_SHARE an hour, the fastest first."""
    used = points.sums("process.memory.usage")
    grown = [leak for source, slots in used.items() if (leak := _leak(source, slots)) is not None]
    return sorted(grown, key=lambda leak: -leak.share_per_hour)


def _leak(source: str, slots: Mapping[int, float]) -> Leak | None:
    times = np.array(sorted(slots), dtype=float) / 3600
    values = np.array([slots[at] for at in sorted(slots)])
    if len(times) < LEAK_SLOTS or times[-1] - times[0] < LEAK_HOURS:
        return None
    first, second = np.triu_indices(len(times), 1)
    slopes = (values[second] - values[first]) / (times[second] - times[first])
    slope, middle = float(np.median(slopes)), float(np.median(values))
    if middle <= 0 or slope / middle < LEAK_SHARE or (slopes > 0).mean() < LEAK_RISING:
        return None
    return Leak(source, slope, slope / middle, float(times[-1] - times[0]))


@dataclass(frozen=True)
class Usage:
    """A metric without a known limit: its mean and its greatest value over slots and sources."""

    metric: str
    mean: float
    peak: float
    source: str


def usages(points: Points) -> list[Usage]:
    """The metrics of USAGES that have points."""
    listed = []
    for metric in USAGES:
        totals = points.sums(metric)
        values = [(value, source) for source, slots in totals.items() for value in slots.values()]
        if values:
            peak, source = max(values)
            mean = sum(value for value, _ in values) / len(values)
            listed.append(Usage(metric, mean, peak, source))
    return listed
