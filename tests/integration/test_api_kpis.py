"""KPIs of a transaction over the API: signups fall an hour after its p95 has risen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from clew.analysis import Registry
from clew.analysis.transactions.definitions import read
from clew.storage import Store
from support.api_client import ApiClient

NOW = int(time.time()) // 3600 * 3600
HOURS = 7 * 24
PATH = "/api/v1/transactions/checkout/kpis"
DEFINITIONS = b"""
transactions:
  - name: Checkout
    match: {service: shop, operation: POST /checkout}
    kpi:
      - {name: Signups, metric: shop.signups}
      - {name: Temperature, metric: room.temperature, service: shop}
      - {name: Revenue, sum: order.total}
      - {name: Refunds, sum: refund.total, service: shop, operation: POST /refund}
  - {name: Login, match: {service: shop, operation: POST /login}}
"""


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store]) -> ApiClient:
    store = emptied()
    Registry(store).replace(read(DEFINITIONS))
    at = f"toDateTime64({NOW - HOURS * 3600} + 3600 * number + 60, 9)"
    # What the latency of an hour is: something that no hour of the day has.
    noise = "cityHash64({}) % 1000"
    with store.client() as client:
        client.command(
            "INSERT INTO otel.clew_occurrences (Transaction, Timestamp, Key, EntryDuration, Version) SELECT "
            f"'checkout', {at}, toString(number), 1000000 * (100 + {noise.format('number')}), 1 FROM numbers({HOURS})"
        )
        client.command(
            "INSERT INTO otel.otel_metrics_sum (ServiceName, MetricName, MetricUnit, TimeUnix, Value, AggregationTemporality, "
            f"IsMonotonic) SELECT 'shop', 'shop.signups', '1', {at}, 5000 - {noise.format('number - 1')}, 1, true "
            f"FROM numbers({HOURS})"
        )
        client.command(
            "INSERT INTO otel.otel_metrics_gauge (ServiceName, MetricName, MetricUnit, TimeUnix, Value) "
            f"SELECT 'shop', 'room.temperature', 'Cel', {at}, cityHash64(number, 1) % 1000 FROM numbers({HOURS})"
        )
        client.command(
            "INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, ServiceName, SpanName, SpanAttributes) SELECT "
            f"{at}, toString(number), 's', 'shop', 'POST /checkout', map('order.total', '12.5') FROM numbers({HOURS})"
        )
    return ApiClient(store)


def test_kpis_are_listed_by_the_hour_and_correlated(api: ApiClient) -> None:
    answer = api.get(PATH, end=NOW, explain=True)
    signups, temperature, revenue, refunds = answer["kpis"]
    assert answer["start"] < answer["end"]
    assert any("otel_metrics_sum" in statement for statement in answer["sql"])
    assert (signups["unit"], signups["aggregation"], len(signups["points"])) == ("1", "sum", HOURS)
    best = signups["correlations"][0]
    assert best["measure"] in ("p50", "p95")
    assert (best["lag_hours"], best["is_clear"], best["n"]) == (1, True, HOURS - 1)
    assert -1 <= best["lower"] < best["r"] < best["upper"] < -0.9
    assert temperature["aggregation"] == "avg"
    assert not any(one["is_clear"] for one in temperature["correlations"])
    assert {point["value"] for point in revenue["points"]} == {12.5}
    assert (revenue["correlations"], refunds["correlations"]) == ([], [])
    assert "never changes" in revenue["reason"]
    assert refunds["reason"] == "nothing was stored of it in the window"


@pytest.mark.parametrize(
    ("path", "window", "status"),
    [
        ("/api/v1/transactions/login/kpis", {}, 200),
        ("/api/v1/transactions/none/kpis", {}, 404),
        (PATH, {"start": "-93d"}, 422),
    ],
)
def test_transactions_without_kpis(
    api: ApiClient, path: str, window: dict[str, Any], status: int
) -> None:
    response = api.response(path, **window)
    assert response.status_code == status
    if status == 200:
        assert response.json()["kpis"] == []
