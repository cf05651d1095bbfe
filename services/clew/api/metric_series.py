"""Points of a metric's series, by step: SQL computes the increase of counters and of explicit
buckets, Python that of exponential buckets, whose scale can change from point to point."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict

from clew.api.answer import Answer
from clew.api.parameters import SECOND, Window
from clew.storage import Query, RowT, queries

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
# The aggregations that a type of metric allows; the first is its default.
HISTOGRAMS = ("histogram", "exponential_histogram")
LEVEL_AGGREGATIONS = ("avg", "sum", "min", "max", "count", "last", *QUANTILES)
UP_DOWN_AGGREGATIONS = ("sum", "avg", "min", "max", "count", "last", *QUANTILES)
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
    is_delta: bool

    @property
    def is_counter(self) -> bool:
        """Whether increases are what it says. Deltas are, also those that can be negative."""
        return self.type == "sum" and (self.is_monotonic or self.is_delta)

    @property
    def kind(self) -> tuple[str, str]:
        """What its series can be combined with: explicit and exponential buckets are one kind."""
        return ("histogram" if self.type in HISTOGRAMS else self.type), self.unit

    def __str__(self) -> str:
        name = f"a {self.type}"
        if self.type == "sum":
            name = "a monotonic sum" if self.is_monotonic else "a non-monotonic sum"
        name = name.replace("a e", "an e").replace("_", " ")
        return f"{name} in {self.unit!r}" if self.unit else name


@dataclass(frozen=True)
class SeriesQuery:
    """What is read of metrics of one kind: their points in `window`, combined by `aggregation` in
    steps of `step` seconds. `filters` and `parameters` are those of its queries. `left_out` counts
    the points or figures of points that are no numbers, or buckets that do not fit their bounds."""

    answer: Answer
    types: frozenset[str]
    aggregation: str
    step: int
    window: Window
    filters: str
    parameters: dict[str, Any]
    left_out: Counter[str] = field(default_factory=Counter)

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
    """The points of all series of the metric, and of others of its kind (`query.types`)."""
    _, read = _reader(metric)
    return read(query)


def _reader(
    metric: Metric,
) -> tuple[tuple[str, ...], Callable[[SeriesQuery], Iterator[Point]]]:
    if metric.is_counter:
        return COUNTER_AGGREGATIONS, _counter
    if metric.type in HISTOGRAMS:
        return HISTOGRAM_AGGREGATIONS, _histogram
    return {
        "gauge": (LEVEL_AGGREGATIONS, _level),
        "sum": (UP_DOWN_AGGREGATIONS, _level),
        "summary": (SUMMARY_AGGREGATIONS, _summary),
    }[metric.type]


def _point(row: SeriesRow, value: float | None) -> Point:
    return Point(row["service"], tuple(row["labels"]), row["time"], value)


def _level(query: SeriesQuery) -> Iterator[Point]:
    (type_,) = query.types
    for row in query.rows(
        queries.SERIES_LEVELS,
        type=type_,
        step=query.step,
        aggregation=query.aggregation,
        quantile=query.quantile,
    ):
        query.left_out["points"] += row["left_out"]
        yield _point(row, row["value"])


def _counter(query: SeriesQuery) -> Iterator[Point]:
    for row in query.rows(queries.SERIES_RATES, step=query.step, before=LOOKBACK):
        query.left_out["points"] += row["left_out"]
        value = row["added"] if row["points"] else None
        if query.aggregation == "rate" and value is not None:
            value /= query.seconds(row["time"])
        yield _point(row, value)


def _summary(query: SeriesQuery) -> Iterator[Point]:
    for row in query.rows(
        queries.SERIES_SUMMARIES, step=query.step, before=LOOKBACK, quantile=query.quantile
    ):
        query.left_out["points"] += row["left_out"]
        if query.aggregation in QUANTILES:
            yield _point(row, row["value"])
        else:
            figures = row["count"], row["summed"], row["total"] or 0.0
            yield _point(row, _of_count(query, row["time"], *figures))


def _histogram(query: SeriesQuery) -> Iterator[Point]:
    steps: Steps = defaultdict(HistogramStep)
    if "histogram" in query.types:
        _add_explicit(query, steps)
    if "exponential_histogram" in query.types:
        _add_exponential(query, steps)
    return _step_points(query, steps)


def _add_explicit(query: SeriesQuery, steps: Steps) -> None:
    for row in query.rows(queries.SERIES_HISTOGRAMS, step=query.step, before=LOOKBACK):
        query.left_out["points"] += row["left_out"]
        step = steps[row["service"], tuple(row["labels"]), row["time"]]
        step.add(row["count"], row["summed"], row["total"] or 0.0, row["least"], row["most"])
        edges = [-math.inf, *(bound or 0.0 for bound in row["bounds"]), math.inf]
        for number, count in enumerate(row["counts"]):
            step.buckets[edges[number], edges[number + 1]] += count


def _add_exponential(query: SeriesQuery, steps: Steps) -> None:
    rows = query.rows(queries.SERIES_EXPONENTIAL, before=LOOKBACK, limit=MAX_RAW_POINTS + 1)
    if len(rows) > MAX_RAW_POINTS:
        query.answer.mark_truncated()
        rows = rows[:MAX_RAW_POINTS]
    last: queries.SeriesExponentialRow | None = None
    for row in rows:
        previous, last = last if last and last["run"] == row["run"] else None, row
        if row["time"] * SECOND < query.window.start:
            continue
        if row["temporality"] == DELTA or (previous and row["count"] < previous["count"]):
            previous = None
        elif previous is None and not row["is_new"]:
            continue
        time = row["time"] // query.step * query.step
        _add_increase(steps[row["service"], tuple(row["labels"]), time], row, previous)


def _add_increase(
    step: HistogramStep,
    row: queries.SeriesExponentialRow,
    previous: queries.SeriesExponentialRow | None,
) -> None:
    """Add a point's increase since the previous point, or since nothing. Scales meet at the coarser
    one."""
    count, total, scale = row["count"], row["total"], row["scale"]
    if previous is not None:
        count -= previous["count"]
        has_total = total is not None and previous["total"] is not None
        total = (total or 0.0) - (previous["total"] or 0.0) if has_total else None
        scale = min(scale, previous["scale"])
    summed = 0 if total is None else count
    step.add(count, summed, total or 0.0, row["least"], row["most"])
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
    """A histogram's increase in one step: `total` is the sum of `summed` of its `count` values, of
    those that came with a sum."""

    count: int = 0
    summed: int = 0
    total: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    buckets: Buckets = field(default_factory=lambda: defaultdict(int))

    def add(
        self, count: int, summed: int, total: float, minimum: float | None, maximum: float | None
    ) -> None:
        self.count += count
        self.summed += summed
        self.total += total
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
            extreme = step.minimum if query.aggregation == "min" else step.maximum
            value = extreme if math.isfinite(extreme) else None
        else:
            value = _of_count(query, time, step.count, step.summed, step.total)
        yield Point(service, labels, time, value)


def _of_count(query: SeriesQuery, time: int, count: int, summed: int, total: float) -> float | None:
    """The value of the aggregations that need only the count of a step, and the total of those
    values that came with one."""
    if query.aggregation == "avg":
        return total / summed if summed else None
    if query.aggregation == "sum":
        return total if summed or not count else None
    return count / query.seconds(time) if query.aggregation == "rate" else count
