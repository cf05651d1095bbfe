"""The shop under the agent: for a load that is known, exactly the traces that it should make."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew.analysis.transactions.definitions import read_file
from clew.analysis.transactions.occurrences import Occurrences
from clew.shop import fleet, service
from clew.shop.queue import Queue
from clew.storage import Ingest, Store
from support.capture import (
    ERROR,
    Capture,
    Process,
    capturing,
    free_port,
    running,
    under_clew_run,
)
from support.traffic import Loader


@dataclass
class Outcome:
    """What the load says it did, and what the shop sent."""

    report: dict[str, Any]
    sent: Capture
    output: str

    def services_by_trace(self) -> dict[str, set[str]]:
        services = defaultdict(set)
        for span in self.sent.spans:
            services[span.trace_id].add(span.service)
        return services


def _start(
    stack: contextlib.ExitStack, directory: Path, endpoint: str, faults: str
) -> tuple[dict[str, Process], dict[str, int]]:
    ports = {name: free_port() for name in fleet.WEB_SERVICES}
    processes = {}
    for name, command in fleet.commands(directory, ports, faults=faults).items():
        argv = under_clew_run(command.argv, endpoint=endpoint, service_name=name)
        env = {**os.environ, **command.env, "SHOP_FULFILMENT_DELAY": "0.2"}
        processes[name] = stack.enter_context(running(argv, env, directory, name))
    for name, port in ports.items():
        processes[name].wait_for_port(port)
    return processes, ports


def _load(port: int, directory: Path) -> dict[str, Any]:
    path = directory / "report.json"
    load = fleet.load_command(port, rate=60, duration_s=3, seed=11, report=path)
    subprocess.run(load.argv, check=True, timeout=60)
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def _wait_until_empty(queue: Queue) -> None:
    give_up = time.monotonic() + 30
    while queue.waiting():
        assert time.monotonic() < give_up, "fulfilment does not get on"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    directory = tmp_path_factory.mktemp("shop")
    faults = "payment_errors=0.3,payment_latency=0.2:50,inventory_n_plus_one=0.5,seed=5"
    with capturing() as sent, contextlib.ExitStack() as stack:
        processes, ports = _start(stack, directory, sent.url, faults)
        report = _load(ports["storefront"], directory)
        _wait_until_empty(Queue(directory / "queue.db"))
        for process in reversed(processes.values()):
            process.stop()
        output = "".join(process.output.read_text() for process in processes.values())
        yield Outcome(report, sent, output)


def test_the_load_did_something_of_everything(outcome: Outcome) -> None:
    report = outcome.report
    assert set(report["operations"]) == {
        "GET /",
        "GET /products",
        "GET /products/{sku}",
        "POST /cart",
        "POST /checkout",
        "GET /orders/{order_id}",
    }
    assert report["orders"]
    assert report["errors"]["POST /checkout"]
    assert not report["unanswered"]


def test_each_request_and_each_shipment_is_one_trace_and_nothing_else_is(outcome: Outcome) -> None:
    roots = Counter(f"{span.service}: {span.proto.name}" for span in outcome.sent.roots())
    expected = {f"storefront: {name}": n for name, n in outcome.report["operations"].items()}
    expected["fulfilment: POST"] = len(outcome.report["orders"])
    assert roots == expected
    assert len(outcome.services_by_trace()) == sum(expected.values())


def test_the_failures_are_the_ones_that_the_load_saw(outcome: Outcome) -> None:
    failed = Counter(
        span.proto.name for span in outcome.sent.roots() if span.proto.status.code == ERROR
    )
    assert failed == {name: n for name, n in outcome.report["errors"].items() if n}
    declined = [
        span
        for span in outcome.sent.roots()
        if span.attributes.get("http.response.status_code") == 402
    ]
    assert len(declined) == outcome.report["declined"]


def test_a_checkout_goes_through_four_services_and_a_shipment_through_three(
    outcome: Outcome,
) -> None:
    services = outcome.services_by_trace()
    for root in outcome.sent.roots():
        if root.proto.name == "POST /checkout":
            everyone = {"storefront", "orders", "inventory", "payments"}
            assert services[root.trace_id] == everyone
        if root.service == "fulfilment":
            assert services[root.trace_id] == {"fulfilment", "inventory", "orders"}


def test_every_order_is_logged_in_its_checkout_and_in_its_shipment(outcome: Outcome) -> None:
    traces = defaultdict(set)
    for log in outcome.sent.logs:
        if "order_id" in log.attributes:
            traces[log.attributes["order_id"]].add(log.trace_id)
    names = {root.trace_id: root.proto.name for root in outcome.sent.roots()}
    for order_id in outcome.report["orders"]:
        # The worker logs outside of any trace: the empty id.
        told = Counter(names.get(trace_id, "no trace") for trace_id in traces[order_id])
        assert told["POST /checkout"] == told["POST"] == told["no trace"] == 1


def test_failed_charges_leave_exceptions_on_spans_and_in_logs(outcome: Outcome) -> None:
    failed = [s for s in outcome.sent.spans_named("POST /charges") if s.proto.status.code == ERROR]
    assert len(failed) == outcome.report["errors"]["POST /checkout"]
    assert all(span.proto.events[0].name == "exception" for span in failed)
    logged = Counter(log.attributes.get("exception.type") for log in outcome.sent.logs)
    assert logged["GatewayError"] == len(failed)
    # orders and storefront each saw a call fail.
    assert logged["HTTPStatusError"] == 2 * len(failed)


def test_one_query_for_each_product_is_visible_as_such(outcome: Outcome) -> None:
    listings = {span.trace_id for span in outcome.sent.spans_named("GET /products")}
    queries = Counter(s.trace_id for s in outcome.sent.spans if "db.query.text" in s.attributes)
    counts = Counter(queries[trace_id] for trace_id in listings)
    assert set(counts) == {2, 13}


def test_the_agent_has_nothing_to_complain_about(outcome: Outcome) -> None:
    assert "clew:" not in outcome.output
    assert "Failed to" not in outcome.output


def test_faults_can_be_switched_while_the_shop_runs(tmp_path: Path) -> None:
    port = free_port()
    argv, env, _ = fleet.commands(
        tmp_path, {**dict.fromkeys(fleet.WEB_SERVICES, 9), "payments": port}
    )["payments"]
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


def test_checkout_is_one_occurrence_from_the_storefront_to_the_workers_shipment(
    outcome: Outcome, store: Store, tmp_path: Path
) -> None:
    loader = Loader(Ingest(store), tmp_path)
    for signal, request in outcome.sent.requests:
        loader.request(signal, request)
    definitions = read_file(fleet.TRANSACTIONS)
    traces = sorted(outcome.services_by_trace())
    began, ended = "2000-01-01 00:00:00", "2200-01-01 00:00:00"
    Occurrences(store, lambda: definitions).settle(traces, began, ended, 1)
    with store.client() as client:
        rows = client.query(
            "SELECT Key, TraceIds, Services, IsError, User, Value, Step.Number, SpanCount "
            "FROM otel.clew_occurrences FINAL WHERE Transaction = 'checkout'"
        ).result_rows
    found = {row[0]: row[1:] for row in rows}
    report = outcome.report
    assert len(found) == report["operations"]["POST /checkout"]
    assert sum(row[2] for row in found.values()) == report["errors"]["POST /checkout"]
    of = Counter(span.trace_id for span in outcome.sent.spans)
    everybody = ["fulfilment", "inventory", "orders", "payments", "storefront"]
    for key, (its, services, is_error, user, value, steps, spans) in found.items():
        assert user.startswith("user-")
        assert value > 0
        assert spans == sum(of[trace] for trace in its)
        shipped = key in report["orders"]
        assert len(its) == (2 if shipped else 1)
        assert services == (everybody if shipped else [s for s in everybody if s != "fulfilment"])
        assert steps == ([0, 1, 2, 3] if shipped else [0, 1, 2])
        assert not (shipped and is_error)
    assert set(report["orders"]) <= found.keys()
