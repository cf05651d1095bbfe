"""Points of a metric's series, by step: SQL computes the increase of counters and of explicit
buckets, Python that of exponential buckets, whose scale can change from point to point."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict

from clew.api.answer import Answer
from clew.api.parameters import SECOND, Window
from clew.storage import Query, RowT, queries

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
# The aggregations that a type of metric allows; the first is its default.
LEVEL_AGGREGATIONS = ("avg", "sum", "min", "max", "count", "last", *QUANTILES)
COUNTER_AGGREGATIONS = ("rate", "sum")
HISTOGRAM_AGGREGATIONS = ("p95", "p50", "p90", "p99", "avg", "sum", "min", "max", "count", "rate")
SUMMARY_AGGREGATIONS = ("p95", "p50", "p90", "p99", "avg", "sum", "count", "rate")
MAX_RAW_POINTS = 50_000  # of exponential histograms
LOOKBACK = 300  # seconds before the window in which a series' previous point is searched
DELTA = 1  # OTLP's aggregation temporality


@dataclass(frozen=True)
class Metric:
    """A metric of one type."""

    name: str
    type: str
    unit: str
    description: str
    services: list[str]
    is_monotonic: bool

    @property
    def is_counter(self) -> bool:
        return self.type == "sum" and self.is_monotonic

    def __str__(self) -> str:
        if self.type == "sum":
            return "a monotonic sum" if self.is_monotonic else "a non-monotonic sum"
        return f"a {self.type}".replace("a e", "an e").replace("_", " ")


@dataclass(frozen=True)
class SeriesQuery:
    """What is read of a metric: its points in `window`, combined by `aggregation` in steps of
    `step` seconds. `filters` and `parameters` are those of its queries."""

    answer: Answer
    aggregation: str
    step: int
    window: Window
    filters: str
    parameters: dict[str, Any]

    @property
    def quantile(self) -> float:
        return QUANTILES.get(self.aggregation, 0.5)

    def rows(self, query: Query[RowT], **parameters: Any) -> list[RowT]:
        return self.answer.rows(query, self.filters, **self.parameters, **parameters)

    def seconds(self, time: int) -> float:
        """The seconds of the step that starts at `time` that are in the window."""
        start, end = time * SECOND, (time + self.step) * SECOND
        return (min(end, self.window.end) - max(start, self.window.start)) / SECOND


@dataclass(frozen=True)
class Point:
    """A point of a series: `labels` are the values of `by`, `time` is in seconds since 1970."""

    service: str
    labels: tuple[str, ...]
    time: int
    value: float | None


class SeriesRow(TypedDict):
    """What the rows of all queries of series have in common."""

    service: str
    labels: list[str]
    time: int


def aggregations_of(metric: Metric) -> tuple[str, ...]:
    """The aggregations that the metric's type allows, the default first."""
    aggregations, _ = _reader(metric)
    return aggregations


def read_points(metric: Metric, query: SeriesQuery) -> Iterator[Point]:
    """The points of all series of the metric."""
    _, read = _reader(metric)
    return read(query)


def _reader(
    metric: Metric,
) -> tuple[tuple[str, ...], Callable[[SeriesQuery], Iterator[Point]]]:
    if metric.is_counter:
        return COUNTER_AGGREGATIONS, _counter
    return {
        "gauge": (LEVEL_AGGREGATIONS, _level),
        "sum": (LEVEL_AGGREGATIONS, _level),
        "histogram": (HISTOGRAM_AGGREGATIONS, _histogram),
        "exponential_histogram": (HISTOGRAM_AGGREGATIONS, _exponential_histogram),
        "summary": (SUMMARY_AGGREGATIONS, _summary),
    }[metric.type]


def _point(row: SeriesRow, value: float | None) -> Point:
    return Point(row["service"], tuple(row["labels"]), row["time"], value)


def _level(query: SeriesQuery) -> Iterator[Point]:
    rows = query.rows(
        queries.SERIES_LEVELS,
        step=query.step,
        aggregation=query.aggregation,
        quantile=query.quantile,
    )
    return (_point(row, row["value"]) for row in rows)


def _counter(query: SeriesQuery) -> Iterator[Point]:
    for row in query.rows(queries.SERIES_RATES, step=query.step, before=LOOKBACK):
        value = row["added"]
        if query.aggregation == "rate" and value is not None:
            value /= query.seconds(row["time"])
        yield _point(row, value)


def _summary(query: SeriesQuery) -> Iterator[Point]:
    for row in query.rows(
        queries.SERIES_SUMMARIES, step=query.step, before=LOOKBACK, quantile=query.quantile
    ):
        if query.aggregation in QUANTILES:
            yield _point(row, row["value"])
        else:
            yield _point(row, _of_count(query, row["time"], row["count"], row["total"]))


def _histogram(query: SeriesQuery) -> Iterator[Point]:
    steps: Steps = defaultdict(HistogramStep)
    for row in query.rows(queries.SERIES_HISTOGRAMS, step=query.step, before=LOOKBACK):
        step = steps[row["service"], tuple(row["labels"]), row["time"]]
        step.add(row["count"], row["total"], row["least"], row["most"])
        # JSON has no infinity: a bound that is one arrives as None.
        bounds = (math.inf if bound is None else bound for bound in row["bounds"])
        edges = [-math.inf, *bounds, math.inf]
        for number, count in enumerate(row["counts"]):
            step.buckets[edges[number], edges[number + 1]] += count
    return _step_points(query, steps)


def _exponential_histogram(query: SeriesQuery) -> Iterator[Point]:
    rows = query.rows(queries.SERIES_EXPONENTIAL, before=LOOKBACK, limit=MAX_RAW_POINTS + 1)
    if len(rows) > MAX_RAW_POINTS:
        query.answer.mark_truncated()
        rows = rows[:MAX_RAW_POINTS]
    steps: Steps = defaultdict(HistogramStep)
    last: queries.SeriesExponentialRow | None = None
    for row in rows:
        previous, last = last if last and last["series"] == row["series"] else None, row
        if row["time"] * SECOND < query.window.start:
            continue
        if row["temporality"] == DELTA or _is_reset(row, previous):
            previous = None
        elif previous is None and row["started"] * SECOND < query.window.start:
            continue
        time = row["time"] // query.step * query.step
        _add_increase(steps[row["service"], tuple(row["labels"]), time], row, previous)
    return _step_points(query, steps)


def _is_reset(
    row: queries.SeriesExponentialRow, previous: queries.SeriesExponentialRow | None
) -> bool:
    return previous is not None and (
        row["count"] < previous["count"] or row["started"] > previous["time"]
    )


def _add_increase(
    step: HistogramStep,
    row: queries.SeriesExponentialRow,
    previous: queries.SeriesExponentialRow | None,
) -> None:
    """Add a point's increase since the previous point, or since nothing. Scales meet at the coarser
    one."""
    if previous is None:
        step.add(row["count"], row["total"], row["least"], row["most"])
        scale = row["scale"]
    else:
        is_finite = row["total"] is not None and previous["total"] is not None
        total = (row["total"] or 0.0) - (previous["total"] or 0.0) if is_finite else None
        step.add(row["count"] - previous["count"], total, row["least"], row["most"])
        scale = min(row["scale"], previous["scale"])
    buckets = _buckets(row, scale)
    for bucket, count in (_buckets(previous, scale) if previous else {}).items():
        buckets[bucket] = buckets.get(bucket, 0) - count
    for bucket, count in buckets.items():
        step.buckets[bucket] += max(0, count)


def _buckets(row: queries.SeriesExponentialRow, scale: int) -> Buckets:
    """The counts at a scale that is not finer than the point's own."""
    buckets: Buckets = defaultdict(int)
    buckets[0.0, 0.0] = row["zeros"]
    for sign, offset, counts in (
        (1, row["offset"], row["counts"]),
        (-1, row["negative_offset"], row["negative_counts"]),
    ):
        for number, count in enumerate(counts):
            index = (offset + number) >> (row["scale"] - scale)
            near, far = sign * _bound(index, scale), sign * _bound(index + 1, scale)
            buckets[min(near, far), max(near, far)] += count
    return buckets


def _bound(index: int, scale: int) -> float:
    try:
        return math.pow(2, index * 2.0**-scale)
    except OverflowError:
        return math.inf


Buckets = dict[tuple[float, float], int]  # counts by (lower bound, upper bound]


@dataclass
class HistogramStep:
    """A histogram's increase in one step. The total is None when a point's sum is not finite."""

    count: int = 0
    total: float | None = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    buckets: Buckets = field(default_factory=lambda: defaultdict(int))

    def add(
        self, count: int, total: float | None, minimum: float | None, maximum: float | None
    ) -> None:
        self.count += count
        self.total = None if total is None or self.total is None else self.total + total
        self.minimum = min(self.minimum, minimum if minimum is not None else math.inf)
        self.maximum = max(self.maximum, maximum if maximum is not None else -math.inf)

    def quantile(self, q: float) -> float | None:
        """The quantile, as if values were spread evenly within their bucket. A bucket without a
        lower bound starts at 0; in a bucket without an upper bound it is the lower bound."""
        total = sum(self.buckets.values())
        if not total:
            return None
        cumulative = 0
        ordered = sorted(self.buckets.items(), key=lambda bucket: bucket[0][::-1])
        for (lower, upper), count in ordered:
            if count and cumulative + count >= q * total:
                if math.isinf(upper):
                    return None if math.isinf(lower) else lower
                lower = min(0.0, upper) if math.isinf(lower) else lower
                return lower + (upper - lower) * (q * total - cumulative) / count
            cumulative += count
        return None


Steps = dict[tuple[str, tuple[str, ...], int], HistogramStep]  # by service, labels and time


def _step_points(query: SeriesQuery, steps: Steps) -> Iterator[Point]:
    for (service, labels, time), step in sorted(steps.items(), key=lambda item: item[0]):
        value: float | None
        if query.aggregation in QUANTILES:
            value = step.quantile(query.quantile)
        elif query.aggregation in ("min", "max"):
            value = step.minimum if query.aggregation == "min" else step.maximum
        else:
            value = _of_count(query, time, step.count, step.total)
        yield Point(service, labels, time, value)


def _of_count(query: SeriesQuery, time: int, count: int, total: float | None) -> float | None:
    """The value of the aggregations that need only the count and the total of a step."""
    if query.aggregation == "avg":
        return total / count if count and total is not None else None
    if query.aggregation == "sum":
        return total
    return count / query.seconds(time) if query.aggregation == "rate" else count
