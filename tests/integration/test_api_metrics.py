"""The list of metrics, and series of each type, compared with plain Python over the same points."""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import pytest

from clew.storage import Store
from support.api_client import ApiClient
from support.reference import rfc3339
from support.traffic import SECOND

BEGAN = 1_780_308_000  # seconds
END = BEGAN + 1800
STEP = 60
WINDOW = {"start": rfc3339(BEGAN * SECOND), "end": rfc3339(END * SECOND)}
DELTA, CUMULATIVE = 1, 2
HOSTILE = "it's \\ {name:String} -- 'x'"
BOUNDS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class StoredPoint:
    """A point of any type of metric, as it is stored."""

    service: str
    instance: str
    route: str
    time: int
    value: float = 0
    started: int = 0
    count: int = 0
    counts: tuple[int, ...] = ()
    minimum: float = 0
    maximum: float = 0
    scale: int = 0
    offset: int = 0
    zeros: int = 0

    @property
    def series(self) -> tuple[str, str, str]:
        return self.service, self.instance, self.route


def _series(choice: random.Random) -> Iterable[tuple[str, str, str]]:
    for service in ("web", "orders"):
        for instance in ("a", "b"):
            for route in ("/x", "/y"):
                if choice.random() < 0.9:
                    yield service, f"{service}-{instance}", route


def _times(choice: random.Random) -> Iterable[int]:
    """About every 20 s, from before the window to after it."""
    time = BEGAN - 90
    while time < END + 30:
        time += choice.randint(10, 30)
        yield time


def _levels(seed: int) -> list[StoredPoint]:
    choice = random.Random(seed)
    return [
        StoredPoint(*series, time, choice.choice((choice.uniform(-5, 90), 12.0)))
        for series in _series(choice)
        for time in _times(choice)
    ]


def _counters(seed: int) -> list[StoredPoint]:
    """Counters that are sometimes reset; some of them start in the window."""
    choice = random.Random(seed)
    results = []
    for series in _series(choice):
        started = choice.choice((BEGAN - 5000, BEGAN + 300, 0))
        value = 0.0 if started > BEGAN else 1000.0
        for time in _times(choice):
            if time <= started:
                continue
            if choice.random() < 0.06:
                value, started = 0.0, choice.choice((started, time - 5))
            value += choice.choice((0, 3, 7.5))
            results.append(StoredPoint(*series, time, value, started))
    return results


def _histograms(seed: int, *, delta: bool = False) -> list[StoredPoint]:
    choice = random.Random(seed)
    results = []
    for series in _series(choice):
        started, counts, total = BEGAN - 5000, [0] * 5, 0.0
        for time in _times(choice):
            if delta or choice.random() < 0.05:
                counts, total = [0] * 5, 0.0
                started = time - 15
            for number in range(5):
                increase = choice.choice((0, 0, 1, 9))
                counts[number] += increase
                total += increase * (number + 1)
            results.append(
                StoredPoint(
                    *series, time, total, started, sum(counts), tuple(counts),
                    minimum=choice.random(), maximum=10 + choice.random(),
                )
            )  # fmt: skip
    return results


def _exponential(seed: int) -> list[StoredPoint]:
    """Histograms whose range grows and whose scale becomes coarser."""
    choice = random.Random(seed)
    results = []
    for series in _series(choice):
        scale, buckets = 3, defaultdict[int, int](int)
        zeros, total = 0, 0.0
        for time in _times(choice):
            for _ in range(choice.randrange(6)):
                value = choice.lognormvariate(0, 1.5)
                total += value
                buckets[math.ceil(math.log2(value) * 2**scale) - 1] += 1
            zeros += choice.randrange(2)
            if choice.random() < 0.05 and scale > 0:
                scale -= 1
                coarser = defaultdict[int, int](int)
                for index, count in buckets.items():
                    coarser[index >> 1] += count
                buckets = coarser
            low = min(buckets, default=0)
            counts = [buckets.get(index, 0) for index in range(low, max(buckets, default=-1) + 1)]
            results.append(
                StoredPoint(
                    *series, time, total, BEGAN - 5000, sum(counts) + zeros, tuple(counts),
                    scale=scale, offset=low, zeros=zeros,
                )
            )  # fmt: skip
    return results


GAUGE, LEVEL = _levels(1), _levels(2)
COUNTER, DELTAS = _counters(3), _counters(4)
HISTOGRAM, DELTA_HISTOGRAM = _histograms(5), _histograms(6, delta=True)
EXPONENTIAL = _exponential(7)
SUMMARY = _counters(8)


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store]) -> ApiClient:
    store = emptied()
    _insert(store, "gauge", "memory", GAUGE, Value=lambda point: point.value)
    _insert(store, "gauge", HOSTILE, GAUGE[10:13], Value=lambda point: point.value)
    for name, points, temporality, monotonic in (
        ("queue.size", LEVEL, CUMULATIVE, False),
        ("requests", COUNTER, CUMULATIVE, True),
        ("requests.delta", DELTAS, DELTA, True),
    ):
        _insert(
            store, "sum", name, points, Value=lambda point: point.value,
            AggregationTemporality=lambda _, is_=temporality: is_,
            IsMonotonic=lambda _, is_=monotonic: is_,
        )  # fmt: skip
    for name, points, temporality in (
        ("duration", HISTOGRAM, CUMULATIVE),
        ("duration.delta", DELTA_HISTOGRAM, DELTA),
    ):
        _insert(
            store, "histogram", name, points, Count=lambda point: point.count,
            Sum=lambda point: point.value, BucketCounts=lambda point: point.counts,
            ExplicitBounds=lambda _: BOUNDS, Min=lambda point: point.minimum,
            Max=lambda point: point.maximum, AggregationTemporality=lambda _, is_=temporality: is_,
        )  # fmt: skip
    _insert(
        store, "exponential_histogram", "size", EXPONENTIAL, Count=lambda point: point.count,
        Sum=lambda point: point.value, Scale=lambda point: point.scale,
        ZeroCount=lambda point: point.zeros, PositiveOffset=lambda point: point.offset,
        PositiveBucketCounts=lambda point: point.counts, AggregationTemporality=lambda _: CUMULATIVE,
    )  # fmt: skip
    _insert(
        store, "summary", "pause", SUMMARY, Count=lambda point: int(point.value),
        Sum=lambda point: 2 * point.value,
        **{
            "ValueAtQuantiles.Quantile": lambda _: (0.0, 0.5, 0.99),
            "ValueAtQuantiles.Value": lambda point: (0.0, point.time % 7, point.time % 50),
        },
    )  # fmt: skip
    return ApiClient(store)


def _insert(store: Store, kind: str, name: str, points: list[StoredPoint], **columns: Any) -> None:
    columns = {
        "ResourceAttributes": lambda point: {"service.instance.id": point.instance, "zone": "z"},
        "ServiceName": lambda point: point.service,
        "MetricName": lambda _: name,
        "MetricUnit": lambda _: f"u{name}",
        "MetricDescription": lambda _: f"about {name}",
        "Attributes": lambda point: {"route": point.route, HOSTILE: HOSTILE},
        "StartTimeUnix": lambda point: point.started,
        "TimeUnix": lambda point: point.time,
    } | columns
    with store.client() as client:
        client.insert(
            f"otel.otel_metrics_{kind}",
            [[column(point) for column in columns.values()] for point in points],
            column_names=list(columns),
        )


def _query(api: ApiClient, name: str, **parameters: Any) -> dict[tuple[str, ...], dict[int, float]]:
    """Points by service and the values of `by`."""
    answer = api.get("/api/v1/metrics/query", **WINDOW, name=name, step=STEP, **parameters)
    assert answer["name"] == name
    assert answer["unit"] == f"u{name}"
    assert answer["step"] == STEP
    assert answer["truncated"] is False
    results = {}
    for series in answer["series"]:
        key = (series["service"], *series["labels"].values())
        times = [datetime.fromisoformat(point["time"]).timestamp() for point in series["points"]]
        assert times == sorted(times)
        values = [point["value"] for point in series["points"]]
        results[key] = dict(zip(map(int, times), values, strict=True))
    return results


def _is_in_window(time: int) -> bool:
    return BEGAN <= time < END


Grouped = dict[tuple[str, ...], dict[int, list[Any]]]
LABELS: dict[str, Callable[[StoredPoint], tuple[str, ...]]] = {
    "": lambda point: (point.service,),
    "route": lambda point: (point.service, point.route),
    "service.instance.id": lambda point: (point.service, point.instance),
}


def _grouped(items: Iterable[tuple[StoredPoint, Any]], by: str) -> Grouped:
    results: Grouped = {}
    for point, item in items:
        steps = results.setdefault(LABELS[by](point), {})
        steps.setdefault(point.time // STEP * STEP, []).append(item)
    return results


def _check(
    results: dict[tuple[str, ...], dict[int, float]],
    expected: Grouped,
    value: Callable[[list[Any]], float | None],
) -> None:
    all_values = {
        key: {time: value(items) for time, items in steps.items()}
        for key, steps in expected.items()
    }
    expected_values = {
        key: {time: number for time, number in steps.items() if number is not None}
        for key, steps in all_values.items()
    }
    assert results.keys() == {key for key, steps in expected_values.items() if steps}
    for key, steps in results.items():
        assert steps == pytest.approx(expected_values[key]), key


def _quantile(values: list[float], q: float) -> float:
    return statistics.quantiles(values * (1 + (len(values) == 1)), n=100, method="inclusive")[
        round(q * 100) - 1
    ]


def _by_series(items: list[StoredPoint]) -> list[list[StoredPoint]]:
    ordered = sorted(items, key=lambda point: point.series)
    return [list(group) for _, group in groupby(ordered, key=lambda point: point.series)]


LEVEL_AGGREGATIONS: dict[str, Callable[[list[StoredPoint]], float]] = {
    "avg": lambda items: statistics.fmean(point.value for point in items),
    "sum": lambda items: sum(
        statistics.fmean(point.value for point in series) for series in _by_series(items)
    ),
    "min": lambda items: min(point.value for point in items),
    "max": lambda items: max(point.value for point in items),
    "count": len,
    "p50": lambda items: _quantile([point.value for point in items], 0.5),
    "p95": lambda items: _quantile([point.value for point in items], 0.95),
    "p99": lambda items: _quantile([point.value for point in items], 0.99),
}


@pytest.mark.parametrize("by", LABELS)
@pytest.mark.parametrize("aggregation", LEVEL_AGGREGATIONS)
@pytest.mark.parametrize(("name", "points"), [("memory", GAUGE), ("queue.size", LEVEL)])
def test_gauges_and_non_monotonic_sums(
    api: ApiClient, name: str, points: list[StoredPoint], aggregation: str, by: str
) -> None:
    results = _query(api, name, aggregation=aggregation, **({"by": by} if by else {}))
    in_window = [(point, point) for point in points if _is_in_window(point.time)]
    _check(results, _grouped(in_window, by), LEVEL_AGGREGATIONS[aggregation])


def test_the_last_value_of_a_gauge(api: ApiClient) -> None:
    results = _query(api, "memory", aggregation="last")
    for key, steps in _grouped(
        ((point, point) for point in GAUGE if _is_in_window(point.time)), ""
    ).items():
        for time, items in steps.items():
            latest = max(point.time for point in items)
            assert results[key][time] in {point.value for point in items if point.time == latest}


def _increases(
    points: list[StoredPoint], *, delta: bool
) -> list[tuple[StoredPoint, StoredPoint | None]]:
    """The points of the window that increase their series, each with the previous point; None for
    a delta or after a reset."""
    results: list[tuple[StoredPoint, StoredPoint | None]] = []
    for series in _by_series(points):
        previous = None
        for point in sorted(series, key=lambda point: point.time):
            is_reset = previous is not None and (
                point.value < previous.value or point.started > previous.time
            )
            if _is_in_window(point.time) and (previous or delta or point.started >= BEGAN):
                results.append((point, None if delta or is_reset else previous))
            elif _is_in_window(point.time):
                results.append((point, point))
            previous = point
    return results


def _increase(
    pair: tuple[StoredPoint, StoredPoint | None], of: Callable[[StoredPoint], float]
) -> float:
    point, previous = pair
    return of(point) - (of(previous) if previous else 0)


@pytest.mark.parametrize("by", LABELS)
@pytest.mark.parametrize("aggregation", ["rate", "sum", None])
@pytest.mark.parametrize(
    ("name", "points", "delta"), [("requests", COUNTER, False), ("requests.delta", DELTAS, True)]
)
def test_counters(
    api: ApiClient,
    name: str,
    points: list[StoredPoint],
    delta: bool,
    aggregation: str | None,
    by: str,
) -> None:
    parameters = ({"by": by} if by else {}) | ({"aggregation": aggregation} if aggregation else {})
    pairs = _grouped(((pair[0], pair) for pair in _increases(points, delta=delta)), by)
    per = 1 if aggregation == "sum" else STEP
    _check(
        _query(api, name, **parameters),
        pairs,
        lambda items: sum(_increase(pair, lambda point: point.value) for pair in items) / per,
    )


def _bucket_counts(pairs: list[tuple[StoredPoint, StoredPoint | None]]) -> list[int]:
    return [
        sum(int(_increase(pair, lambda point, at=number: point.counts[at])) for pair in pairs)
        for number in range(5)
    ]


def _bucket_quantile(counts: list[int], bounds: tuple[float, ...], q: float) -> float | None:
    """The quantile `q`, with the values of a bucket spread evenly."""
    total, reached, low = sum(counts), 0, 0.0
    if not total:
        return None
    for count, bound in zip(counts, bounds, strict=False):
        if count and reached + count >= q * total:
            return low + (bound - low) * (q * total - reached) / count
        reached, low = reached + count, bound
    return low


@pytest.mark.parametrize("aggregation", [None, "p50", "p99", "avg", "sum", "count", "rate"])
@pytest.mark.parametrize(
    ("name", "points", "delta"),
    [("duration", HISTOGRAM, False), ("duration.delta", DELTA_HISTOGRAM, True)],
)
def test_histograms(
    api: ApiClient, name: str, points: list[StoredPoint], delta: bool, aggregation: str | None
) -> None:
    # A histogram is reset when any of its buckets falls; here all of them do.
    pairs = _grouped(((pair[0], pair) for pair in _increases(points, delta=delta)), "route")
    results = _query(api, name, by="route", **({"aggregation": aggregation} if aggregation else {}))

    def value(items: list[tuple[StoredPoint, StoredPoint | None]]) -> float | None:
        count = sum(_increase(pair, lambda point: point.count) for pair in items)
        total = sum(_increase(pair, lambda point: point.value) for pair in items)
        if aggregation in (None, "p50", "p99"):
            q = {None: 0.95, "p50": 0.5, "p99": 0.99}[aggregation]
            return _bucket_quantile(_bucket_counts(items), BOUNDS, q)
        if aggregation == "avg":
            return total / count if count else None
        return {"sum": total, "count": count, "rate": count / STEP}[aggregation or ""]

    _check(results, pairs, value)


def test_the_minimum_and_the_maximum_of_a_histogram(api: ApiClient) -> None:
    in_window = _grouped(((point, point) for point in HISTOGRAM if _is_in_window(point.time)), "")
    _check(
        _query(api, "duration", aggregation="min"), in_window,
        lambda items: min(point.minimum for point in items),
    )  # fmt: skip
    _check(
        _query(api, "duration", aggregation="max"), in_window,
        lambda items: max(point.maximum for point in items),
    )  # fmt: skip


@pytest.mark.parametrize(("aggregation", "q"), [("p50", 0.5), ("p95", 0.95), ("count", None)])
def test_exponential_histograms(api: ApiClient, aggregation: str, q: float | None) -> None:
    pairs = _grouped(((pair[0], pair) for pair in _increases(EXPONENTIAL, delta=False)), "")
    results = _query(api, "size", aggregation=aggregation)

    def value(items: list[tuple[StoredPoint, StoredPoint | None]]) -> float | None:
        if q is None:
            return sum(_increase(pair, lambda point: point.count) for pair in items)
        buckets: dict[tuple[float, float], int] = defaultdict(int)
        for point, previous in items:
            scale = min(point.scale, previous.scale if previous else point.scale)
            for one, sign in ((point, 1), (previous, -1)):
                if one is not None:
                    buckets[0.0, 0.0] += sign * one.zeros
                    for number, count in enumerate(one.counts):
                        index = (one.offset + number) >> (one.scale - scale)
                        low, high = (2 ** (each / 2**scale) for each in (index, index + 1))
                        buckets[low, high] += sign * count
        ordered = sorted(buckets.items(), key=lambda each: (each[0][1], each[0][0]))
        total, reached = sum(buckets.values()), 0
        for (low, high), count in ordered:
            if count and reached + count >= q * total:
                return low + (high - low) * (q * total - reached) / count
            reached += count
        return None

    _check(results, pairs, value)


@pytest.mark.parametrize("aggregation", ["p50", "p95", "avg", "rate"])
def test_summaries(api: ApiClient, aggregation: str) -> None:
    results = _query(api, "pause", aggregation=aggregation, by="route")
    points_with_counts = [
        StoredPoint(*point.series, point.time, int(point.value), point.started, maximum=point.value)
        for point in SUMMARY
    ]
    if aggregation in ("p50", "p95"):
        in_window = _grouped(
            ((point, point) for point in points_with_counts if _is_in_window(point.time)), "route"
        )
        period = {"p50": 7, "p95": 50}[aggregation]
        _check(
            results,
            in_window,
            lambda items: statistics.fmean(point.time % period for point in items),
        )
        return
    pairs = _grouped(
        ((pair[0], pair) for pair in _increases(points_with_counts, delta=False)), "route"
    )

    def value(items: list[tuple[StoredPoint, StoredPoint | None]]) -> float | None:
        count = sum(_increase(pair, lambda point: point.value) for pair in items)
        total = sum(_increase(pair, lambda point: 2 * point.maximum) for pair in items)
        if aggregation == "rate":
            return count / STEP
        return total / count if count else None

    _check(results, pairs, value)


def test_filters_by_service_and_attributes(api: ApiClient) -> None:
    results = _query(
        api, "memory", aggregation="count", service="web",
        attr=["route=/x", "service.instance.id~web", f"{HOSTILE}={HOSTILE}"],
    )  # fmt: skip
    in_window = [
        (point, point)
        for point in GAUGE
        if _is_in_window(point.time) and (point.service, point.route) == ("web", "/x")
    ]
    _check(results, _grouped(in_window, ""), len)


def test_a_rate_divides_by_the_part_of_the_step_in_the_window(api: ApiClient) -> None:
    parameters = {"start": rfc3339((BEGAN + 30) * SECOND), "end": rfc3339((BEGAN + 60) * SECOND)}
    rate, total = (
        api.get("/api/v1/metrics/query", **parameters, name="requests", step=STEP, aggregation=each)
        for each in ("rate", "sum")
    )
    assert rate["series"]
    for rate_series, sum_series in zip(rate["series"], total["series"], strict=True):
        ((a,), (b,)) = rate_series["points"], sum_series["points"]
        assert a["value"] == pytest.approx(b["value"] / 30)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_sum_that_is_not_a_finite_number_has_no_points(api: ApiClient, value: float) -> None:
    store: Store = api.app.state.reader.store
    day_before, name = BEGAN - 86_400, f"odd.{value}"
    window = {"start": rfc3339(day_before * SECOND), "end": rfc3339((day_before + 60) * SECOND)}
    points = [
        StoredPoint("web", "web-a", "/x", day_before + 10 * number, value, day_before, count=number)
        for number in (1, 2)
    ]
    _insert(store, "gauge", name, points, Value=lambda point: point.value)
    _insert(
        store, "sum", f"{name}.sum", points, Value=lambda point: point.value,
        AggregationTemporality=lambda _: DELTA, IsMonotonic=lambda _: True,
    )  # fmt: skip
    for kind in ("histogram", "exponential_histogram", "summary"):
        of_kind = {} if kind == "summary" else {"AggregationTemporality": lambda _: DELTA}
        _insert(
            store, kind, f"{name}.{kind}", points, Count=lambda point: point.count,
            Sum=lambda point: point.value, **of_kind,
        )  # fmt: skip
    for metric, aggregation in (
        (name, "avg"),
        (f"{name}.sum", "sum"),
        (f"{name}.sum", "rate"),
        (f"{name}.histogram", "avg"),
        (f"{name}.summary", "avg"),
    ):
        answer = api.get(
            "/api/v1/metrics/query", **window, name=metric, aggregation=aggregation, step=STEP
        )
        assert answer["series"] == [], (metric, aggregation)
    for kind in ("histogram", "exponential_histogram", "summary"):
        answer = api.get(
            "/api/v1/metrics/query", **window, name=f"{name}.{kind}", aggregation="rate", step=STEP
        )
        ((point,),) = (series["points"] for series in answer["series"])
        assert point["value"] > 0, kind


def test_the_list_of_metrics(api: ApiClient) -> None:
    listed = api.get("/api/v1/metrics", **WINDOW)["metrics"]
    assert [(row["name"], row["type"]) for row in listed] == sorted(
        [
            ("memory", "gauge"), (HOSTILE, "gauge"), ("queue.size", "sum"), ("requests", "sum"),
            ("requests.delta", "sum"), ("duration", "histogram"), ("duration.delta", "histogram"),
            ("size", "exponential_histogram"), ("pause", "summary"),
        ]
    )  # fmt: skip
    assert listed[[row["name"] for row in listed].index("memory")] == {
        "name": "memory", "type": "gauge", "unit": "umemory", "description": "about memory",
        "services": sorted({point.service for point in GAUGE}), "is_monotonic": False, "is_delta": False,
    }  # fmt: skip
    assert {row["name"] for row in listed if row["is_monotonic"]} == {"requests", "requests.delta"}
    pages = api.pages("/api/v1/metrics", "metrics", **WINDOW, limit=2)
    assert [len(page) for page in pages] == [2, 2, 2, 2, 1]
    assert [row for page in pages for row in page] == listed
    requests = api.get("/api/v1/metrics", **WINDOW, prefix="requests", service="web")["metrics"]
    assert [row["name"] for row in requests] == ["requests", "requests.delta"]
    assert {service for row in requests for service in row["services"]} == {"web"}
    assert api.get("/api/v1/metrics", **WINDOW, prefix="it's")["metrics"][0]["name"] == HOSTILE


def test_an_unknown_metric_has_no_series(api: ApiClient) -> None:
    answer = api.get("/api/v1/metrics/query", **WINDOW, name="no.such")
    assert (answer["type"], answer["series"]) == (None, [])


@pytest.mark.parametrize(
    ("parameters", "status", "mention"),
    [
        ({"name": "memory", "aggregation": "rate"}, 400, "a gauge"),
        ({"name": "requests", "aggregation": "p95"}, 400, "a monotonic sum"),
        ({"name": "size", "aggregation": "last"}, 400, "an exponential histogram"),
        ({"name": "memory", "aggregation": "median"}, 422, "aggregation"),
        ({"name": "memory", "step": "0"}, 422, "step"),
        ({"name": "memory", "step": "1", "start": "2026-05-01T00:00:00Z"}, 400, "step"),
        ({"name": "memory", "attr": "x"}, 400, "attr"),
        ({}, 422, "name"),
    ],
    ids=str,
)
def test_a_parameter_that_does_not_fit_the_metric_is_a_problem(
    api: ApiClient, parameters: dict[str, str], status: int, mention: str
) -> None:
    problem = api.problem("/api/v1/metrics/query", **(WINDOW | parameters))
    assert problem["status"] == status
    assert mention in problem["detail"]
