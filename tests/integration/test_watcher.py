"""The watcher over stored spans: states, what is told, and what a crash leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew.analysis import documents
from clew.analysis.alerts.notes import Note
from clew.analysis.alerts.records import AlertRecord
from clew.analysis.alerts.rules import AlertsFile, Labels
from clew.analysis.alerts.states import Known, State
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.calls import CallGraph
from clew.analysis.watching.nesting import Nesting
from clew.storage import Ingest, Sessions, StorageError, Store
from support.api_client import ApiClient
from support.loading import rows
from support.traffic import SECOND, SERVER, Process, Span
from support.watched_world import (
    BEGAN,
    PAYMENTS,
    RULES,
    SHOP,
    Crash,
    Crashing,
    World,
    prove,
    remember_hours,
)


@pytest.fixture
def world(store: Store, ingest: Ingest, tmp_path: Path) -> World:
    return World(store, ingest, tmp_path)


def test_an_alert_fires_and_is_resolved(world: World) -> None:
    world.minutes(3)
    assert world.told() == []
    world.minute(failing=True)
    assert world.told() == [("oncall", "payments fail", "fired")]
    record = world.record("payments fail")
    assert record.labels == {"environment": "prod", "service": "payments"}
    assert record.verdict.value == pytest.approx(0.25)
    assert record.verdict.requests == 40
    assert record.verdict.headline == "payments: failed requests 25 %, limit 5 %"
    assert len(record.verdict.examples) == 3
    (proof,) = prove(world, record)
    assert proof["requests"] == 40
    assert proof["error_rate"] == pytest.approx(0.25)
    began = record.state.firing_since
    world.minutes(2, failing=True)
    world.start()
    world.minute()
    assert world.record("payments fail").state.firing_since == began
    world.minutes(4)
    assert world.state("payments fail") is State.RESOLVED
    assert world.told()[-1] == ("oncall", "payments fail", "resolved")
    assert len(world.told()) == 2
    changes = world.records.changes(record.id, 10)
    assert [change["state"] for change in changes] == ["resolved", "recovering", "firing"]


def test_a_rule_of_others_holds_when_they_do(world: World) -> None:
    world.minute()
    world.minute(failing=True)
    assert not [told for told in world.told() if told[1] == "both"]
    world.minute(failing=True, slow=True)
    assert ("team", "both", "fired") in world.told()
    assert "payments" in world.record("both").verdict.headline


def test_silence_of_a_series_keeps_the_state(world: World) -> None:
    world.minute()
    world.minute(failing=True)
    for _ in range(8):
        world.minute(quiet=True)
    record = world.record("payments fail")
    assert record.state.state is State.FIRING
    assert record.known is Known.NO_DATA


def test_what_is_absent_is_told_once_clew_has_watched_for_as_long(world: World) -> None:
    world.file.write_text(RULES.replace("absent: 3h", "absent: 6m"))
    world.start()
    world.minutes(8)
    told = [told for told in world.told() if told[1] == "sync silent"]
    assert told == [("team", "sync silent", "fired")]
    assert world.record("sync silent").verdict.facts == {"last seen": "never"}


def test_while_clew_receives_nothing_nothing_is_absent(world: World) -> None:
    world.file.write_text(RULES.replace("absent: 3h", "absent: 6m"))
    world.inputs = {"is_received": lambda: False}
    world.start()
    for _ in range(8):
        world.minute(quiet=True)
    assert world.told() == []


def test_silences_tell_nobody_until_they_end(world: World) -> None:
    world.minute()
    match = Labels.model_validate({"service": "pay*"})
    silence = world.silences.add(match, "ann", "a test", world.now, world.now + 600)
    world.minutes(3, failing=True)
    assert world.told() == []
    world.silences.end(silence, world.now)
    world.minute(failing=True)
    assert world.told() == [("oncall", "payments fail", "fired")]


def test_it_is_told_again_while_it_fires(world: World) -> None:
    world.minute()
    world.minutes(12, failing=True)
    transitions = [told[2] for told in world.told() if told[1] == "payments fail"]
    assert transitions == ["fired", "repeated"]


def test_what_somebody_takes_care_of_is_not_told_again(world: World) -> None:
    world.minute()
    world.minute(failing=True)
    record = world.record("payments fail")
    world.notes.add(Note(record.id, 1, "acknowledged", "ann", "", world.now))
    world.minutes(11, failing=True)
    assert [told[2] for told in world.told() if told[1] == "payments fail"] == ["fired"]


def test_what_calls_is_told_of_by_what_it_calls(world: World) -> None:
    world.inputs = {"calls": lambda at: CallGraph([("shop", "payments")])}
    world.start()
    world.minute()
    world.minutes(2, failing=True, slow=True)
    assert sorted(told[1] for told in world.told()) == ["both", "payments fail"]
    assert world.record("shop slow").because_of == world.record("payments fail").id


def test_examples_say_which_of_two_services_calls_the_other(world: World) -> None:
    start, trace = int(world.now * SECOND), f"{7:032x}"
    world.loader.spans(
        Span(trace, f"{number:016x}", parent, process, name, SERVER, start, start + SECOND)
        for number, parent, process, name in (
            (1, "", SHOP, "GET /"),
            (2, f"{1:016x}", Process("shop", "shop-1"), "call"),
            (3, f"{2:016x}", PAYMENTS, "POST /charges"),
        )
    )
    shop, payments, other = (
        AlertRecord(Verdict("slow", labels, world.now + 60, True, examples=(trace,)), "ticket")
        for labels in (
            {"service": "shop"},
            {"service": "payments", "operation": "POST /charges"},
            {"service": "payments", "operation": "POST /refunds"},
        )
    )
    nesting = Nesting(world.statements)
    assert nesting.is_above(shop, payments)
    assert not nesting.is_above(payments, shop)
    assert not nesting.is_above(shop, other)


def test_what_was_missed_is_one_line(world: World) -> None:
    world.minute()
    missed: list[Span] = []
    for number in range(40):
        missed += world._spans(failing=5 <= number < 8, slow=False)
        world.now += 60
    world.loader.spans(missed)
    world.start()
    world.watch()
    assert world.told() == [("team", "payments fail", "resolved")]
    (entry,) = world.outbox.waiting()
    assert "1 alert began and ended while clew did not watch" in entry.notification.headline
    assert world.record("payments fail").state.episode == 1


def test_a_rule_that_is_gone_ends_its_alert(world: World) -> None:
    world.minute()
    world.minute(failing=True)
    kept = documents.read(RULES.encode(), "yaml", AlertsFile).rules
    assert len(kept) == 4
    world.file.write_text(
        "\n".join(line for line in RULES.splitlines() if "payments fail" not in line)
    )
    world.start()
    world.minute(failing=True)
    assert world.state("payments fail") is State.RESOLVED
    world.minute(failing=True)
    assert "payments fail" not in {record.rule for record in world.records.all().values()}


PLAN: list[Callable[[World], None]] = [
    lambda world: world.minute(),
    lambda world: world.minute(failing=True),
    lambda world: world.minute(),
    *[lambda world: world.minute()] * 4,
]


def outcome(store: Store) -> list[dict[str, Any]]:
    query = "SELECT Key, Receiver, Transition FROM otel.clew_outbox FINAL ORDER BY Transition, Key"
    return rows(store, query)


@pytest.mark.parametrize(
    ("is_written", "every"),
    [
        (True, 23),
        pytest.param(False, 1, marks=pytest.mark.slow),
        pytest.param(True, 1, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_write_loses_nothing_and_repeats_no_key(
    world: World, is_written: bool, every: int
) -> None:
    """Each of these writes is one at which the process is killed, before it or just after."""
    for step in PLAN:
        step(world)
    writes = world.statements.writes
    expected = [row["Transition"] for row in outcome(world.store)]
    assert expected == ["fired", "resolved"]
    since = world.record("payments fail").state.firing_since
    base = rows(world.store, "SELECT count() AS n FROM otel.otel_traces")
    for dies_at in range(2, writes + 1, every):
        with world.store.client() as client:
            for table in ("clew_alerts", "clew_alert_changes", "clew_outbox", "clew_settler"):
                client.command(f"TRUNCATE TABLE otel.{table}")
        world.now = float(BEGAN)
        world.statements = Crashing(world.store)
        world.statements.dies_at, world.statements.is_written = dies_at, is_written
        world.start()
        for _ in PLAN:
            world.now += 60
            try:
                world.watch()
            except Crash:
                world.statements = Crashing(world.store)
                world.start()
                world.watch()
        assert [row["Transition"] for row in outcome(world.store)] == expected, dies_at
        assert world.record("payments fail").state.firing_since == since, dies_at
    assert rows(world.store, "SELECT count() AS n FROM otel.otel_traces") == base


HISTORY = """
INSERT INTO otel.clew_operations_1h
    (Hour, Environment, ServiceName, SpanName, SpanKind, IsRoot, Count, Errors, DurationSum, DurationMax, Sketch)
SELECT
    toStartOfHour(toDateTime({now:UInt32})) - toIntervalHour(1 + number % 672) AS Hour, 'prod',
    {service:String}, {name:String}, 'Server', true, count(), countIf(rand(1) % 1000 = 0),
    sum(duration), max(duration), quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(duration)
FROM
(
    SELECT number, toUInt64(exp(randNormal(log({median:Float64}), 0.3)) * 1e6
        * if(number % 672 < {slower:UInt32}, 1.5, 1)) AS duration
    FROM numbers(672 * 1200)
)
GROUP BY Hour
"""


def remember(world: World, slower: int = 0) -> None:
    """Four weeks, in which both services had 20 requests a minute and took 50 and 100 ms; in the
    last hours half as much again."""
    with world.store.client() as client:
        for process, name, median in ((PAYMENTS, "POST /charges", 50.0), (SHOP, "GET /", 100.0)):
            client.command(
                HISTORY,
                parameters={
                    "now": int(world.now), "service": process.service, "name": name, "median": median,
                    "slower": slower,
                },
            )  # fmt: skip


def test_a_spike_is_unlike_the_past(world: World) -> None:
    """Nobody wrote a rule for it."""
    world.file.write_text(
        "defaults: {receiver: team}\nreceivers: {team: {webhook: {url: 'https://t/'}}}"
    )
    remember(world)
    world.start()
    world.minutes(4)
    assert world.told() == []
    world.minutes(5, slow=True)
    told = {(rule, transition) for _, rule, transition in world.told()}
    assert told == {("clew: unusual", "fired")}
    record = world.record_of(measure="slow_rate", operation="GET /")
    assert record.verdict.headline.startswith("shop: GET /: slow requests ")
    assert record.verdict.expected == pytest.approx(0.1, abs=0.02)
    (proof,) = prove(world, record)
    assert proof["requests"] == record.verdict.requests
    assert proof["slow_rate"] == pytest.approx(record.verdict.value, abs=0.02)
    assert record.verdict.z is not None
    assert record.verdict.z > 5
    world.minutes(20)
    assert world.record_of(measure="slow_rate", operation="GET /").state.state is State.RESOLVED


def test_a_regression_names_the_deployment(world: World) -> None:
    world.file.write_text(
        "defaults: {receiver: team}\nreceivers: {team: {webhook: {url: 'https://t/'}}}"
    )
    remember(world, slower=6)
    hour = int(world.now) // 3600 * 3600
    with world.store.client() as client:
        for version, ago in (("1.8.0", 40 * 24), ("1.9.0", 6)):
            client.command(
                "INSERT INTO otel.clew_operations (ServiceName, Environment, ServiceVersion, SpanName, FirstSeen, LastSeen) "
                "SELECT 'payments', 'prod', {version:String}, 'POST /charges', {at:UInt32}, {at:UInt32}",
                parameters={"version": version, "at": hour - ago * 3600},
            )
    world.start()
    world.minutes(3)
    record = world.record_of(service="payments")
    assert record.rule == "clew: regression"
    assert record.verdict.facts["version"] == "1.9.0"
    assert record.verdict.headline.endswith("%, since version 1.9.0")
    assert record.verdict.expected is not None
    assert record.verdict.value == pytest.approx(record.verdict.expected * 1.5, rel=0.2)
    hours = prove(world, record)
    assert hours[-1]["p50_p75_p95_p98_ms"][0] == pytest.approx(75, rel=0.1)
    assert hours[0]["p50_p75_p95_p98_ms"][0] == pytest.approx(50, rel=0.1)
    other = world.record_of(service="shop")
    assert other.rule == "clew: regression"
    assert "version" not in other.verdict.facts

    # What somebody accepts is usual from the next hour on.
    world.notes.add(Note(record.id, 1, "accepted", "ann", "it does more now", world.now))
    world.now = int(world.now) // 3600 * 3600 + 3600 + 15 * 60
    world.watch()
    records = world.records.all()
    assert records[record.id].state.state is State.RESOLVED
    assert records[other.id].state.state is State.FIRING


BESIDE = """
INSERT INTO otel.clew_operations_1m
    (Minute, Environment, ServiceVersion, ServiceName, SpanName, SpanKind, IsRoot, Count, Errors, Sketch, FirstSeen)
SELECT
    toDateTime({hour:UInt32}) - 60 * (1 + number % 300) AS Minute, 'prod', {version:String}, 'payments', 'POST /charges',
    'Server', true, count(), 0, quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(
        toUInt64(exp(randNormal(log({median:Float64}), 0.3)) * 1e6)), toDateTime64(Minute, 9)
FROM numbers(300 * 20)
GROUP BY Minute
"""


def test_two_versions_at_once_are_compared(world: World) -> None:
    """A canary that is 15 % slower: too little for a comparison with the past."""
    world.file.write_text(
        "defaults: {receiver: team}\nreceivers: {team: {webhook: {url: 'https://t/'}}}"
    )
    remember(world)
    hour = int(world.now) // 3600 * 3600
    with world.store.client() as client:
        for version, ago, median in (("1.8.0", 40 * 24, 50.0), ("1.9.0", 5, 57.5)):
            client.command(
                "INSERT INTO otel.clew_operations (ServiceName, Environment, ServiceVersion, SpanName, FirstSeen, LastSeen) "
                "SELECT 'payments', 'prod', {version:String}, 'POST /charges', {at:UInt32}, {at:UInt32}",
                parameters={"version": version, "at": hour - ago * 3600},
            )
            client.command(BESIDE, parameters={"hour": hour, "version": version, "median": median})
    world.start()
    world.minutes(2)
    (record,) = [one for one in world.records.all().values() if one.rule == "clew: regression"]
    assert record.labels == {"environment": "prod", "service": "payments"}
    assert "in version 1.9.0" in record.verdict.headline
    assert record.verdict.headline.endswith(" in 1.8.0 at the same time")
    verdict = record.verdict
    assert verdict.value is not None
    assert verdict.expected is not None
    assert verdict.value / verdict.expected == pytest.approx(1.15, abs=0.04)
    hours = prove(world, record)
    assert sum(row["requests"] for row in hours if row["version"] == "1.9.0") == verdict.requests
    place = ("p50", "p75", "p95").index(verdict.measure)
    new, old = (
        [row["p50_p75_p95_p98_ms"][place] for row in hours if row["version"] == version]
        for version in ("1.9.0", "1.8.0")
    )
    assert sum(new) / len(new) == pytest.approx(verdict.value * 1000, rel=0.02)
    assert sum(old) / len(old) == pytest.approx(verdict.expected * 1000, rel=0.02)


METRIC_RULES = """
rules:
  - {name: disk full, metric: disk.used, when: value > 0.9, over: 5m}
  - {name: disk full soon, metric: disk.used, forecast: {reaches: 1, within: 4d}}
  - {name: clew's disk, select: {service: clew}, metric: disk.used, when: value > 0.9, over: 5m}
  - {name: clew's spool, select: {service: "*"}, metric: clew.spool.share, when: value > 0.9, over: 5m}
  - {name: many, sql: "SELECT ServiceName AS service, count() AS value FROM otel.otel_traces GROUP BY 1", when: value > 30}
  - {name: broken, sql: "SELECT nothing FROM nowhere", when: value > 1}
"""


def test_how_well_clew_judges(world: World, store: Store) -> None:
    """Rules in error, that minutes are judged late, and what is not watched stand in the status."""

    def run_sql(sql: str) -> list[dict[str, Any]]:
        raise StorageError("no such table")

    api = ApiClient(store)
    status = api.get("/api/v1/alerts/status")
    assert (status["judged_until"], status["watched"]) == (None, None)
    for service in ("a", "b", "c"):
        remember_hours(store, int(world.now), "service", service, "", ord("z") - ord(service))
    world.limit = 2
    world.file.write_text('rules: [{name: broken, sql: "SELECT 1", when: value > 1}]')
    world.inputs = {"run_sql": run_sql}
    world.start()
    world.minutes(2)
    status = api.get("/api/v1/alerts/status")
    assert status["rules_in_error"] == [{"rule": "broken", "error": "broken: no such table"}]
    assert status["outbox"] == 0
    watched = status["watched"]
    (left_out,) = watched.pop("largest_unwatched")
    assert watched == {"limit": 2, "series": 2, "learning": 0, "unwatched": 1}
    assert left_out["labels"] == {"environment": "prod", "service": "c"}
    assert left_out["requests"] == 672 * 600
    late, broken = status["problems"]
    assert late.startswith("the last minute that was judged is ")
    assert broken == "rules that cannot be judged: broken"
    world.inputs = {"run_sql": lambda sql: []}
    world.start()
    world.minute()
    assert api.get("/api/v1/alerts/status")["rules_in_error"] == []


def test_metrics_forecasts_and_statements_are_judged(world: World, store: Store) -> None:
    world.file.write_text(METRIC_RULES)
    sessions = Sessions(store)

    def run_sql(sql: str) -> list[dict[str, Any]]:
        with sessions.open(sql) as session:
            return [json.loads(line) for line in b"".join(session.read("JSONEachRow")).splitlines()]

    world.inputs = {"run_sql": run_sql}
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_metrics_gauge (ServiceName, MetricName, Attributes, TimeUnix, Value) "
            "SELECT 'db', 'disk.used', map('device', device), {now:UInt32} - number * 1800, "
            "if(device = 'a', 0.95 - number * 0.0003, 0.4) FROM numbers(10 * 48) "
            "ARRAY JOIN ['a', 'b'] AS device",
            parameters={"now": int(world.now) + 50},
        )
        client.command(
            "INSERT INTO otel.otel_metrics_gauge (ServiceName, MetricName, TimeUnix, Value) "
            "SELECT 'clew', metric, {now:UInt32}, 0.95 "
            "FROM (SELECT arrayJoin(['disk.used', 'clew.spool.share']) AS metric)",
            parameters={"now": int(world.now) + 50},
        )
    world.start()
    world.minute()
    world.minute()
    records = world.records.all().values()
    own = [each for each in records if each.labels.get("service") == "clew"]
    assert {each.rule for each in own if each.state.is_open} == {"clew's disk", "clew's spool"}
    records = [each for each in records if each not in own]
    firing = {(each.rule, each.labels.get("device", "")) for each in records if each.state.is_open}
    assert firing == {("disk full", "a"), ("disk full soon", "a"), ("many", "")}
    full, soon = (
        next(each for each in records if each.rule == rule and each.state.is_open)
        for rule in ("disk full", "disk full soon")
    )
    assert "reaches 1 in 3d" in soon.verdict.headline
    assert [row["value"] for row in prove(world, full)] == [full.verdict.value]
    assert prove(world, soon)[-1]["value"] == pytest.approx(soon.verdict.value)
    assert world.record_of(service="shop").verdict.value == 40
    with store.client() as client:
        client.command("TRUNCATE TABLE otel.otel_traces")
    world.minute(quiet=True)  # its row is gone
    assert world.record_of(service="shop").state.state is State.RECOVERING
