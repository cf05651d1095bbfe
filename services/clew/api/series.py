"""Metrics: which there are, and series of one of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

from fastapi import Query as Parameter

from clew.api import models
from clew.api.answer import Answer, Answering
from clew.api.parameters import SECOND, Common, CommonParameters, Window, page, rfc3339
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.traces import Attributes
from clew.storage import AttributeFilter, Query, RowT, attribute_filters, queries

router = routes("metrics")

Aggregation = Literal[
    "avg", "sum", "min", "max", "count", "rate", "p50", "p90", "p95", "p99", "last"
]
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
# What can be asked of a kind of metric; the first is what it is shown as.
LEVELS = ("avg", "sum", "min", "max", "count", "last", *QUANTILES)
COUNTERS = ("rate", "sum")
HISTOGRAMS = ("p95", "p50", "p90", "p99", "avg", "sum", "min", "max", "count", "rate")
SUMMARIES = ("p95", "p50", "p90", "p99", "avg", "sum", "count", "rate")
MAX_POINTS = 11_000  # of a series
MAX_SERIES = 200
MAX_RAW = 50_000  # points of an exponential histogram
BEFORE = 300  # seconds; the point before the window's first is looked for so far back
DELTA = 1


@router.get("", response_model=models.Metrics)
def list_metrics(
    common: CommonParameters,
    answer: Answering,
    service: str | None = None,
    prefix: Annotated[str, Parameter(description="how the name begins")] = "",
) -> dict[str, Any]:
    """The metrics that have points in the window, by name; one name may have several types."""
    rows, more = page(
        _kinds(
            answer,
            common,
            service=service,
            prefix=prefix,
            name=None,
            after_id=common.after.get("id", ""),
            after_type=common.after.get("sequence", ""),
            limit=common.limit + 1,
        ),
        common.limit,
    )
    return answer.of(
        metrics=[vars(kind) for kind in rows],
        next_cursor=common.next_cursor(id=rows[-1].name, sequence=rows[-1].type) if more else None,
    )


@router.get("/query", response_model=models.MetricQuery)
def query_metric(
    common: CommonParameters,
    answer: Answering,
    name: Annotated[str, Parameter(description="the metric's name")],
    service: str | None = None,
    aggregation: Annotated[
        Aggregation | None,
        Parameter(
            description="of what falls into a step; by default a gauge's avg, a sum's rate per "
            "second, a histogram's p95"
        ),
    ] = None,
    by: Annotated[
        list[str], Parameter(description="attributes that tell series apart; repeatable")
    ] = [],  # noqa: B006 (FastAPI copies it)
    step: Annotated[int | None, Parameter(ge=1, le=604_800, description="seconds")] = None,
    attr: Attributes = [],  # noqa: B006
) -> dict[str, Any]:
    """Series of one metric, one for each service and each set of values of `by`."""
    step = step or common.window.step
    if common.window.seconds / step > MAX_POINTS:
        raise Problem(400, f"step={step}: more than {MAX_POINTS} points; ask for longer steps")
    known = _kinds(
        answer, common, service=service, prefix="", name=name, after_id="", after_type="", limit=5
    )
    kind = known[0] if known else None
    points: Iterable[_Point] = []
    chosen: str | None = aggregation
    if kind is not None:
        allowed, read = _reading(kind)
        chosen = chosen or allowed[0]
        if chosen not in allowed:
            one_of = ", ".join(allowed)
            raise Problem(400, f"aggregation={chosen}: of {kind} it is one of {one_of}")
        filters, values = attribute_filters(
            [AttributeFilter.parse(text) for text in attr], "Attributes"
        )
        asked = {
            **values,
            **common.window.parameters,
            "name": name,
            "service": service,
            "environment": common.environment,
            "by": by,
        }
        points = read(_Asked(answer, chosen, step, common.window, filters, asked))
    return answer.of(
        name=name,
        unit=kind.unit if kind else None,
        type=kind.type if kind else None,
        aggregation=chosen,
        step=step,
        series=_series(answer, by, points),
    )


@dataclass(frozen=True)
class _Asked:
    answer: Answer
    aggregation: str
    step: int
    window: Window
    filters: str
    parameters: dict[str, Any]

    @property
    def quantile(self) -> float:
        return QUANTILES.get(self.aggregation, 0.5)

    def rows(self, query: Query[RowT], **more: Any) -> list[RowT]:
        return self.answer.rows(query, self.filters, **self.parameters, **more)

    def seconds(self, time: int) -> float:
        """How much of the step that begins at this time lies in the window."""
        begin, end = time * SECOND, (time + self.step) * SECOND
        return (min(end, self.window.end) - max(begin, self.window.start)) / SECOND


@dataclass(frozen=True)
class _Point:
    service: str
    labels: tuple[str, ...]
    time: int
    value: float | None


class _Labelled(TypedDict):
    """A row of a series: its labels are the values of `by`."""

    service: str
    labels: list[str]
    time: int


@dataclass(frozen=True)
class _Kind:
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
            return "a sum that only goes up" if self.is_monotonic else "a sum that goes up and down"
        return f"a {self.type}".replace("a e", "an e").replace("_", " ")


def _kinds(answer: Answer, common: Common, **asked: Any) -> list[_Kind]:
    asked |= {"environment": common.environment, **common.window.parameters}
    rows = answer.rows(queries.METRICS, **asked)
    last = sorted({(row["name"], row["last"]) for row in rows})
    if not last:
        return []
    details = {
        (row["name"], row["type"]): row
        for row in answer.rows(queries.METRIC_DETAILS, **common.window.parameters, last=last)
    }
    return [
        _Kind(
            name=row["name"],
            type=row["type"],
            unit=details[row["name"], row["type"]]["unit"],
            description=details[row["name"], row["type"]]["description"],
            services=row["services"],
            is_monotonic=row["is_monotonic"],
        )
        for row in rows
    ]


def _reading(kind: _Kind) -> tuple[tuple[str, ...], Any]:
    """What may be asked of a metric of this kind, and what reads its points."""
    if kind.is_counter:
        return COUNTERS, _counter
    return {
        "gauge": (LEVELS, _level),
        "sum": (LEVELS, _level),
        "histogram": (HISTOGRAMS, _histogram),
        "exponential_histogram": (HISTOGRAMS, _exponential),
        "summary": (SUMMARIES, _summary),
    }[kind.type]


def _series(answer: Answer, by: list[str], points: Iterable[_Point]) -> list[dict[str, Any]]:
    found: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}
    for point in points:
        if point.value is not None:
            found.setdefault((point.service, point.labels), []).append(
                {"time": rfc3339(point.time * SECOND), "value": point.value}
            )
    if len(found) > MAX_SERIES:
        answer.was_cut()
    return [
        {
            "service": service,
            "labels": dict(zip(by, labels, strict=True)),
            "points": found[service, labels],
        }
        for service, labels in sorted(found)[:MAX_SERIES]
    ]


def _point(row: _Labelled, value: float | None) -> _Point:
    return _Point(row["service"], tuple(row["labels"]), row["time"], value)


def _level(asked: _Asked) -> Iterator[_Point]:
    rows = asked.rows(
        queries.SERIES_LEVELS,
        step=asked.step,
        aggregation=asked.aggregation,
        quantile=asked.quantile,
    )
    return (_point(row, row["value"]) for row in rows)


def _counter(asked: _Asked) -> Iterator[_Point]:
    for row in asked.rows(queries.SERIES_RATES, step=asked.step, before=BEFORE):
        value = row["added"]
        if asked.aggregation == "rate" and value is not None:
            value /= asked.seconds(row["time"])
        yield _point(row, value)


def _summary(asked: _Asked) -> Iterator[_Point]:
    for row in asked.rows(
        queries.SERIES_SUMMARIES, step=asked.step, before=BEFORE, quantile=asked.quantile
    ):
        if asked.aggregation in QUANTILES:
            yield _point(row, row["value"])
        else:
            yield _point(row, _counted(asked, row["time"], row["count"], row["total"]))


def _histogram(asked: _Asked) -> Iterator[_Point]:
    steps: dict[tuple[str, tuple[str, ...], int], _Step] = defaultdict(_Step)
    for row in asked.rows(queries.SERIES_HISTOGRAMS, step=asked.step, before=BEFORE):
        into = steps[row["service"], tuple(row["labels"]), row["time"]]
        into.add(row["count"], row["total"], row["least"], row["most"])
        # JSON has no infinity: a bound that is one arrives as None.
        bounds = (math.inf if bound is None else bound for bound in row["bounds"])
        edges = [-math.inf, *bounds, math.inf]
        for number, count in enumerate(row["counts"]):
            into.buckets[edges[number], edges[number + 1]] += count
    return _of_steps(asked, steps)


def _exponential(asked: _Asked) -> Iterator[_Point]:
    rows = asked.rows(queries.SERIES_EXPONENTIAL, before=BEFORE, limit=MAX_RAW + 1)
    if len(rows) > MAX_RAW:
        asked.answer.was_cut()
        rows = rows[:MAX_RAW]
    steps: dict[tuple[str, tuple[str, ...], int], _Step] = defaultdict(_Step)
    last: queries.SeriesExponentialRow | None = None
    for row in rows:
        before, last = last if last and last["series"] == row["series"] else None, row
        if row["time"] * SECOND < asked.window.start:
            continue
        if row["temporality"] == DELTA or _began_again(row, before):
            before = None
        elif before is None and row["started"] * SECOND < asked.window.start:
            continue
        time = row["time"] // asked.step * asked.step
        into = steps[row["service"], tuple(row["labels"]), time]
        count, total = (before["count"], before["total"]) if before else (0, 0.0)
        added = None if row["total"] is None or total is None else row["total"] - total
        into.add(row["count"] - count, added, row["least"], row["most"])
        scale = min(row["scale"], before["scale"]) if before else row["scale"]
        buckets = _buckets(row, scale)
        for bucket, count in (_buckets(before, scale) if before else {}).items():
            buckets[bucket] = buckets.get(bucket, 0) - count
        for bucket, count in buckets.items():
            into.buckets[bucket] += max(0, count)
    return _of_steps(asked, steps)


def _began_again(
    row: queries.SeriesExponentialRow, before: queries.SeriesExponentialRow | None
) -> bool:
    return before is not None and (
        row["count"] < before["count"] or row["started"] > before["time"]
    )


def _buckets(row: queries.SeriesExponentialRow, scale: int) -> dict[tuple[float, float], int]:
    """Counts by (above, up to), at a scale that is not finer than the point's own."""
    found: dict[tuple[float, float], int] = defaultdict(int)
    found[0.0, 0.0] = row["zeros"]
    for sign, offset, counts in (
        (1, row["offset"], row["counts"]),
        (-1, row["negative_offset"], row["negative_counts"]),
    ):
        for number, count in enumerate(counts):
            index = (offset + number) >> (row["scale"] - scale)
            near, far = sign * _bound(index, scale), sign * _bound(index + 1, scale)
            found[min(near, far), max(near, far)] += count
    return found


def _bound(index: int, scale: int) -> float:
    try:
        return math.pow(2, index * 2.0**-scale)
    except OverflowError:
        return math.inf


@dataclass
class _Step:
    """A histogram's increase in one step. The total is None when a point's sum is not finite."""

    count: int = 0
    total: float | None = 0.0
    least: float = math.inf
    most: float = -math.inf
    buckets: dict[tuple[float, float], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, count: int, total: float | None, least: float | None, most: float | None) -> None:
        self.count += count
        self.total = None if total is None or self.total is None else self.total + total
        self.least = min(self.least, least if least is not None else math.inf)
        self.most = max(self.most, most if most is not None else -math.inf)

    def quantile(self, q: float) -> float | None:
        """As if what is in a bucket lay evenly between its bounds; from 0, or up to the last bound
        that there is, where it has none."""
        total = sum(self.buckets.values())
        if not total:
            return None
        reached = 0
        for (above, up_to), count in sorted(self.buckets.items(), key=lambda each: each[0][::-1]):
            if count and reached + count >= q * total:
                if math.isinf(up_to):
                    return None if math.isinf(above) else above
                above = min(0.0, up_to) if math.isinf(above) else above
                return above + (up_to - above) * (q * total - reached) / count
            reached += count
        return None


def _of_steps(
    asked: _Asked, steps: dict[tuple[str, tuple[str, ...], int], _Step]
) -> Iterator[_Point]:
    for (service, labels, time), step in sorted(steps.items(), key=lambda each: each[0]):
        value: float | None
        if asked.aggregation in QUANTILES:
            value = step.quantile(asked.quantile)
        elif asked.aggregation in ("min", "max"):
            value = step.least if asked.aggregation == "min" else step.most
        else:
            value = _counted(asked, time, step.count, step.total)
        yield _Point(service, labels, time, value)


def _counted(asked: _Asked, time: int, count: int, total: float | None) -> float | None:
    if asked.aggregation == "avg":
        return total / count if count and total is not None else None
    if asked.aggregation == "sum":
        return total
    return count / asked.seconds(time) if asked.aggregation == "rate" else count
