"""What limits a service, over the API."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from clew.analysis.traces.settling import Settling
from clew.storage import Store
from support.api_client import ApiClient
from support.loading import settle

START = int(time.time()) // 3600 * 3600 - 3600
PATH = "/api/v1/services/shop/resources"
WINDOW = {"start": START, "end": START + 3600}


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store]) -> ApiClient:
    """An hour of a process that takes 20 ms of CPU time for a request, on a host that is half idle."""
    store = emptied()
    resource = (
        "map('service.instance.id', 'shop-1', 'host.name', 'h', 'process.runtime.name', 'cpython')"
    )
    host = "map('host.name', 'h')"
    requests = "(5 + number % 30)"  # a second, in a minute
    at = f"toDateTime({START} + 60 * number + 30)"
    with store.client() as client:
        for kind, share in (("user", 0.75), ("system", 0.25)):
            client.command(
                "INSERT INTO otel.otel_metrics_sum (ServiceName, ResourceAttributes, MetricName, Attributes, "
                "StartTimeUnix, TimeUnix, Value, AggregationTemporality, IsMonotonic) SELECT 'shop', "
                f"{resource}, 'process.cpu.time', map('type', '{kind}'), toDateTime({START - 60}), {at}, "
                f"{share} * arraySum(n -> 60 * 0.02 * (5 + n % 30), range(number + 1)), 2, true FROM numbers(60)"
            )
        client.command(
            "INSERT INTO otel.otel_metrics_gauge (ResourceAttributes, MetricName, Attributes, TimeUnix, Value) "
            f"SELECT {host}, 'system.cpu.utilization', map('state', 'idle', 'cpu', toString(number % 2)), "
            f"toDateTime({START} + 30 * number), 0.3 + 0.4 * (number % 2) FROM numbers(120)"
        )
        client.command(
            "INSERT INTO otel.otel_metrics_gauge (ResourceAttributes, MetricName, Attributes, TimeUnix, Value) "
            f"SELECT map('host.name', 'another'), 'system.cpu.utilization', map('state', 'idle'), {at}, 0 FROM numbers(60)"
        )
        client.command(
            "INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, ServiceName, SpanName, SpanKind, Duration) "
            f"SELECT toDateTime64({START} + 60 * number + rank, 9), 't' || toString(number) || '-' || toString(rank), 's', "
            "'shop', 'GET /', 'Server', 1000000 FROM "
            f"(SELECT number, arrayJoin(range({requests})) AS rank FROM numbers(60))"
        )
    settle(Settling(store))
    return ApiClient(store)


def test_what_limits_a_service_and_who_waits_for_it(api: ApiClient) -> None:
    answer = api.get(PATH, **WINDOW, explain=True)
    constraints = {one["name"]: one for one in answer["constraints"]}
    assert answer["step"] == 60
    assert set(constraints) == {"cpu_one_core", "cpu_host"}
    core = constraints["cpu_one_core"]
    assert (core["source"], core["sources"]) == ("shop-1", 1)
    assert core["peak"] == pytest.approx(0.02 * 34, rel=0.01)
    assert core["fit"]["r2"] > 0.9
    assert core["fit"]["per_request"] == pytest.approx(
        0.02 * 60, rel=0.1
    )  # a request a minute here
    host = constraints["cpu_host"]
    assert (host["source"], host["mean"]) == ("h", pytest.approx(0.5))
    (transaction,) = answer["transactions"]
    assert (transaction["operation"], transaction["critical_share"]) == ("GET /", 1.0)
    assert transaction["bound_by"] is None
    assert any("otel_metrics_sum" in statement for statement in answer["sql"])


def test_a_service_that_nobody_knows_has_nothing(api: ApiClient) -> None:
    for name in ("none", "a%2Fb", "%27%3B%20DROP"):
        answer = api.get(f"/api/v1/services/{name}/resources", **WINDOW)
        assert (answer["constraints"], answer["usages"], answer["bound_by"]) == ([], [], None)
