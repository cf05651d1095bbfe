"""What an alert costs: payments fail for ten minutes, after a day in which they hardly did."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from clew.analysis import Registry
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.states import AlertState, State
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.transactions.definitions import read
from clew.storage import Store
from clew.storage.statements import Statements
from support.api_client import ApiClient

NOW = int(time.time()) // 60 * 60
BEGAN = NOW - 600
DEFINITIONS = b"""
transactions:
  - name: Checkout
    match: {service: shop, operation: POST /checkout}
    slo: {latency_ms: 500, objective: 0.99}
  - {name: Login, match: {service: shop, operation: POST /login}}
"""


def alert(rule: str, **labels: str) -> AlertRecord:
    verdict = Verdict(rule, labels, float(NOW), True, window=0.0)
    return AlertRecord(verdict, "page", AlertState(State.FIRING, BEGAN, 1, BEGAN))


PAYMENTS = alert("fail", service="payments", environment="prod")
CHECKOUT = alert("slow", transaction="Checkout", environment="prod")
NOTHING = alert("disk", metric="system.filesystem.utilization")


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store]) -> ApiClient:
    """Of the last ten minutes 100 occurrences, 40 of them failed; of the day before 1,000, 10 failed."""
    store = emptied()
    Registry(store).replace(read(DEFINITIONS))
    records = AlertRecords(Statements(store))
    records.put([PAYMENTS, CHECKOUT, NOTHING], 1)
    for count, start, step, failing in ((100, BEGAN, 6, 40), (1000, BEGAN - 80_000, 79, 10)):
        at = f"toDateTime64({start} + {step} * number, 9)"
        key = f"'{start}-' || toString(number)"
        with store.client() as client:
            client.command(
                "INSERT INTO otel.clew_occurrences (Transaction, Timestamp, Key, Environment, EntryDuration, IsError, User, "
                f"Value, Services, Version) SELECT 'checkout', {at}, {key}, 'prod', 100000000, number < {failing}, "
                f"'u' || toString(number % 50), 10, ['payments', 'shop'], 1 FROM numbers({count})"
            )
            client.command(
                "INSERT INTO otel.clew_settled (ServiceName, SpanName, Timestamp, TraceId, Environment, Duration, IsError, Rank, "
                f"Services, Version) SELECT 'shop', 'POST /checkout', {at}, {key}, 'prod', 100000000, number < {failing}, 0, "
                f"['payments', 'shop'], 1 FROM numbers({count})"
            )
    return ApiClient(store)


def test_the_excess_over_the_day_before(api: ApiClient) -> None:
    answer = api.get(f"/api/v1/alerts/{PAYMENTS.id}/impact")
    defined, automatic = answer["transactions"]
    assert (defined["name"], defined["source"], defined["count"]) == ("Checkout", "defined", 100)
    failed = defined["failed"]
    assert failed["value"] == pytest.approx(39.0)
    assert 25 < failed["lower"] < 39 < failed["upper"] < 55
    # The day before 1 % failed: of 50 users with two occurrences each, 2 % would have one that did.
    usual = 50 * (1 - 0.99**2)
    assert defined["users"] == {"touched": 50, "worse": 40, "excess": pytest.approx(40 - usual)}
    assert defined["parts"]["users"] == pytest.approx((40 - usual) / 50)
    # All are worth 10, so the interval is that of the failures.
    assert defined["value"] == {
        "lost": pytest.approx(390.0),
        "lost_lower": pytest.approx(10 * failed["lower"]),
        "lost_upper": pytest.approx(10 * failed["upper"]),
        "at_risk": 0.0,
    }
    # A percent of what occurs in 30 days at the day before's rate: 1,000 a day.
    assert defined["budget_share"] == pytest.approx(39 / (0.01 * 30_000), rel=0.01)
    assert defined["parts"].keys() == {"budget", "users", "value"}
    rest = 1.0
    for part in defined["parts"].values():
        rest *= 1 - part
    assert defined["score"] == pytest.approx(1 - rest)
    assert (automatic["name"], automatic["users"]) == ("shop: POST /checkout", None)
    assert automatic["apdex"] == {"before": pytest.approx(0.99), "after": pytest.approx(0.6)}
    assert answer["touched"] == {
        "transactions": 2, "services": ["payments", "shop"], "slos": ["Checkout"],
        "labels": {"service": "payments", "environment": "prod"},
    }  # fmt: skip
    assert answer["score"] >= defined["score"]
    assert answer["headroom"] is None


def test_an_alert_of_a_transaction_is_about_it_alone(api: ApiClient) -> None:
    answer = api.get(f"/api/v1/alerts/{CHECKOUT.id}/impact")
    assert [one["name"] for one in answer["transactions"]] == ["Checkout"]


def test_what_touches_no_transaction_has_no_score(api: ApiClient) -> None:
    answer = api.get(f"/api/v1/alerts/{NOTHING.id}/impact")
    assert answer["score"] is None
    assert answer["reason"]
    assert api.response("/api/v1/alerts/none/impact").status_code == 404
