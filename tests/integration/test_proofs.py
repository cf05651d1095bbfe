"""Every kind of rule: the statement of its finding, run again, gives the finding's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clew.analysis import documents
from clew.analysis.alerts.rules import AlertsFile
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching.judges import JUDGES
from clew.storage import Ingest, Store
from clew.storage.reader import with_literals
from support.watched_world import BEGAN, World, remember_hours

# With requests of 50 and 100 ms, of which the shop's do not fail and half of those of payments do.
RULES = """
defaults: {receiver: team}
receivers: {team: {webhook: {url: 'https://t/'}}}
rules:
  - {name: rate, select: {service: "pay*"}, when: rate > 0.1, over: 2m}
  - {name: odd window, select: {service: payments}, when: rate > 0.1, over: 100s}
  - {name: failed, select: {operation: "POST /charges", environment: prod}, when: error_rate > 5%, over: 2m}
  - {name: slow, select: {transaction: "shop: GET /"}, when: p50 > 50ms, over: 2m}
  - {name: slowest, select: {service: shop}, when: p95 > 50ms, over: 2m}
  - {name: defined, select: {transaction: Checkout}, when: value_lost > 10, over: 5m}
  - {name: bank, select: {dependency: bank.example}, when: p75 > 1ms, over: 5m}
  - name: part
    ratio:
      part: {select: {service: "pay*", environment: prod}, measure: errors}
      total: {select: {operation: "*"}}
    when: value > 0.1
    over: 2m
  - name: part of a definition
    ratio:
      part: {select: {transaction: Check*}, measure: value_lost}
      total: {select: {transaction: Check*}, measure: value}
    when: value > 0.05
  - {name: silent, select: {service: shop}, absent: 2m}
  - {name: never, select: {service: nobody}, absent: 2m}
  - {name: burns, slo: Checkout}
  - {name: disk, metric: disk.used, when: value > 0.9}
  - {name: disk soon, metric: disk.used, forecast: {reaches: 1, within: 4d}}
  - {name: statement, sql: "SELECT ServiceName AS service, count() AS value FROM otel.otel_traces GROUP BY 1", when: value > 30}
  - {name: budget, select: {service: payments}, budget: {error_rate: 1%}}
  - {name: unusual, select: {service: payments}, baseline: [error_rate, rate]}
  - {name: slower, select: {service: regressed}, regression: [p50]}
"""
STORED = (
    """INSERT INTO otel.clew_occurrences (Transaction, Timestamp, Key, Environment, EntryDuration, IsError, Value, Version)
    SELECT 'checkout', fromUnixTimestamp64Nano(toInt64({now:UInt32} - 10 - number) * 1000000000), toString(number), 'prod',
        100000000, number = 3, 20 + number, 1
    FROM numbers(10)""",
    """INSERT INTO otel.clew_edges_1m (Minute, Source, Target, Environment, Type, Count, Errors, Sketch, Version)
    SELECT toStartOfMinute(toDateTime({now:UInt32} - 60)), 'payments', 'bank.example', 'prod', 'external', 40, 2,
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(toUInt64(1000000 * (1 + number))), 1
    FROM numbers(40)""",
    """INSERT INTO otel.otel_metrics_gauge (ServiceName, MetricName, Attributes, TimeUnix, Value)
    SELECT 'db', 'disk.used', map('device', 'a'), {now:UInt32} - 20 - number * 1800, 0.95 - number * 0.0003
    FROM numbers(10 * 48)""",
    """INSERT INTO otel.clew_watch_1h (Hour, Series, Kind, Environment, ServiceName, Name, Count, Levels, Version)
    SELECT toStartOfHour(toDateTime({now:UInt32})) - toIntervalHour(1 + number), cityHash64('service', 'prod', 'regressed', ''),
        'service', 'prod', 'regressed', '', 600,
        arrayMap(x -> 1e8 * (0.9 + 0.01 * x) * (1 + 0.02 * (number % 7)) * if(number < 30, 1.6, 1), range(21)), 1
    FROM numbers(672)""",
)  # fmt: skip
COLUMNS = {"p50": 0, "p75": 1, "p95": 2}  # of p50_p75_p95_ms


@pytest.fixture
def world(store: Store, ingest: Ingest, tmp_path: Path) -> World:
    return World(store, ingest, tmp_path, RULES)


def shown(verdict: Verdict, row: dict[str, Any]) -> float:
    """The verdict's value in the last row of its statement."""
    if verdict.measure in COLUMNS:
        durations = row.get("p50_p75_p95_ms") or row["mean_p50_p75_p95_p98_ms"]
        return float(durations[COLUMNS[verdict.measure]]) / 1000
    if verdict.measure == "absent":
        return float(row.get("absent", verdict.value or 0.0))
    return float(row[verdict.measure])


def test_statements_of_all_kinds_of_rules_give_their_numbers(world: World, store: Store) -> None:
    world.definitions = (
        Definition.model_validate(
            {
                "name": "Checkout",
                "match": {"service": "payments"},
                "slo": {"objective": 0.995, "latency_ms": 500},
            }
        ),
    )

    def query(sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        with store.client() as client:
            return list(client.query(sql, parameters=parameters).named_results())

    remember_hours(store, BEGAN, "service", "payments", "", 1.0)
    world.inputs = {"run_sql": query}
    with store.client() as client:
        for statement in STORED:
            client.command(statement, parameters={"now": int(world.now) + 240})
    world.now -= 7200  # what budgets are judged by
    world.loader.spans(world._spans(failing=True, slow=False))
    world.now += 7200
    world.start()
    world.minutes(4, failing=True)
    for _ in range(3):
        world.now += 60
        world.watch()
    records = {record.rule: record for record in world.records.all().values()}
    kinds = set()
    for rule in documents.read(RULES.encode(), "yaml", AlertsFile).rules:
        verdict = records[rule.name].verdict
        literal = with_literals(verdict.sql, verdict.parameters)
        for rows in (query(verdict.sql, dict(verdict.parameters)), query(literal)):
            if rule.name == "statement":
                rows = [row for row in rows if row["service"] == verdict.labels["service"]]
            if verdict.measure == "absent":
                assert rows[-1]["requests"] == 0
            assert shown(verdict, rows[-1]) == pytest.approx(verdict.value), rule.name
        kinds.add(rule.kind)
    assert kinds == set(JUDGES)
