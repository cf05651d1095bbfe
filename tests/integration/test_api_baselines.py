"""Bands of what is usual, and forecasts, of a service with a daily season."""

from __future__ import annotations

from typing import Any

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


@pytest.fixture
def api(store: Store) -> ApiClient:
    with store.client() as client:
        client.command(HOURS)
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

    slow = series(api, "baselines", measure="p50", start="-3h")
    assert slow["unit"] == "ms"
    assert slow["points"][0]["value"] == pytest.approx(124, rel=0.03)

    ahead = series(api, "forecasts", measure="rate")
    assert len(ahead["points"]) == 24
    assert all(point["value"] is None for point in ahead["points"])
    expected = [point["expected"] for point in ahead["points"]]
    assert max(expected) > 3 * min(expected)

    assert [one["labels"]["service"] for one in api.get("/api/v1/baselines")["series"]] == ["shop"]
    assert api.get("/api/v1/baselines", service="nobody")["series"] == []
    assert api.get("/api/v1/forecasts", service="sh*", measure="p95")["series"]
