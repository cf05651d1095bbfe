"""Value lost, and what processes use, compared with their own past."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clew.analysis.alerts.states import State
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching.series import WatchedSeries
from clew.storage import Ingest, Store
from clew.storage.statements import Statements
from support.traffic import SECOND, Loader, Point, Process
from support.watched_world import BEGAN, PAYMENTS, World, prove, remember_hours

RULES = "defaults: {receiver: team}\nreceivers: {team: {webhook: {url: 'https://t/'}}}"
OCCURRENCES = """
INSERT INTO otel.clew_occurrences
    (Transaction, Timestamp, Key, Environment, EntryDuration, IsError, Value, Version)
SELECT {id:String}, fromUnixTimestamp64Nano(toInt64({at:UInt32} + number * 6) * 1000000000), toString({at:UInt32} + number), 'prod',
    100000000, number = 3, if(number = 3 AND {worth:Float64} > 0, {worth:Float64}, 25 + rand() % 50), 1
FROM numbers(10)
"""


@pytest.fixture
def world(store: Store, ingest: Ingest, tmp_path: Path) -> World:
    return World(store, ingest, tmp_path, RULES)


def test_value_that_is_lost_is_unlike_the_past(world: World) -> None:
    """As many orders fail as always, and they are worth more."""
    definition = Definition.model_validate({"name": "Checkout", "match": {"service": "payments"}})
    world.definitions = (definition,)
    remember_hours(world.store, BEGAN, "defined", "", definition.id, 600 * 50.0)
    world.start()
    with world.store.client() as client:
        for minute in range(12):
            worth = 2000.0 if minute >= 6 else 0.0
            client.command(
                OCCURRENCES, parameters={"id": definition.id, "at": int(world.now), "worth": worth}
            )
            world.now += 60
            world.watch()
            if minute < 6:
                assert world.told() == []
    (record,) = world.records.all().values()
    assert record.state.state is State.FIRING
    assert record.labels == {
        "transaction": "Checkout",
        "environment": "prod",
        "measure": "value_lost",
    }
    assert record.verdict.headline.startswith("Checkout: value lost ")
    (proof,) = prove(world, record)
    assert proof["value_lost"] == pytest.approx(record.verdict.value)
    assert proof["requests"] == record.verdict.requests
    assert record.verdict.expected == pytest.approx(
        record.verdict.value / 2000 * (2000 + 450) * 0.1, rel=0.3
    )
    assert world.told() == [("team", "clew: unusual", "fired")]


def test_a_budget_that_burns_can_be_checked(world: World) -> None:
    definition = Definition.model_validate(
        {
            "name": "Checkout",
            "match": {"service": "payments"},
            "slo": {"objective": 0.995, "latency_ms": 500},
        }
    )
    world.definitions = (definition,)
    world.file.write_text(f"{RULES}\nrules: [{{name: burns, slo: Checkout, severity: page}}]")
    world.start()
    world.now += 60
    world.watch()
    with world.store.client() as client:
        client.command(
            OCCURRENCES, parameters={"id": definition.id, "at": int(world.now), "worth": 0}
        )
    world.now += 60
    world.watch()
    (record,) = [one for one in world.records.all().values() if one.rule == "burns"]
    assert record.verdict.value == pytest.approx(20)
    assert prove(world, record) == [
        {"total": 10, "bad": 1, "burn_rate": pytest.approx(record.verdict.value)}
    ]


def test_memory_that_grows_is_unlike_the_past(world: World) -> None:
    """Two instances; a change is told once it has lasted for three slots of five minutes."""
    remember_hours(world.store, BEGAN, "process", "payments", "process.memory.usage", 200e6)
    world.now = float(BEGAN // 300 * 300)
    world.start()
    began, told_at = world.now, None
    world.loader.points(
        Point(
            "process.memory.usage", "By", "gauge", process,
            int(began + 60 * minute + 10) * SECOND,
            (150e6 + 100e6 * number) * (2 if minute >= 20 else 1),
        )
        for minute in range(45)
        for number, process in enumerate((PAYMENTS, Process("payments", "payments-2")))
    )  # fmt: skip
    world.now += 60 * 25
    for minute in range(25, 45):
        world.now += 60
        world.watch()
        if world.told() and told_at is None:
            told_at = minute
    assert told_at in (34, 35, 36, 37)
    (record,) = world.records.all().values()
    assert record.labels == {
        "service": "payments", "metric": "process.memory.usage", "environment": "prod",
    }  # fmt: skip
    assert record.verdict.headline.startswith("payments: memory of processes 381 MiB, usually ")
    assert record.verdict.value == pytest.approx(400e6)
    assert [row["instances"] for row in prove(world, record)] == [2, 2, 2]
    assert [row["value"] for row in prove(world, record)] == pytest.approx([400e6] * 3)
    assert record.verdict.as_large == 0
    assert world.told() == [("team", "clew: unusual 4", "fired")]
    assert began < record.state.firing_since


def test_an_instance_that_grows_among_its_siblings_is_unlike_the_past(world: World) -> None:
    """The mean of ten instances rises by a tenth alone."""
    remember_hours(world.store, BEGAN, "process", "payments", "process.memory.usage", 200e6)
    world.now = float(BEGAN // 300 * 300)
    world.start()
    world.watch()
    world.loader.points(
        Point(
            "process.memory.usage", "By", "gauge", Process("payments", f"payments-{number}"),
            int(world.now + 60 * minute + 10) * SECOND,
            200e6 * (2 if number == 7 and minute >= 5 else 1),
        )
        for minute in range(25)
        for number in range(10)
    )  # fmt: skip
    world.now += 60 * 24
    world.watch()
    (record,) = world.records.all().values()
    assert record.verdict.headline.startswith(
        "payments, instance payments-7: memory of processes 381 MiB, usually "
    )
    assert record.verdict.headline.endswith(", 191 MiB in the others")
    rows = prove(world, record)
    assert {row["worst_instance"] for row in rows} == {"payments-7"}
    assert [row["worst"] for row in rows] == pytest.approx([record.verdict.value] * 3)


def test_what_only_rises_counts_by_its_rate(store: Store, ingest: Ingest, tmp_path: Path) -> None:
    hour = BEGAN // 3600 * 3600
    points = [
        Point(
            "process.cpu.time", "s", "sum", Process("orders", f"orders-{number}"),
            (hour + 60 * minute) * SECOND, 60.0 * minute * cores, {"cpu.mode": mode},
        )
        for number in (1, 2)
        for mode, cores in (("user", 0.25 * number), ("system", 0.1))
        for minute in range(60)
    ]  # fmt: skip
    Loader(ingest, tmp_path).points(points)
    watched = WatchedSeries(Statements(store))
    watched.fill_hours(hour, hour + 3600, version=1)
    (history,) = watched.history(hour, hour + 3600, (0.1, 0.9))
    assert (history.series.kind, history.series.name) == ("process", "process.cpu.time")
    assert history.value[0] == pytest.approx(0.475)  # 0.25 + 0.1 and 0.5 + 0.1
    assert history.worst[0] == pytest.approx(0.6)
    assert np.allclose(history.levels[0], 0.475)
    assert history.count[0] == 12
