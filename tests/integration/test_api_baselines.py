"""Bands of what is usual, and forecasts, of a service with a daily season."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from clew.analysis.traces.settling import settler_statements
from clew.analysis.watching.series import WatchedSeries
from clew.storage import Store
from support.api_client import ApiClient

HOURS = """
INSERT INTO otel.clew_operations_1h
    (Hour, Environment, ServiceName, SpanName, SpanKind, IsRoot, Count, Errors, DurationSum, DurationMax, Sketch)
SELECT
    toDateTime(intDiv(toUnixTimestamp(now()), 3600) * 3600 - (number % 672 + 1) * 3600) AS Hour, 'prod', 'shop',
    'GET /', 'Server', true,
    toUInt64(1000 + 800 * cos(2 * pi() * toHour(Hour, 'UTC') / 24)), 5, 0, 0,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(toUInt64(1e8 + 1e6 * (number % 50)))
FROM numbers(672 * 50)
GROUP BY Hour
"""
# The durations of `noisy` differ from hour to hour by up to half.
NOISY = (
    HOURS.replace("'shop'", "'noisy'")
    .replace("1e8 +", "1e8 * (1 + cityHash64(intDiv(number % 672, 1)) % 100 / 200) +")
    .replace("GROUP BY Hour", "GROUP BY Hour, number % 672")
)


@pytest.fixture
def api(store: Store) -> ApiClient:
    with store.client() as client:
        client.command(HOURS)
        client.command(NOISY)
        now = float(str(client.command("SELECT toUnixTimestamp(now())")))
    WatchedSeries(settler_statements(store)).fill_hours(now - 672 * 3600, now, 1)
    return ApiClient(store)


def series(api: ApiClient, path: str, **parameters: Any) -> dict[str, Any]:
    one: dict[str, Any]
    (one,) = api.get(f"/api/v1/{path}", service="shop", **parameters)["series"]
    return one


def test_bands_follow_the_day(api: ApiClient) -> None:
    """All on one store: it is filled once."""
    shown = series(api, "baselines", measure="rate", start="-26h", end="-1h")
    assert shown["labels"] == {"environment": "prod", "service": "shop"}
    assert shown["unit"] == "/s"
    assert shown["hours_known"] == 672
    assert len(shown["points"]) >= 25
    for point in shown["points"][:-1]:
        assert point["lower"] <= point["expected"] <= point["upper"]
        assert point["expected"] == pytest.approx(point["value"], rel=0.15)
    rates = [point["expected"] for point in shown["points"]]
    assert max(rates) > 3 * min(rates)

    now = series(api, "baselines", measure="rate", start="-2h")["points"][-1]
    assert now["value"] is None
    assert now["lower"] < now["expected"] < now["upper"]

    slow = series(api, "baselines", measure="p50", start="-3h")
    assert slow["unit"] == "ms"
    assert slow["points"][0]["value"] == pytest.approx(124, rel=0.03)

    ahead = series(api, "forecasts", measure="rate")
    assert len(ahead["points"]) == 24
    assert all(point["value"] is None for point in ahead["points"])
    expected = [point["expected"] for point in ahead["points"]]
    assert max(expected) > 3 * min(expected)

    listed = api.get("/api/v1/baselines")["series"]
    assert [one["labels"]["service"] for one in listed] == ["noisy", "shop"]
    assert api.get("/api/v1/baselines", service="nobody")["series"] == []
    assert api.get("/api/v1/forecasts", service="sh*", measure="p95")["series"]
    refuse_what_would_not_be_noticed(api)


def refuse_what_would_not_be_noticed(api: ApiClient) -> None:
    (noisy,) = api.get("/api/v1/baselines", service="noisy", measure="p50")["series"]
    least = noisy["smallest_change"]
    assert 0.02 < least < 0.5
    assert 0 < series(api, "baselines", measure="rate")["smallest_change"] < 0.6
    assert 0 < series(api, "baselines", measure="error_rate")["smallest_change"] < 0.1

    def put(effect: str, service: str = "noisy") -> httpx.Response:
        rule = {"name": "slower", "select": {"service": service}, "regression": ["p50"]}
        body = {"rules": [rule | {"effect": effect}]}
        return api.send("PUT", "/api/v1/alerts/rules", json=body)

    refused = put("2%")
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["field"] == "rules[0].effect"
    assert "of prod noisy, is" in error["detail"]
    assert put(error["detail"].split("effect: ")[1].split()[0]).status_code == 200
    assert put("2%", service="nobody").status_code == 200
