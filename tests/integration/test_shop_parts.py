"""The shop's queue, faults and load by themselves."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import httpx
import pytest

from clew.shop import faults, fleet, queue, service
from clew.shop.faults import Fault, FaultPlan, Faults
from clew.shop.queue import Job, Queue
from support.capture import free_port, running


def test_a_job_is_claimed_once_when_it_is_due(tmp_path: Path) -> None:
    jobs = Queue(tmp_path / "queue.db")
    jobs.put("later", "u", delay_s=3600)
    jobs.put("now", "u", delay_s=0)
    jobs.put("now", "u", delay_s=0)
    assert jobs.claim() == Job("now", "u", 1)
    assert jobs.claim() is None
    assert jobs.waiting() == 2


def test_a_job_that_was_claimed_and_not_done_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Queue(tmp_path / "queue.db").put("order", "u", delay_s=0)
    monkeypatch.setattr(queue, "CLAIM_TIMEOUT_S", 0.0)
    assert Queue(tmp_path / "queue.db").claim() == Job("order", "u", 1)
    job = Queue(tmp_path / "queue.db").claim()
    assert job == Job("order", "u", 2)
    Queue(tmp_path / "queue.db").finish(job)
    assert Queue(tmp_path / "queue.db").claim() is None
    assert Queue(tmp_path / "queue.db").waiting() == 0


def test_a_job_that_failed_comes_back_when_it_is_told_to(tmp_path: Path) -> None:
    jobs = Queue(tmp_path / "queue.db")
    jobs.put("order", "u", delay_s=0)
    job = jobs.claim()
    assert job
    jobs.retry(job, delay_s=0)
    assert jobs.claim() == Job("order", "u", 2)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("", FaultPlan({})),
        ("payment_errors", FaultPlan({"payment_errors": Fault(1, 0)})),
        ("payment_errors=0.5, seed=7", FaultPlan({"payment_errors": Fault(0.5, 0)}, 7)),
        ("payment_latency=0.2:400", FaultPlan({"payment_latency": Fault(0.2, 400)})),
        ('{"payment_latency": {"ms": 9}}', FaultPlan({"payment_latency": Fault(1, 9)})),
        ('{"seed": 3}', FaultPlan({}, 3)),
    ],
)
def test_faults_are_read(text: str, plan: FaultPlan) -> None:
    assert faults.parse(text) == plan
    assert faults.from_json(plan.as_json()) == plan


@pytest.mark.parametrize(
    "text",
    [
        "nonsense=1",
        "payment_errors=2",
        "payment_errors=often",
        '{"payment_errors": 1}',
        '{"payment_errors": {"share": 1}}',
        '{"payment_latency": {"ms": -1}}',
        "{",
    ],
)
def test_faults_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        faults.parse(text)


def test_the_same_seed_decides_the_same() -> None:
    def decisions(seed: int) -> list[bool]:
        plan = faults.parse(f"payment_errors=0.5,payment_latency=0.5,seed={seed}")
        switchboard = Faults(plan)
        return [bool(switchboard.strikes("payment_errors")) for _ in range(64)]

    assert decisions(1) == decisions(1) != decisions(2)
    assert {True, False} == set(decisions(1))


def test_a_fault_that_is_off_never_strikes() -> None:
    switchboard = Faults(faults.parse("payment_errors=0"))
    assert not switchboard.strikes("payment_errors")
    assert not switchboard.strikes("payment_latency")


def test_the_fleet_names_five_processes_that_know_where_the_others_are(tmp_path: Path) -> None:
    ports = fleet.ports_from(7000)
    commands = fleet.commands(tmp_path, ports)
    assert tuple(commands) == fleet.SERVICES
    assert commands["storefront"].port == ports["storefront"] == 7000
    assert commands["fulfilment"].port is None
    assert commands["fulfilment"].env["SHOP_INVENTORY_URL"].endswith(f":{ports['inventory']}")


def test_a_large_shop_has_a_bank_and_a_second_instance(tmp_path: Path) -> None:
    ports = {name: 7000 + n for n, name in enumerate((*fleet.LARGE, *fleet.WEB_SERVICES))}
    commands = fleet.commands(tmp_path, ports)
    services = {name: command.service for name, command in commands.items()}
    more = {"bank": "", "inventory-2": "inventory", "payments-new": "payments"}
    assert services == more | {name: name for name in fleet.SERVICES}
    assert commands["payments-new"].version == faults.NEW_VERSION
    assert commands["orders"].env["SHOP_INVENTORY_URL"].count("http://") == 2
    assert commands["payments"].env["SHOP_BANK_URL"] == f"http://127.0.0.1:{ports['bank']}"
    assert commands["inventory-2"].env["SHOP_INSTANCE"] == faults.SECOND_INSTANCE
    assert "SHOP_INSTANCE" not in commands["inventory"].env


def test_every_fault_can_be_switched_on_as_it_usually_is() -> None:
    for name, known in faults.KNOWN.items():
        assert faults.from_json({name: known.usual._asdict()}).faults == {name: known.usual}
        assert known.truth.service in fleet.SERVICES


def test_the_shop_knows_neither_clew_nor_opentelemetry() -> None:
    for path in Path(fleet.__file__).parent.glob("*.py"):
        imports = [
            line.split()[1]
            for line in path.read_text().splitlines()
            if line.strip().startswith(("import ", "from "))
        ]
        foreign = [name for name in imports if name.startswith(("opentelemetry", "clew"))]
        assert all(name.startswith("clew.shop") for name in foreign), path


def test_the_load_reports_when_it_is_told_to_stop(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with socket.create_server(("127.0.0.1", 0)) as shop:
        port = shop.getsockname()[1]
        load = fleet.load_command(port, rate=200, duration_s=0, seed=1, report=report)
        with running(load.argv, os.environ, tmp_path) as process:
            visitor, _ = shop.accept()
            visitor.close()
            shop.close()
            assert process.stop() == 0, process.output.read_text()
    told = json.loads(report.read_text())
    # Nobody answers: every request that was begun is accounted for as unanswered.
    assert sum(told["unanswered"].values()) > 0
    assert told["operations"] == told["errors"] == {}


def test_faults_can_be_switched_while_the_shop_runs(tmp_path: Path) -> None:
    port = free_port()
    ports = {**dict.fromkeys(fleet.WEB_SERVICES, 9), "payments": port}
    argv, env, *_ = fleet.commands(tmp_path, ports)["payments"]
    charge = {"order_id": "1", "user": "u", "amount": 1.0, "card": "4242"}
    with running(argv, {**os.environ, **env}, tmp_path) as process:
        process.wait_for_port(port)
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, limits=service.FRESH_CONNECTIONS) as payments:
            assert payments.get("/health").json() == {"status": "ok"}
            assert payments.get("/admin/faults").json() == {}
            assert payments.post("/charges", json=charge).status_code == 201
            assert payments.post("/charges", json={**charge, "card": "0002"}).status_code == 402
            switched = payments.put("/admin/faults", json={"payment_errors": {"probability": 1}})
            assert switched.json() == {"payment_errors": {"probability": 1.0, "ms": 0.0}}
            assert payments.post("/charges", json=charge).status_code == 500
            assert payments.put("/admin/faults", json={"nonsense": {}}).status_code == 422
            assert payments.put("/admin/faults", json={}).json() == {}
            assert payments.post("/charges", json=charge).status_code == 201
