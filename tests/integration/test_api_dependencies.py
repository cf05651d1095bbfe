"""Third parties over the API: a bank that fails, one that refuses one tenant, one without a past."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from clew.analysis.traces.settling import Settling
from clew.storage import Store
from support.api_client import ApiClient
from support.loading import settle

NOW = int(time.time()) // 3600 * 3600
PATH = "/api/v1/dependencies/external"
WINDOW = {"start": NOW - 3600, "end": NOW}
# Of each host: the status of the calls from the tenants of the window.
HOSTS = {
    "bank.example": "if(number % 4 = 0, 503, 200)",
    "mail.example": "if(number % 10 = 3, 401, 200)",  # the tenant t3
    "new.example": "200",
}


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store]) -> ApiClient:
    store = emptied()
    for day in range(5):
        for host, status in HOSTS.items():
            if day == 0 or host != "new.example":
                insert_calls(store, host, day, "200" if day else status)
    with store.client() as client:  # a service at the bank's address, which fails by itself
        for span, parent, name, kind in (
            ("a", "", "shop", "Client"),
            ("b", "a", "inner", "Server"),
        ):
            client.command(
                "INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, ServiceName, SpanName, SpanKind, "
                f"StatusCode, SpanAttributes) SELECT toDateTime64({NOW - 60}, 9), 'inner', '{span}', '{parent}', '{name}', "
                f"'GET', '{kind}', 'Error', map('server.address', 'bank.example', 'http.response.status_code', '500')"
            )
    settle(Settling(store))
    return ApiClient(store)


def insert_calls(store: Store, host: str, day: int, status: str) -> None:
    """A hundred requests in an hour, each with a call of 30 ms or so to the host."""
    at = f"toDateTime64({NOW - 3000 - 86_400 * day} + 20 * number, 9)"
    trace = f"'{host}{day}-' || toString(number)"
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, ServiceName, SpanName, SpanKind, StatusCode, "
            f"Duration, SpanAttributes) SELECT {at}, {trace}, 's', 'shop', 'POST /pay', 'Server', "
            f"if({status} = 503, 'Error', 'Unset'), 40000000, map('tenant.id', 't' || toString(number % 10)) "
            "FROM numbers(100)"
        )
        client.command(
            "INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, ServiceName, SpanName, SpanKind, "
            f"StatusCode, Duration, SpanAttributes) SELECT {at}, {trace}, 'c', 's', 'shop', 'POST', 'Client', "
            f"if({status} >= 400, 'Error', 'Unset'), 30000000 + 10000 * number, "
            f"map('server.address', '{host}', 'http.response.status_code', toString({status})) FROM numbers(100)"
        )


def test_hosts_are_judged_against_their_own_past(api: ApiClient) -> None:
    answer = api.get(PATH, **WINDOW)
    hosts = {one["host"]: one for one in answer["dependencies"]}
    assert [(name, one["status"]) for name, one in hosts.items()] == [
        ("bank.example", "degraded"),
        ("mail.example", "ok"),
        ("new.example", "unknown"),
    ]
    bank = hosts["bank.example"]
    assert (bank["calls"], bank["errors"], bank["callers"]) == (100, 25, ["shop"])
    assert "25.0% of calls fail" in bank["reason"]
    assert bank["usual"]["days"] == 4
    assert bank["z"]["errors"] > 5 > abs(bank["z"]["p95"])
    (failures,) = bank["failures"]
    assert (failures["name"], failures["errors"], failures["tenants"]) == ("5xx", 25, 5)
    assert failures["example_trace_id"].startswith("bank.example0-")
    (transaction,) = bank["transactions"]
    assert (transaction["traces"], transaction["traces_with"]) == (300, 100)
    assert transaction["failure_share"] == 1.0
    (refused,) = hosts["mail.example"]["failures"]
    assert (refused["name"], refused["errors"], refused["tenants"]) == ("4xx", 10, 1)
    assert "refused requests" in hosts["mail.example"]["reason"]
    assert hosts["new.example"]["usual"] is None


@pytest.mark.parametrize(
    "window",
    [{"start": NOW - 7200, "end": NOW - 7100}, {"environment": "'; DROP TABLE x --"}],
)
def test_nothing_is_no_dependency(api: ApiClient, window: dict[str, Any]) -> None:
    assert api.get(PATH, **(WINDOW | window))["dependencies"] == []


def test_more_than_a_day_is_refused(api: ApiClient) -> None:
    assert "a day at most" in api.problem(PATH, start="-2d")["detail"]
