"""Performance budgets and error budgets: judged by the hour, over the API, and their statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clew.analysis import documents
from clew.analysis.alerts.rules import Rules
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.transactions.definitions import Definition
from clew.analysis.transactions.registry import Registry
from clew.analysis.watching.evidence import Evidence
from clew.analysis.watching.judges import judged
from clew.analysis.watching.series import WatchedSeries
from clew.analysis.watching.standing import all_rules
from clew.api import create_app
from clew.storage import Reader, Store
from clew.storage.statements import Statements
from support.api_client import ApiClient

CHECKOUT = {
    "name": "Checkout", "match": {"service": "shop", "operation": "POST /checkout"},
    "slo": {"objective": 0.9},
}  # fmt: skip
# 200 requests in the hour before the last one: 1 of 10 fails; 100 to 119 ms; bodies of 2,000 bytes. Each
# has a trace with three calls, two of them of a database and 5 ms each, and 100 ms of its services' time.
LOADED = (
    """INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName,
        ResourceAttributes, SpanAttributes, Duration, StatusCode)
    SELECT toStartOfHour(now()) - 3600 - number, leftPad(toString(number), 32, '0'),
        leftPad(toString(number), 16, '0'), 'POST /checkout', 'Server', 'shop',
        map('deployment.environment.name', 'prod'), map('http.response.body.size', '2000'),
        100000000 + number % 20 * 1000000, if(number % 10 = 0, 'Error', 'Unset')
    FROM numbers(200)""",
    """INSERT INTO otel.clew_settled (ServiceName, SpanName, Timestamp, TraceId, Environment, Duration, IsError,
        Rank, Path.Service, Path.Operation, Path.Kind, Path.Calls, Path.Self, Path.Critical, Call.Source,
        Call.Target, Call.Type, Call.Summary, Call.Duration, Call.IsError, Version)
    SELECT ServiceName, SpanName, Timestamp, TraceId, 'prod', Duration, false, 0,
        ['shop', 'bank'], ['POST /checkout', 'charge'], ['Server', 'Server'], [1, 1], [60000000, 40000000], [0, 0],
        ['shop', 'shop', 'shop', 'queue'], ['bank', 'pg', 'pg', 'shop'],
        ['service', 'database', 'database', 'consumed'], ['', '', '', ''],
        [40000000, 5000000, 5000000, 1], [false, false, false, false], 1
    FROM otel.otel_traces""",
    """INSERT INTO otel.clew_occurrences (Transaction, Timestamp, Key, Environment, TraceIds, EntryDuration, IsError, Version)
    SELECT 'checkout', Timestamp, TraceId, 'prod', [TraceId], Duration, StatusCode = 'Error', 1
    FROM otel.otel_traces""",
)  # fmt: skip
RULES = """
rules:
  - {name: one, select: {operation: "POST /checkout"}, budget: {calls: 2, cost: 99ms}, severity: page}
budgets:
  - select: {transaction: "*"}
    p95: 110ms
    error_rate: 20%
    calls: 3
    database_time: 9ms
    payload: 1.5kB
    cost: 101ms
"""
EXPECTED = {  # value in seconds, shares, bytes; whether it is over
    "p95": (0.118, True),
    "error_rate": (0.1, False),
    "calls": (3, False),
    "database_time": (0.01, True),
    "payload": (2000, True),
    "cost": (0.1, False),
}


@pytest.fixture(scope="module")
def loaded(emptied: Callable[[], Store]) -> Store:
    store = emptied()
    with store.client() as client:
        for statement in LOADED:
            client.command(statement)
    now = float(str(query(store, "SELECT toUnixTimestamp(now()) AS now")[0]["now"]))
    WatchedSeries(Statements(store)).fill_hours(now - 7200, now, 1)
    return store


def query(store: Store, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
    with store.client() as client:
        return list(client.query(sql, parameters=parameters).named_results())


def verdicts(store: Store, rules: Rules) -> list[Verdict]:
    now = float(query(store, "SELECT toUnixTimestamp(now()) AS now")[0]["now"])
    evidence = Evidence(
        now, WatchedSeries(Statements(store)), [Definition.model_validate(CHECKOUT)], {}
    )
    budgets = [rule for rule in all_rules(rules) if rule.budget]
    return [verdict for _, group in judged(budgets, evidence) for verdict in group]


def test_budgets_are_judged_and_their_statements_give_their_numbers(loaded: Store) -> None:
    rules = documents.read(RULES.encode(), "yaml", Rules)
    results = verdicts(loaded, rules)
    by_rule = {verdict.rule: [v for v in results if v.rule == verdict.rule] for verdict in results}
    assert list(by_rule) == ["one", "clew: budget"]
    assert {verdict.labels["measure"]: verdict.holds for verdict in by_rule["one"]} == {
        "calls": True, "cost": True,
    }  # fmt: skip
    standing = by_rule["clew: budget"]
    assert {verdict.labels["transaction"] for verdict in standing} == {
        "shop: POST /checkout", "Checkout",
    }  # fmt: skip
    assert len(standing) == 12
    for verdict in standing:
        value, is_over = EXPECTED[verdict.measure]
        assert verdict.value is not None
        assert verdict.value == pytest.approx(value, rel=0.011), verdict
        assert verdict.holds is is_over, verdict
        assert verdict.requests == 200
        (row,) = query(loaded, verdict.sql, dict(verdict.parameters))
        column = {"p95": "p50_p75_p95_ms", "database_time": "database_time_ms", "cost": "cost_ms"}
        shown = row[column.get(verdict.measure, verdict.measure)]
        shown = shown[2] if verdict.measure == "p95" else shown
        factor = 1e3 if verdict.measure in column else 1
        assert shown == pytest.approx(verdict.value * factor, rel=1e-6)
    assert "calls per trace 3, budget 2" in by_rule["one"][0].headline


def test_budgets_over_the_api(loaded: Store) -> None:
    api = ApiClient(loaded)
    registry = Registry(loaded)
    registry.replace([Definition.model_validate(CHECKOUT)])
    reader = Reader(loaded)
    api.app = create_app(reader, reader.answers, registry=registry)
    body = documents.read(RULES.encode(), "yaml", Rules).document
    assert api.send("PUT", "/api/v1/alerts/rules", json=body).status_code == 200
    answer = api.get("/api/v1/budgets")
    (budget,) = answer["errors"]
    assert (budget["total"], budget["bad"]) == (200, 20)
    assert budget["spent"] == pytest.approx(1.0)
    assert budget["gone_in_hours"] == pytest.approx(0, abs=1e-9)
    assert budget["burn_rates"]["6h"] == pytest.approx(1.0)
    over = {row["measure"] for row in answer["performance"] if row["over"]}
    assert over == {"p95", "database_time", "payload", "calls", "cost"}
    assert {row["unit"] for row in answer["performance"] if row["measure"] == "cost"} == {"ms"}
    assert api.get("/api/v1/budgets", environment="test")["performance"] == []
    assert api.get("/api/v1/budgets", start="-3d", end="-2d")["performance"] == []
    assert api.response("/api/v1/budgets", start="-60d").status_code == 400


def test_what_was_seen_last_has_the_names_of_definitions(loaded: Store) -> None:
    """A rule that watches all transactions would else take a defined one for two."""
    now = float(query(loaded, "SELECT toUnixTimestamp(now()) AS now")[0]["now"])
    watched = WatchedSeries(Statements(loaded))
    checkout = Definition.model_validate(CHECKOUT)
    evidence = Evidence(now, watched, [checkout], watched.last_seen(now))
    text = 'rules: [{name: quiet, select: {transaction: "*"}, when: rate < 1, over: 3h}]'
    rules = documents.read(text.encode(), "yaml", Rules).rules
    ((_, group),) = judged(rules, evidence)
    assert sorted(verdict.labels["transaction"] for verdict in group) == [
        "Checkout", "shop: POST /checkout",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("budgets: [{select: {service: a}}]", "write a limit: calls, cost, database_time"),
        ("rules: [{name: a, budget: {calls: 3}}]", "budget needs a select"),
        ("rules: [{name: a, select: {service: a}, budget: {}}]", "write a limit"),
    ],
)
def test_budgets_without_a_limit_are_refused(text: str, mention: str) -> None:
    with pytest.raises(documents.DocumentError, match=mention):
        documents.read(text.encode(), "yaml", Rules)
