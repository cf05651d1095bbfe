"""Series of metrics from points as real senders send them: streams, restarts, gaps and odd values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.loading import load
from support.reference import rfc3339

SECOND = 1_000_000_000
START = 1_700_000_100 * SECOND  # a multiple of 300 s
END = START + 300 * SECOND
LONG_AGO = START - 7200 * SECOND
TIMES = [START + 15 * SECOND + number * 30 * SECOND for number in range(8)]
NO_VALUE = 1  # the flag of a point without a recorded value
Send = Callable[..., None]


@pytest.fixture
def send(ingest: Ingest, tmp_path: Path) -> Send:
    """Stores points of one metric; each point is (time, value) or a dict of the point's fields."""

    def send(
        kind: str,
        points: list[Any],
        *,
        name: str = "m",
        unit: str = "1",
        start: int = LONG_AGO,
        scope: str = "s",
        **fields: Any,
    ) -> None:
        request = ExportMetricsServiceRequest()
        resource = request.resource_metrics.add()
        for key, value in fields.pop("resource", {"service.name": "web"}).items():
            resource.resource.attributes.append(
                KeyValue(key=key, value=AnyValue(string_value=value))
            )
        scopes = resource.scope_metrics.add()
        scopes.scope.name = scope
        data = getattr(scopes.metrics.add(name=name, unit=unit), kind)
        if kind in ("sum", "histogram", "exponential_histogram"):
            data.aggregation_temporality = fields.pop("temporality", 2)
        if kind == "sum":
            data.is_monotonic = fields.pop("monotonic", True)
        for point in points:
            values = point if isinstance(point, dict) else _fields(point)
            positive = values.pop("positive", None)
            added = data.data_points.add(**{"start_time_unix_nano": start, **values, **fields})
            if positive is not None:
                added.positive.offset, counts = positive
                added.positive.bucket_counts.extend(counts)
        load(ingest, tmp_path, ("metrics", request.SerializeToString()))

    return send


def _fields(point: tuple[int, float]) -> dict[str, Any]:
    return {"time_unix_nano": point[0], "as_double": point[1]}


def buckets(time: int, counts: list[int], bounds: list[float], **more: Any) -> dict[str, Any]:
    return {
        "time_unix_nano": time,
        "count": sum(counts),
        "bucket_counts": counts,
        "explicit_bounds": bounds,
        **more,
    }


@pytest.fixture
def query(store: Store) -> Callable[..., Any]:
    """The one value of a metric in the window, or None."""
    client = ApiClient(store)

    def query(aggregation: str, *, name: str = "m", **parameters: Any) -> float | None:
        document = client.get(
            "/api/v1/metrics/query",
            name=name,
            aggregation=aggregation,
            start=rfc3339(START),
            end=rfc3339(END),
            step=300,
            **parameters,
        )
        values = [point["value"] for series in document["series"] for point in series["points"]]
        assert len(values) <= 1
        return values[0] if values else None

    return query


def rising(first: float, by: float, times: list[int] = TIMES) -> list[tuple[int, float]]:
    return [(time, first + by * number) for number, time in enumerate(times)]


def test_two_scopes_of_one_process_are_two_series(send: Send, query: Any) -> None:
    send("sum", rising(1000, 10), scope="requests")
    send("sum", rising(5, 1, [time + SECOND for time in TIMES]), scope="httpx")
    assert query("sum") == 77


def test_resource_attributes_in_another_order_are_one_series(send: Send, query: Any) -> None:
    resource = {"service.name": "web", "host.name": "h", "os.type": "linux"}
    for number, point in enumerate(rising(100, 10)):
        pairs = list(resource.items())
        send("sum", [point], resource=dict(pairs[:: 1 if number % 2 else -1]))
    assert query("sum") == 70


def test_replicas_without_an_instance_id_are_two_series(send: Send, query: Any) -> None:
    for pod, first, by in (("a", 100_000, 30), ("b", 500, 3)):
        send("sum", rising(first, by), resource={"service.name": "web", "k8s.pod.name": pod})
    assert query("sum") == 7 * 33


def test_overlapping_processes_are_parted_by_their_starts(send: Send, query: Any) -> None:
    send("sum", rising(1855, 1), start=LONG_AGO)
    send("sum", rising(1834, 1, [time + 5 * SECOND for time in TIMES]), start=LONG_AGO - SECOND)
    assert query("sum") == 14


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        # its start says that it began again, though it did not fall
        ([(0, 100, LONG_AGO), (1, 110, LONG_AGO), (3, 150, TIMES[2]), (4, 160, TIMES[2])], 170),
        # it fell: in the window's first bin too
        ([(0, 5000, 0), (1, 5010, 0), (2, 5, 0), (3, 10, 0)], 20),
        # nothing is known of what came before the first point
        ([(0, 5000, LONG_AGO)], 0),
        # a start that equals the time says that the start is not known
        ([(0, 5000, TIMES[0]), (1, 5010, TIMES[0])], 10),
        # a process that began and ended within a second
        ([(0, 7, TIMES[0] - SECOND // 2)], 7),
    ],
)
def test_resets_follow_the_data_model(
    send: Send, query: Any, points: list[tuple[int, float, int]], expected: float
) -> None:
    for number, value, start in points:
        send("sum", [(TIMES[number], value)], start=start)
    assert query("sum") == expected


def test_points_within_one_second_keep_their_order(send: Send, query: Any) -> None:
    second = TIMES[2] // SECOND * SECOND
    send("sum", [(second + 900_000_000, 1010)])
    send("sum", [(TIMES[0], 1000), (second + 400_000_000, 1005)])
    assert query("sum") == 10


def test_an_exporters_rows_of_one_second_go_up(store: Store, send: Send, query: Any) -> None:
    send("sum", [(TIMES[0], 1000)])
    with store.client() as client:
        for value in (1010, 1005):  # as another writer stores them: without nanoseconds
            client.command(
                "INSERT INTO otel.otel_metrics_sum (ResourceAttributes, ScopeName, ServiceName, "
                "MetricName, MetricUnit, StartTimeUnix, TimeUnix, Value, AggregationTemporality, "
                "IsMonotonic) VALUES (map('service.name', 'web'), 's', 'web', 'm', '1', "
                "{start:DateTime}, {time:DateTime}, {value:Float64}, 2, true)",
                parameters={
                    "start": LONG_AGO // SECOND,
                    "time": TIMES[1] // SECOND,
                    "value": value,
                },
            )
    assert query("sum") == 10


def test_a_point_without_a_recorded_value_is_a_gap(send: Send, query: Any) -> None:
    gap = {"time_unix_nano": TIMES[4], "flags": NO_VALUE}
    send("gauge", [(time, 50) for time in TIMES[:4]], name="g")
    send("gauge", [gap], name="g")
    send("sum", [*rising(5000, 10, TIMES[:4]), gap, *rising(5040, 10, TIMES[5:])], name="c")
    points = [buckets(time, [100 + n, 50], [1.0]) for n, time in enumerate(TIMES) if n != 4]
    send("histogram", [*points, gap], name="h")
    assert query("min", name="g") == 50
    assert query("sum", name="c") == 60
    assert query("count", name="h") == 7


@pytest.mark.parametrize("monotonic", [True, False])
def test_deltas_are_added_whatever_their_monotonicity(
    send: Send, query: Any, monotonic: bool
) -> None:
    send("sum", [(time, 7) for time in TIMES], temporality=1, monotonic=monotonic)
    assert query("sum") == 56
    assert query("rate") == pytest.approx(56 / 300)


def test_an_up_down_sum_is_the_sum_over_its_series_by_default(store: Store, send: Send) -> None:
    for pod in "ab":
        resource = {"service.name": "web", "k8s.pod.name": pod}
        send("sum", [(time, 3) for time in TIMES], monotonic=False, resource=resource)
    window = {"start": rfc3339(START), "end": rfc3339(END), "step": 300}
    document = ApiClient(store).get("/api/v1/metrics/query", name="m", **window)
    assert document["aggregation"] == "sum"
    assert document["series"][0]["points"][0]["value"] == 6


def test_one_name_of_two_kinds_is_two_metrics(store: Store, send: Send) -> None:
    send("sum", rising(1000, 10), resource={"service.name": "a"})
    send("gauge", [(time, 3) for time in TIMES], resource={"service.name": "b"})
    send("gauge", [(time, 3000) for time in TIMES], unit="ms", resource={"service.name": "c"})
    client = ApiClient(store)
    window = {"start": rfc3339(START), "end": rfc3339(END)}
    listed = client.get("/api/v1/metrics", **window)["metrics"]
    kinds = [("gauge", "1"), ("gauge", "ms"), ("sum", "1")]
    assert [(metric["type"], metric["unit"]) for metric in listed] == kinds
    pages = client.pages("/api/v1/metrics", "metrics", **window, limit=1)
    assert [(metric["type"], metric["unit"]) for (metric,) in pages] == kinds
    path = "/api/v1/metrics/query"
    window["step"] = "300"
    document = client.get(path, name="m", **window)
    assert (document["type"], document["unit"], document["aggregation"]) == (None, None, None)
    found = {(series["type"], series["unit"]): series for series in document["series"]}
    assert {kind: series["aggregation"] for kind, series in found.items()} == {
        ("gauge", "1"): "avg",
        ("gauge", "ms"): "avg",
        ("sum", "1"): "rate",
    }
    assert found["sum", "1"]["points"][0]["value"] == pytest.approx(70 / 300)
    problem = client.problem(path, name="m", aggregation="sum", **window)
    assert problem["status"] == 400
    for choice in ("a monotonic sum in '1'", "a gauge in '1'", "a gauge in 'ms'", "type=", "unit="):
        assert choice in problem["detail"]
    for service, parameters in (
        ("a", {"type": "sum"}),
        ("c", {"unit": "ms"}),
        ("b", {"service": "b"}),
    ):
        (series,) = client.get(path, name="m", aggregation="sum", **window, **parameters)["series"]
        assert series["service"] == service


def test_explicit_and_exponential_buckets_of_one_name_are_combined(send: Send, query: Any) -> None:
    send("histogram", [buckets(time, [10, 0], [1.0]) for time in TIMES[:4]], temporality=1)
    exponential = [
        {"time_unix_nano": time, "count": 10, "scale": 0, "positive": (-1, [10])}
        for time in TIMES[4:]
    ]
    send("exponential_histogram", exponential, temporality=1)
    assert query("count") == 80
    p95 = query("p95")
    assert p95 is not None
    assert 0.5 <= p95 <= 1


@pytest.mark.parametrize("aggregation", ["min", "max", "avg", "sum"])
def test_figures_that_a_histogram_does_not_have_are_not_0(
    send: Send, query: Any, aggregation: str
) -> None:
    send("histogram", [buckets(time, [3, 7], [100.0]) for time in TIMES], temporality=1)
    assert query(aggregation) is None
    assert query("count") == 80


NAN = float("nan")


@pytest.mark.parametrize("odd", [NAN, float("inf"), float("-inf")])
def test_a_value_that_is_no_number_hides_no_other(
    store: Store, send: Send, query: Any, odd: float
) -> None:
    for instance, value in (("a", 4.0), ("b", odd)):
        resource = {"service.name": "web", "service.instance.id": instance}
        send("gauge", [(time, value) for time in TIMES], resource=resource, name="g")
    send("sum", [*rising(1000, 10, TIMES[:4]), (TIMES[4], odd), *rising(1040, 10, TIMES[5:])])
    assert query("avg", name="g") == 4
    assert query("max", name="g") == 4
    assert query("sum") == 60
    window = {"start": rfc3339(START), "end": rfc3339(END), "step": 300}
    document = ApiClient(store).get("/api/v1/metrics/query", name="g", **window)
    assert document["left_out"] == len(TIMES)


@pytest.mark.parametrize("odd", [NAN, float("inf")])
def test_a_histogram_with_a_sum_that_is_no_number_has_its_other_figures(
    send: Send, query: Any, odd: float
) -> None:
    points = [buckets(time, [10 + n, 0], [1.0], sum=odd) for n, time in enumerate(TIMES)]
    send("histogram", points)
    assert query("count") == 7
    assert query("p95") == pytest.approx(0.95)
    assert query("avg") is None


@pytest.mark.parametrize(
    ("counts", "bounds", "p95"),
    [
        ([5, 5, 0], [1.0, 2.0, float("inf")], 1.9),  # the last bound is the infinite one
        ([5, 5], [], None),  # buckets without bounds
        ([1, 2, 3, 4], [1.0, 2.0], None),  # more buckets than bounds
        ([5, 5], [NAN], None),
        ([], [], None),
    ],
)
def test_buckets_that_do_not_fit_their_bounds_are_left_out(
    send: Send, query: Any, counts: list[int], bounds: list[float], p95: float | None
) -> None:
    points = [buckets(time, counts, bounds, sum=10.0) | {"count": 10} for time in TIMES]
    send("histogram", points, temporality=1)
    assert query("p95") == (None if p95 is None else pytest.approx(p95))
    assert query("count") == 80
    assert query("avg") == 1
    # and they do not hide points that fit
    good = {"service.name": "web", "service.instance.id": "good"}
    fitting = [buckets(time, [0, 10], [1.0, 2.0][:1], sum=10.0) for time in TIMES]
    send("histogram", fitting, temporality=1, resource=good)
    assert query("count") == 160


def test_an_exponential_bucket_beyond_what_a_double_holds(send: Send, query: Any) -> None:
    huge = {"time_unix_nano": TIMES[0], "count": 44, "scale": -4, "positive": (64, [44])}
    small = {"time_unix_nano": TIMES[1], "count": 10, "scale": 0, "positive": (2, [10])}
    send("exponential_histogram", [huge, small], temporality=1)
    assert query("count") == 54
    query("p50")
    query("p99")
