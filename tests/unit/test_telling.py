"""Which alert stands for which others."""

from __future__ import annotations

from clew.analysis.alerts.records import AlertRecord
from clew.analysis.alerts.rules import AlertsFile
from clew.analysis.alerts.states import AlertState, State
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.calls import CallGraph
from clew.analysis.watching.telling import Teller

RULES = AlertsFile.model_validate(
    {"defaults": {"receiver": "team"}, "receivers": {"team": {"webhook": {"url": "https://t/"}}}}
)


def firing(since: float, **labels: str) -> AlertRecord:
    state = AlertState(State.FIRING, since, 1, since, firings=(since,))
    return AlertRecord(Verdict("slow", labels, since, True), "ticket", state)


def told(records: list[AlertRecord], *calls: tuple[str, str]) -> list[dict[str, str]]:
    """The labels of the alerts that people are told of."""
    deliveries, _ = Teller(RULES, downstream=CallGraph(calls).downstream).tell(records, 100.0)
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
