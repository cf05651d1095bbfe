"""Points of metrics of a service's processes, containers and hosts, by source and slot."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Shares = dict[str, dict[int, float]]  # by source and slot


@dataclass(frozen=True)
class ResourcePoint:
    """A value of a metric in a slot, whose start is `at` in seconds since 1970: a level, or a rate
    a second. `source`: the instance, container or host."""

    metric: str
    source: str
    runtime: str
    attributes: Mapping[str, str]
    at: int
    value: float


class Points:
    """The points of some metrics."""

    def __init__(self, points: Iterable[ResourcePoint]) -> None:
        self._points: dict[str, list[ResourcePoint]] = defaultdict(list)
        for point in points:
            self._points[point.metric].append(point)

    def first(self, *metrics: str) -> list[ResourcePoint]:
        """Of the first of these metrics that has points."""
        return next((self._points[name] for name in metrics if name in self._points), [])

    def sums(self, *metrics: str, where: str = "") -> Shares:
        """Summed over the attributes by source and slot. `where`: only points with an attribute of
        this value."""
        result: Shares = defaultdict(lambda: defaultdict(float))
        for point in self.first(*metrics):
            if not where or where in point.attributes.values():
                result[point.source][point.at] += point.value
        return result

    def greatest(self, *metrics: str) -> Shares:
        """The greatest over the attributes by source and slot."""
        result: Shares = defaultdict(dict)
        for point in self.first(*metrics):
            slots = result[point.source]
            slots[point.at] = max(point.value, slots.get(point.at, -math.inf))
        return result
