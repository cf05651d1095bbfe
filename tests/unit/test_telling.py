"""Which alert stands for which others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from clew.analysis.alerts.records import AlertRecord
from clew.analysis.alerts.rules import AlertsFile
from clew.analysis.alerts.states import AlertState, State
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.calls import CallGraph
from clew.analysis.watching.standing import UNUSUAL
from clew.analysis.watching.telling import AFTER_CAUSE, GROUP_WAIT, Teller

RULES = AlertsFile.model_validate(
    {"defaults": {"receiver": "team"}, "receivers": {"team": {"webhook": {"url": "https://t/"}}}}
)


def firing(
    since: float, *, rule: str = "slow", measure: str = "", severity: str = "ticket", **labels: str
) -> AlertRecord:
    state = AlertState(State.FIRING, since, 1, since, firings=(since,))
    return AlertRecord(Verdict(rule, labels, since, True, measure=measure), severity, state)


def told(
    records: list[AlertRecord],
    *calls: tuple[str, str],
    at: float = 100.0,
    above: Collection[str] = (),
) -> list[dict[str, str]]:
    """The labels of the alerts that people are told of. `above`: pairs of services of which the
    first calls the second in the examples."""
    teller = Teller(
        RULES,
        downstream=CallGraph(calls).downstream,
        is_above=lambda one, two: one.labels["service"] + two.labels["service"] in above,
    )
    deliveries, _ = teller.tell(records, at)
    known = {record.id: dict(record.labels) for record in records}
    return [known[delivery.notification.alert] for delivery in deliveries]


def test_the_deepest_alert_stands_for_those_above() -> None:
    calls = (("shop", "orders"), ("orders", "payments"))
    records = [
        firing(1, service="shop"),
        firing(2, service="orders"),
        firing(3, service="payments"),
    ]
    assert told(records, *calls) == [{"service": "payments"}]
    assert told(records[:2], *calls) == [{"service": "orders"}]


def test_a_dependency_stands_for_the_service_that_calls_it() -> None:
    calls = (("shop", "payments"), ("payments", "bank.example"), ("payments", "audit"))
    bank = firing(5, service="payments", dependency="bank.example")
    records = [firing(1, service="shop"), firing(2, service="payments"), bank]
    assert told(records, *calls) == [bank.labels]
    # what the service calls besides says nothing of the dependency
    assert bank.labels in told([bank, firing(3, service="audit")], *calls)


def test_of_services_that_call_each_other_one_is_told_of() -> None:
    calls = (("a", "b"), ("b", "c"), ("c", "a"))
    records = [firing(2, service="a"), firing(1, service="b"), firing(3, service="c")]
    assert told(records, *calls) == [{"service": "b"}]
    assert told(records, *calls, above={"bc", "ac"}) == [{"service": "c"}]
    circle = told(records, *calls, above={"ab", "bc", "ca"})
    assert len(circle) == 1


def test_alerts_of_one_service_are_one_problem() -> None:
    charges = firing(1, rule=UNUSUAL, service="payments", operation="POST /charges")
    records = [firing(2, rule=UNUSUAL, service="payments", operation="POST"), charges]
    assert told(records, at=200.0) == [charges.labels]
    elsewhere = firing(3, rule=UNUSUAL, service="payments", environment="test")
    assert told([elsewhere, *records], at=200.0) == [elsewhere.labels, charges.labels]
    written = firing(4, service="payments", operation="POST /charges")
    assert told([*records, written], at=200.0) == [charges.labels, written.labels]


def test_a_standing_alert_waits_for_its_cause() -> None:
    calls = (("shop", "payments"),)
    shop = firing(90, rule=UNUSUAL, service="shop")
    payments = firing(99, rule=UNUSUAL, service="payments")
    assert told([shop], *calls) == []
    assert told([shop], *calls, at=90 + GROUP_WAIT) == [shop.labels]
    assert told([shop, payments], *calls, at=99 + GROUP_WAIT) == [payments.labels]
    assert told([firing(90, rule=UNUSUAL, severity="page", service="shop")]) != []


def test_a_page_is_told_even_if_a_ticket_is_its_cause() -> None:
    cause, shop = firing(1, service="payments"), firing(2, service="shop", severity="page")
    assert told([cause, shop], ("shop", "payments")) == [cause.labels, shop.labels]


def test_alerts_about_nothing_in_the_call_graph_are_told_each() -> None:
    records = [firing(1, area="stock"), firing(2, area="carts")]
    assert told(records) == [record.labels for record in records]


def test_unusual_traffic_comes_from_who_calls() -> None:
    calls = (("shop", "orders"), ("orders", "payments"), ("stock", "payments"))
    shop, orders, payments = (
        firing(since, measure="rate", service=service)
        for since, service in ((3, "shop"), (2, "orders"), (1, "payments"))
    )
    assert told([shop, orders, payments], *calls) == [shop.labels]
    assert told([payments, orders], *calls) == [orders.labels]


def test_unusual_traffic_comes_from_what_is_slow_or_fails() -> None:
    calls = (("shop", "orders"), ("orders", "payments"))
    slow = firing(5, measure="slow_rate", service="orders")
    records = [
        firing(n, measure="rate", service=name) for n, name in enumerate(("shop", "payments"))
    ]
    assert told([*records, slow], *calls) == [slow.labels]


def test_an_alert_that_outlives_its_cause_for_a_while_is_not_told() -> None:
    calls = (("shop", "payments"),)
    cause, shop = firing(1, service="payments"), firing(2, service="shop")
    teller = Teller(RULES, downstream=CallGraph(calls).downstream)
    _, changed = teller.tell([cause, shop], 100.0)
    cause, shop = sorted(changed, key=lambda record: record.labels["service"])
    ended = replace(cause, state=replace(cause.state, state=State.RESOLVED, resolved_at=200.0))
    deliveries, _ = teller.tell([ended, shop], 200.0)
    assert [str(delivery.notification.transition) for delivery in deliveries] == ["resolved"]
    deliveries, _ = teller.tell([ended, shop], 200.0 + AFTER_CAUSE)
    assert shop.id in {delivery.notification.alert for delivery in deliveries}
