"""Metrics by name, and series of each kind, against plain Python over the points that were sent."""

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
from support.asking import Api
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
class Said:
    """A point of any kind, as it is stored."""

    service: str
    instance: str
    route: str
    time: int
    value: float = 0
    started: int = 0
    count: int = 0
    counts: tuple[int, ...] = ()
    least: float = 0
    most: float = 0
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


def _levels(seed: int) -> list[Said]:
    choice = random.Random(seed)
    return [
        Said(*series, time, choice.choice((choice.uniform(-5, 90), 12.0)))
        for series in _series(choice)
        for time in _times(choice)
    ]


def _counters(seed: int) -> list[Said]:
    """Counters that fall back to nothing now and then, some of them seen to begin in the window."""
    choice = random.Random(seed)
    found = []
    for series in _series(choice):
        started = choice.choice((BEGAN - 5000, BEGAN + 300, 0))
        value = 0.0 if started > BEGAN else 1000.0
        for time in _times(choice):
            if time <= started:
                continue
            if choice.random() < 0.06:
                value, started = 0.0, choice.choice((started, time - 5))
            value += choice.choice((0, 3, 7.5))
            found.append(Said(*series, time, value, started))
    return found


def _histograms(seed: int, *, delta: bool = False) -> list[Said]:
    choice = random.Random(seed)
    found = []
    for series in _series(choice):
        started, counts, total = BEGAN - 5000, [0] * 5, 0.0
        for time in _times(choice):
            if delta or choice.random() < 0.05:
                counts, total = [0] * 5, 0.0
                started = time - 15
            for number in range(5):
                more = choice.choice((0, 0, 1, 9))
                counts[number] += more
                total += more * (number + 1)
            found.append(
                Said(
                    *series, time, total, started, sum(counts), tuple(counts),
                    least=choice.random(), most=10 + choice.random(),
                )
            )  # fmt: skip
    return found


def _exponential(seed: int) -> list[Said]:
    """Growing ranges, and scales that become coarser as they do."""
    choice = random.Random(seed)
    found = []
    for series in _series(choice):
        scale, seen = 3, defaultdict[int, int](int)
        zeros, total = 0, 0.0
        for time in _times(choice):
            for _ in range(choice.randrange(6)):
                value = choice.lognormvariate(0, 1.5)
                total += value
                seen[math.ceil(math.log2(value) * 2**scale) - 1] += 1
            zeros += choice.randrange(2)
            if choice.random() < 0.05 and scale > 0:
                scale -= 1
                coarser = defaultdict[int, int](int)
                for index, count in seen.items():
                    coarser[index >> 1] += count
                seen = coarser
            low = min(seen, default=0)
            counts = [seen.get(index, 0) for index in range(low, max(seen, default=-1) + 1)]
            found.append(
                Said(
                    *series, time, total, BEGAN - 5000, sum(counts) + zeros, tuple(counts),
                    scale=scale, offset=low, zeros=zeros,
                )
            )  # fmt: skip
    return found


GAUGE, LEVEL = _levels(1), _levels(2)
COUNTER, DELTAS = _counters(3), _counters(4)
HISTOGRAM, DELTA_HISTOGRAM = _histograms(5), _histograms(6, delta=True)
EXPONENTIAL = _exponential(7)
SUMMARY = _counters(8)


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store]) -> Api:
    store = emptied()
    _insert(store, "gauge", "memory", GAUGE, Value=lambda said: said.value)
    _insert(store, "gauge", HOSTILE, GAUGE[10:13], Value=lambda said: said.value)
    for name, points, temporality, monotonic in (
        ("queue.size", LEVEL, CUMULATIVE, False),
        ("requests", COUNTER, CUMULATIVE, True),
        ("requests.delta", DELTAS, DELTA, True),
    ):
        _insert(
            store, "sum", name, points, Value=lambda said: said.value,
            AggregationTemporality=lambda _, is_=temporality: is_,
            IsMonotonic=lambda _, is_=monotonic: is_,
        )  # fmt: skip
    for name, points, temporality in (
        ("duration", HISTOGRAM, CUMULATIVE),
        ("duration.delta", DELTA_HISTOGRAM, DELTA),
    ):
        _insert(
            store, "histogram", name, points, Count=lambda said: said.count,
            Sum=lambda said: said.value, BucketCounts=lambda said: said.counts,
            ExplicitBounds=lambda _: BOUNDS, Min=lambda said: said.least,
            Max=lambda said: said.most, AggregationTemporality=lambda _, is_=temporality: is_,
        )  # fmt: skip
    _insert(
        store, "exponential_histogram", "size", EXPONENTIAL, Count=lambda said: said.count,
        Sum=lambda said: said.value, Scale=lambda said: said.scale,
        ZeroCount=lambda said: said.zeros, PositiveOffset=lambda said: said.offset,
        PositiveBucketCounts=lambda said: said.counts, AggregationTemporality=lambda _: CUMULATIVE,
    )  # fmt: skip
    _insert(
        store, "summary", "pause", SUMMARY, Count=lambda said: int(said.value),
        Sum=lambda said: 2 * said.value,
        **{
            "ValueAtQuantiles.Quantile": lambda _: (0.0, 0.5, 0.99),
            "ValueAtQuantiles.Value": lambda said: (0.0, said.time % 7, said.time % 50),
        },
    )  # fmt: skip
    return Api(store)


def _insert(store: Store, kind: str, name: str, points: list[Said], **columns: Any) -> None:
    columns = {
        "ResourceAttributes": lambda said: {"service.instance.id": said.instance, "zone": "z"},
        "ServiceName": lambda said: said.service,
        "MetricName": lambda _: name,
        "MetricUnit": lambda _: f"u{name}",
        "MetricDescription": lambda _: f"about {name}",
        "Attributes": lambda said: {"route": said.route, HOSTILE: HOSTILE},
        "StartTimeUnix": lambda said: said.started,
        "TimeUnix": lambda said: said.time,
    } | columns
    with store.client() as client:
        client.insert(
            f"otel.otel_metrics_{kind}",
            [[column(said) for column in columns.values()] for said in points],
            column_names=list(columns),
        )


def _ask(api: Api, name: str, **asked: Any) -> dict[tuple[str, ...], dict[int, float]]:
    """Points by service and the values of `by`."""
    answer = api.get("/api/v1/metrics/query", **WINDOW, name=name, step=STEP, **asked)
    assert answer["name"] == name
    assert answer["unit"] == f"u{name}"
    assert answer["step"] == STEP
    assert answer["truncated"] is False
    found = {}
    for series in answer["series"]:
        key = (series["service"], *series["labels"].values())
        times = [datetime.fromisoformat(point["time"]).timestamp() for point in series["points"]]
        assert times == sorted(times)
        values = [point["value"] for point in series["points"]]
        found[key] = dict(zip(map(int, times), values, strict=True))
    return found


def _inside(time: int) -> bool:
    return BEGAN <= time < END


Grouped = dict[tuple[str, ...], dict[int, list[Any]]]
BY: dict[str, Callable[[Said], tuple[str, ...]]] = {
    "": lambda said: (said.service,),
    "route": lambda said: (said.service, said.route),
    "service.instance.id": lambda said: (said.service, said.instance),
}


def _grouped(items: Iterable[tuple[Said, Any]], by: str) -> Grouped:
    found: Grouped = {}
    for said, item in items:
        steps = found.setdefault(BY[by](said), {})
        steps.setdefault(said.time // STEP * STEP, []).append(item)
    return found


def _check(
    found: dict[tuple[str, ...], dict[int, float]],
    expected: Grouped,
    value: Callable[[list[Any]], float | None],
) -> None:
    worked_out = {
        key: {time: value(items) for time, items in steps.items()}
        for key, steps in expected.items()
    }
    shown = {
        key: {time: number for time, number in steps.items() if number is not None}
        for key, steps in worked_out.items()
    }
    assert found.keys() == {key for key, steps in shown.items() if steps}
    for key, steps in found.items():
        assert steps == pytest.approx(shown[key]), key


def _quantile(values: list[float], q: float) -> float:
    return statistics.quantiles(values * (1 + (len(values) == 1)), n=100, method="inclusive")[
        round(q * 100) - 1
    ]


def _by_series(items: list[Said]) -> list[list[Said]]:
    ordered = sorted(items, key=lambda said: said.series)
    return [list(group) for _, group in groupby(ordered, key=lambda said: said.series)]


OF_LEVELS: dict[str, Callable[[list[Said]], float]] = {
    "avg": lambda items: statistics.fmean(said.value for said in items),
    "sum": lambda items: sum(
        statistics.fmean(said.value for said in series) for series in _by_series(items)
    ),
    "min": lambda items: min(said.value for said in items),
    "max": lambda items: max(said.value for said in items),
    "count": len,
    "p50": lambda items: _quantile([said.value for said in items], 0.5),
    "p95": lambda items: _quantile([said.value for said in items], 0.95),
    "p99": lambda items: _quantile([said.value for said in items], 0.99),
}


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("aggregation", OF_LEVELS)
@pytest.mark.parametrize(("name", "points"), [("memory", GAUGE), ("queue.size", LEVEL)])
def test_levels(api: Api, name: str, points: list[Said], aggregation: str, by: str) -> None:
    found = _ask(api, name, aggregation=aggregation, **({"by": by} if by else {}))
    inside = [(said, said) for said in points if _inside(said.time)]
    _check(found, _grouped(inside, by), OF_LEVELS[aggregation])


def test_the_latest_of_a_level(api: Api) -> None:
    found = _ask(api, "memory", aggregation="last")
    for key, steps in _grouped(((said, said) for said in GAUGE if _inside(said.time)), "").items():
        for time, items in steps.items():
            latest = max(said.time for said in items)
            assert found[key][time] in {said.value for said in items if said.time == latest}


def _added(points: list[Said], *, delta: bool) -> list[tuple[Said, Said | None]]:
    """Each point of the window that adds something, with the one that it adds to."""
    found: list[tuple[Said, Said | None]] = []
    for series in _by_series(points):
        before = None
        for said in sorted(series, key=lambda said: said.time):
            began_again = before is not None and (
                said.value < before.value or said.started > before.time
            )
            if _inside(said.time) and (before or delta or said.started >= BEGAN):
                found.append((said, None if delta or began_again else before))
            elif _inside(said.time):
                found.append((said, said))
            before = said
    return found


def _more(pair: tuple[Said, Said | None], of: Callable[[Said], float]) -> float:
    said, before = pair
    return of(said) - (of(before) if before else 0)


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("aggregation", ["rate", "sum", None])
@pytest.mark.parametrize(
    ("name", "points", "delta"), [("requests", COUNTER, False), ("requests.delta", DELTAS, True)]
)
def test_counters(
    api: Api, name: str, points: list[Said], delta: bool, aggregation: str | None, by: str
) -> None:
    asked = ({"by": by} if by else {}) | ({"aggregation": aggregation} if aggregation else {})
    pairs = _grouped(((pair[0], pair) for pair in _added(points, delta=delta)), by)
    per = 1 if aggregation == "sum" else STEP
    _check(
        _ask(api, name, **asked),
        pairs,
        lambda items: sum(_more(pair, lambda said: said.value) for pair in items) / per,
    )


def _in_buckets(pairs: list[tuple[Said, Said | None]]) -> list[int]:
    return [
        sum(int(_more(pair, lambda said, at=number: said.counts[at])) for pair in pairs)
        for number in range(5)
    ]


def _of_buckets(counts: list[int], bounds: tuple[float, ...], q: float) -> float | None:
    """Where the q of them lies, when those of a bucket lie evenly in it."""
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
    api: Api, name: str, points: list[Said], delta: bool, aggregation: str | None
) -> None:
    # A histogram fell when any of its buckets did; these fall in all.
    pairs = _grouped(((pair[0], pair) for pair in _added(points, delta=delta)), "route")
    found = _ask(api, name, by="route", **({"aggregation": aggregation} if aggregation else {}))

    def value(items: list[tuple[Said, Said | None]]) -> float | None:
        count = sum(_more(pair, lambda said: said.count) for pair in items)
        total = sum(_more(pair, lambda said: said.value) for pair in items)
        if aggregation in (None, "p50", "p99"):
            q = {None: 0.95, "p50": 0.5, "p99": 0.99}[aggregation]
            return _of_buckets(_in_buckets(items), BOUNDS, q)
        if aggregation == "avg":
            return total / count if count else None
        return {"sum": total, "count": count, "rate": count / STEP}[aggregation or ""]

    _check(found, pairs, value)


def test_the_least_and_the_most_of_a_histogram(api: Api) -> None:
    inside = _grouped(((said, said) for said in HISTOGRAM if _inside(said.time)), "")
    _check(
        _ask(api, "duration", aggregation="min"), inside,
        lambda items: min(said.least for said in items),
    )  # fmt: skip
    _check(
        _ask(api, "duration", aggregation="max"), inside,
        lambda items: max(said.most for said in items),
    )  # fmt: skip


@pytest.mark.parametrize(("aggregation", "q"), [("p50", 0.5), ("p95", 0.95), ("count", None)])
def test_exponential_histograms(api: Api, aggregation: str, q: float | None) -> None:
    pairs = _grouped(((pair[0], pair) for pair in _added(EXPONENTIAL, delta=False)), "")
    found = _ask(api, "size", aggregation=aggregation)

    def value(items: list[tuple[Said, Said | None]]) -> float | None:
        if q is None:
            return sum(_more(pair, lambda said: said.count) for pair in items)
        buckets: dict[tuple[float, float], int] = defaultdict(int)
        for said, before in items:
            scale = min(said.scale, before.scale if before else said.scale)
            for point, sign in ((said, 1), (before, -1)):
                if point is not None:
                    buckets[0.0, 0.0] += sign * point.zeros
                    for number, count in enumerate(point.counts):
                        index = (point.offset + number) >> (point.scale - scale)
                        low, high = (2 ** (each / 2**scale) for each in (index, index + 1))
                        buckets[low, high] += sign * count
        ordered = sorted(buckets.items(), key=lambda each: (each[0][1], each[0][0]))
        total, reached = sum(buckets.values()), 0
        for (low, high), count in ordered:
            if count and reached + count >= q * total:
                return low + (high - low) * (q * total - reached) / count
            reached += count
        return None

    _check(found, pairs, value)


@pytest.mark.parametrize("aggregation", ["p50", "p95", "avg", "rate"])
def test_summaries(api: Api, aggregation: str) -> None:
    found = _ask(api, "pause", aggregation=aggregation, by="route")
    whole = [
        Said(*said.series, said.time, int(said.value), said.started, most=said.value)
        for said in SUMMARY
    ]
    if aggregation in ("p50", "p95"):
        inside = _grouped(((said, said) for said in whole if _inside(said.time)), "route")
        every = {"p50": 7, "p95": 50}[aggregation]
        _check(found, inside, lambda items: statistics.fmean(said.time % every for said in items))
        return
    pairs = _grouped(((pair[0], pair) for pair in _added(whole, delta=False)), "route")

    def value(items: list[tuple[Said, Said | None]]) -> float | None:
        count = sum(_more(pair, lambda said: said.value) for pair in items)
        total = sum(_more(pair, lambda said: 2 * said.most) for pair in items)
        if aggregation == "rate":
            return count / STEP
        return total / count if count else None

    _check(found, pairs, value)


def test_a_service_and_attributes(api: Api) -> None:
    found = _ask(
        api, "memory", aggregation="count", service="web",
        attr=["route=/x", "service.instance.id~web", f"{HOSTILE}={HOSTILE}"],
    )  # fmt: skip
    inside = [
        (said, said)
        for said in GAUGE
        if _inside(said.time) and (said.service, said.route) == ("web", "/x")
    ]
    _check(found, _grouped(inside, ""), len)


def test_a_cut_step_is_as_long_as_what_is_in_the_window(api: Api) -> None:
    asked = {"start": rfc3339((BEGAN + 30) * SECOND), "end": rfc3339((BEGAN + 60) * SECOND)}
    rate, total = (
        api.get("/api/v1/metrics/query", **asked, name="requests", step=STEP, aggregation=each)
        for each in ("rate", "sum")
    )
    assert rate["series"]
    for one, other in zip(rate["series"], total["series"], strict=True):
        ((a,), (b,)) = one["points"], other["points"]
        assert a["value"] == pytest.approx(b["value"] / 30)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_sum_that_is_not_a_finite_number_has_no_points(api: Api, value: float) -> None:
    store: Store = api.app.state.reader.store
    day_before, name = BEGAN - 86_400, f"odd.{value}"
    window = {"start": rfc3339(day_before * SECOND), "end": rfc3339((day_before + 60) * SECOND)}
    points = [
        Said("web", "web-a", "/x", day_before + 10 * number, value, day_before, count=number)
        for number in (1, 2)
    ]
    _insert(store, "gauge", name, points, Value=lambda said: said.value)
    _insert(
        store, "sum", f"{name}.sum", points, Value=lambda said: said.value,
        AggregationTemporality=lambda _: DELTA, IsMonotonic=lambda _: True,
    )  # fmt: skip
    for kind in ("histogram", "exponential_histogram", "summary"):
        of_kind = {} if kind == "summary" else {"AggregationTemporality": lambda _: DELTA}
        _insert(
            store, kind, f"{name}.{kind}", points, Count=lambda said: said.count,
            Sum=lambda said: said.value, **of_kind,
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


def test_metrics_by_name(api: Api) -> None:
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
        "services": sorted({said.service for said in GAUGE}), "is_monotonic": False,
    }  # fmt: skip
    assert {row["name"] for row in listed if row["is_monotonic"]} == {"requests", "requests.delta"}
    pages = api.pages("/api/v1/metrics", "metrics", **WINDOW, limit=2)
    assert [len(page) for page in pages] == [2, 2, 2, 2, 1]
    assert [row for page in pages for row in page] == listed
    requests = api.get("/api/v1/metrics", **WINDOW, prefix="requests", service="web")["metrics"]
    assert [row["name"] for row in requests] == ["requests", "requests.delta"]
    assert {service for row in requests for service in row["services"]} == {"web"}
    assert api.get("/api/v1/metrics", **WINDOW, prefix="it's")["metrics"][0]["name"] == HOSTILE


def test_an_unknown_metric_has_no_series(api: Api) -> None:
    answer = api.get("/api/v1/metrics/query", **WINDOW, name="no.such")
    assert (answer["type"], answer["series"]) == (None, [])


@pytest.mark.parametrize(
    ("asked", "status", "named"),
    [
        ({"name": "memory", "aggregation": "rate"}, 400, "a gauge"),
        ({"name": "requests", "aggregation": "p95"}, 400, "only goes up"),
        ({"name": "size", "aggregation": "last"}, 400, "an exponential histogram"),
        ({"name": "memory", "aggregation": "median"}, 422, "aggregation"),
        ({"name": "memory", "step": "0"}, 422, "step"),
        ({"name": "memory", "step": "1", "start": "2026-05-01T00:00:00Z"}, 400, "step"),
        ({"name": "memory", "attr": "x"}, 400, "attr"),
        ({}, 422, "name"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_of_a_metric(
    api: Api, asked: dict[str, str], status: int, named: str
) -> None:
    problem = api.problem("/api/v1/metrics/query", **(WINDOW | asked))
    assert problem["status"] == status
    assert named in problem["detail"]
