"""Unmodified services under automatic instrumentation, `clew up`, and a load that knows what it
did: what the agent sends, and what clew then says, is exactly that."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clew.analysis.transactions.definitions import read_file
from clew.analysis.transactions.occurrences import Occurrences
from clew.cli.run import environment
from clew.shop import fleet
from clew.shop.queue import Queue
from clew.storage import Ingest, Store
from support.capture import ERROR, Capture, capturing
from support.processes import Clew
from support.traffic import Loader

FAULTS = "payment_errors=0.2,payment_latency=1:1500,inventory_n_plus_one=0.3,seed=5"
RESOURCE = "service.version=3.1,deployment.environment.name=test"
CHECKOUT = "storefront: POST /checkout"


@dataclass(frozen=True)
class Shown:
    """What the load did, what the shop sent and printed, and a clew that was sent all of it."""

    clew: Clew
    report: dict[str, Any]
    sent: Capture
    output: str
    window: dict[str, str]

    def get(self, path: str, **parameters: Any) -> Any:
        response = self.clew.get(f"/api/v1/{path}", **self.window, **parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def transactions(self) -> dict[str, Any]:
        """The automatic ones by name."""
        rows = self.get("transactions", limit=1000)["transactions"]
        return {row["name"]: row for row in rows if row["source"] == "auto"}

    def joined(self, name: str) -> Any:
        return self.get(f"transactions/{self.transactions()[name]['id']}")

    def traces(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Every trace of the transaction, by as many pages as it takes."""
        asked = {"transaction": self.transactions()[name]["id"], "limit": 100, **parameters}
        found = []
        while True:
            answer = self.get("traces", **asked)
            found += answer["traces"]
            if answer["next_cursor"] is None:
                return found
            asked["cursor"] = answer["next_cursor"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    directory = tmp_path_factory.mktemp("e2e")
    shop = directory / "shop"
    began = time.time()
    clew = Clew(directory / "data", "--transactions", str(fleet.TRANSACTIONS))
    try:
        with capturing(clew.endpoints["otlp_http"]) as sent, _shop(shop, sent.url) as storefront:
            report = _load(storefront, directory / "load.json")
            _wait_until_shipped(Queue(shop / "queue.db"), clew)
        # The services have ended, and sent what they had on the way out.
        window = {"start": _rfc3339(began - 1), "end": _rfc3339(time.time() + 1)}
        output = "".join(log.read_text() for log in shop.glob("*.log"))
        shown = Shown(clew, report, sent, output, window)
        _wait_until_settled(shown)
        yield shown
    finally:
        clew.stop()


@contextlib.contextmanager
def _shop(directory: Path, endpoint: str) -> Iterator[int]:
    """The shop's processes, as `clew run` starts them; gives the storefront's port."""
    directory.mkdir()
    ports = dict(zip(fleet.WEB_SERVICES, _free_ports(len(fleet.WEB_SERVICES)), strict=True))
    with contextlib.ExitStack() as stack:
        for name, command in fleet.commands(directory, ports, faults=FAULTS).items():
            env = environment(command.argv, service_name=name, endpoint=endpoint)
            env |= command.env | {"OTEL_RESOURCE_ATTRIBUTES": RESOURCE}
            # Points of metrics that carry exemplars are to come while the load lasts.
            env |= {"SHOP_FULFILMENT_DELAY": "0.2", "OTEL_METRIC_EXPORT_INTERVAL": "2000"}
            env |= {"XDG_CACHE_HOME": str(directory / f"{name}-cache")}
            stack.enter_context(_running(command.argv, env, directory / f"{name}.log"))
        for name, port in ports.items():
            _wait_for_port(port, directory / f"{name}.log")
        for name in ports:
            _wait_for_rules(directory / f"{name}-cache", directory / f"{name}.log")
        yield ports["storefront"]


@contextlib.contextmanager
def _running(argv: list[str], env: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _wait_for_port(port: int, log: Path) -> None:
    """By bare connections: a request would be a trace."""
    give_up = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.05)


def _wait_for_rules(cache: Path, log: Path) -> None:
    """A service keeps the rules of business context once they are in force."""
    give_up = time.monotonic() + 60
    while not list(cache.glob("clew/rules-*.json")):
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.05)


def _load(storefront: int, path: Path) -> dict[str, Any]:
    load = fleet.load_command(storefront, rate=25, duration_s=8, seed=11, report=path)
    subprocess.run(load.argv, env=dict(os.environ), check=True, timeout=120)
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def _wait_until_shipped(queue: Queue, clew: Clew) -> None:
    give_up = time.monotonic() + 60
    while queue.waiting():
        assert time.monotonic() < give_up, clew.log.read_text()
        time.sleep(0.05)


def _wait_until_settled(shown: Shown) -> None:
    """Until nothing waits in the spool, the counts stay as they are and every span is settled."""
    give_up = time.monotonic() + 60
    before: object = None
    while True:
        services = shown.get("services", wait=10)["services"]
        now = [[row["count"] for row in service["operations"]] for service in services]
        spooled = [path for path in (shown.clew.data / "spool").rglob("*") if path.is_file()]
        if (now and now == before and not spooled) and all(
            _is_settled(shown, name) for name in (CHECKOUT, "fulfilment: POST")
        ):
            return
        assert time.monotonic() < give_up, shown.clew.log.read_text()
        before = now
        time.sleep(0.3)


def _is_settled(shown: Shown, name: str) -> bool:
    """A trace that is settled before its last span came is settled again, a moment later."""
    settled = sum(row["calls"] for row in shown.joined(name)["breakdown"])
    return bool(settled == sum(trace["span_count"] for trace in shown.traces(name)))


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def test_the_load_did_something_of_everything(shown: Shown) -> None:
    report = shown.report
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


def test_every_request_and_every_shipment_is_counted_once(shown: Shown) -> None:
    expected = {f"storefront: {name}": n for name, n in shown.report["operations"].items()}
    expected["fulfilment: POST"] = len(shown.report["orders"])
    assert {name: row["count"] for name, row in shown.transactions().items()} == expected


def test_the_errors_are_those_that_the_load_got(shown: Shown) -> None:
    transactions = shown.transactions()
    for name, errors in shown.report["errors"].items():
        assert transactions[f"storefront: {name}"]["errors"] == errors
    assert transactions["fulfilment: POST"]["errors"] == 0


def test_instances_and_traces_are_as_many_as_were_counted(shown: Shown) -> None:
    row = shown.transactions()[CHECKOUT]
    instances = shown.get(f"transactions/{row['id']}/instances", limit=1000)["instances"]
    assert len(instances) == row["count"]
    status = Counter(instance["status"] for instance in instances)
    assert status["error"] == shown.report["errors"]["POST /checkout"]
    traces = {trace["trace_id"] for trace in shown.traces(CHECKOUT)}
    assert traces == {instance["key"] for instance in instances}


def test_every_trace_is_complete_and_in_the_services_it_went_through(shown: Shown) -> None:
    checkout = {"inventory", "orders", "payments", "storefront"}
    for name, services in (
        (CHECKOUT, checkout),
        ("fulfilment: POST", {"fulfilment", "inventory", "orders"}),
    ):
        assert set(shown.transactions()[name]["services"]) == services
        traces = shown.traces(name)
        for trace in traces:
            assert set(trace["services"]) == services
        for trace in traces[:5]:
            whole = shown.clew.get(f"/api/v1/traces/{trace['trace_id']}").json()
            assert whole["complete"]
            assert len(whole["spans"]) == whole["span_count"] == trace["span_count"]


def test_the_spans_of_a_checkout_are_the_calls_it_makes(shown: Shown) -> None:
    # One in which nothing failed: on a slow machine orders may give up on a charge that succeeds.
    ok = {
        trace["trace_id"]
        for trace in shown.traces(CHECKOUT, service="payments", status="ok")
        if not trace["error_count"]
    }
    failed = {
        trace["trace_id"] for trace in shown.traces(CHECKOUT, service="payments", status="error")
    }
    assert ok and failed  # noqa: PT018
    trace = shown.clew.get(f"/api/v1/traces/{min(ok - failed)}").json()
    spans = {span["span_id"]: span for span in trace["spans"]}
    served = {
        (span["service"], span["name"]): span for span in trace["spans"] if span["kind"] == "Server"
    }
    assert set(served) == {
        ("storefront", "POST /checkout"),
        ("orders", "POST /orders"),
        ("inventory", "POST /reservations"),
        ("payments", "POST /charges"),
    }
    for (_, name), span in served.items():
        assert span["resource"]["service.version"] == "3.1"
        if name == "POST /checkout":
            assert span["parent_span_id"] == ""
        else:
            assert spans[span["parent_span_id"]]["kind"] == "Client"
    assert any("db.query.text" in span["attributes"] for span in trace["spans"])
    assert served["payments", "POST /charges"]["critical"]
    assert {log["body"] for log in trace["logs"] if log["linked_by"] == "trace"} >= {
        "order received", "stock reserved", "card charged", "order confirmed", "checkout complete",
    }  # fmt: skip


def test_the_joined_view_has_the_logs_by_trace_and_by_resource(shown: Shown) -> None:
    logs = shown.joined(CHECKOUT)["logs"]
    assert {log["linked_by"] for log in logs} == {"trace", "resource"}
    by_trace = [log for log in logs if log["linked_by"] == "trace"]
    traces = {trace["trace_id"] for trace in shown.traces(CHECKOUT)}
    assert {log["trace_id"] for log in by_trace} <= traces
    assert {"order_id", "user"} & {key for log in by_trace for key in log["attributes"]}


def test_every_order_is_logged_in_the_checkout_that_made_it(shown: Shown) -> None:
    traces = {trace["trace_id"] for trace in shown.traces(CHECKOUT)}
    logs = shown.get("logs", service="orders", query="order confirmed", limit=1000)["logs"]
    assert sorted(log["attributes"]["order_id"] for log in logs) == sorted(shown.report["orders"])
    assert {log["trace_id"] for log in logs} <= traces


def test_the_exceptions_of_payments_are_counted(shown: Shown) -> None:
    (raised,) = (
        row for row in shown.joined(CHECKOUT)["exceptions"] if row["service"] == "payments"
    )
    assert raised["type"].endswith("GatewayError")
    assert raised["message"] == "no authorisation for order #: bank timed out"
    assert raised["count"] == shown.report["errors"]["POST /checkout"]
    traces = {trace["trace_id"] for trace in shown.traces(CHECKOUT, status="error")}
    assert raised["example_trace_id"] in traces


def test_the_metrics_are_linked_by_exemplar_and_by_resource(shown: Shown) -> None:
    metrics = shown.joined(CHECKOUT)["metrics"]
    by_exemplar = {metric["name"] for metric in metrics if metric["linked_by"] == "exemplar"}
    assert any(name.startswith("http.server.request.duration") for name in by_exemplar)
    by_resource = {metric["name"] for metric in metrics if metric["linked_by"] == "resource"}
    assert any(name.startswith("process.") for name in by_resource)
    assert all(metric["points"] for metric in metrics)


def test_the_breakdown_names_the_service_that_is_slow(shown: Shown) -> None:
    top = shown.joined(CHECKOUT)["breakdown"][0]
    assert (top["service"], top["operation"]) == ("payments", "POST /charges")
    assert top["critical_share"] > 0.5


def test_deployments_are_the_versions_that_ran(shown: Shown) -> None:
    deployments = shown.joined(CHECKOUT)["deployments"]
    assert {(row["service"], row["version"]) for row in deployments} == {
        (service, "3.1") for service in ("storefront", "orders", "inventory", "payments")
    }


def test_no_span_was_lost_or_stored_twice(shown: Shown) -> None:
    """What traces count, what services count and what the shop's code calls is one and the same."""
    per_trace = sum(
        trace["span_count"] for name in shown.transactions() for trace in shown.traces(name)
    )
    services = shown.get("services")["services"]
    by_operation = {
        (service["service"], row["operation"], row["kind"]): row["count"]
        for service in services
        for row in service["operations"]
    }
    assert sum(by_operation.values()) == per_trace
    orders, operations = len(shown.report["orders"]), shown.report["operations"]
    checkouts = operations["POST /checkout"]
    assert by_operation["orders", "POST /orders", "Server"] == checkouts
    assert by_operation["inventory", "POST /reservations", "Server"] == checkouts
    assert by_operation["payments", "POST /charges", "Server"] == checkouts
    assert (
        by_operation["inventory", "DELETE /reservations/{order_id}", "Server"] == checkouts - orders
    )
    assert by_operation["inventory", "POST /shipments/{order_id}", "Server"] == orders
    assert by_operation["orders", "POST /orders/{order_id}/shipped", "Server"] == orders
    assert by_operation["inventory", "GET /products", "Server"] == operations["GET /products"]


# What the agent sent for it


def services_by_trace(shown: Shown) -> dict[str, set[str]]:
    services = defaultdict(set)
    for span in shown.sent.spans:
        services[span.trace_id].add(span.service)
    return services


def test_each_request_and_each_shipment_is_one_trace_and_nothing_else_is(shown: Shown) -> None:
    roots = Counter(f"{span.service}: {span.proto.name}" for span in shown.sent.roots())
    expected = {f"storefront: {name}": n for name, n in shown.report["operations"].items()}
    expected["fulfilment: POST"] = len(shown.report["orders"])
    assert roots == expected
    assert len(services_by_trace(shown)) == sum(expected.values())


def test_the_failures_are_the_ones_that_the_load_saw(shown: Shown) -> None:
    failed = Counter(
        span.proto.name for span in shown.sent.roots() if span.proto.status.code == ERROR
    )
    assert failed == {name: n for name, n in shown.report["errors"].items() if n}
    declined = [
        span
        for span in shown.sent.roots()
        if span.attributes.get("http.response.status_code") == 402
    ]
    assert len(declined) == shown.report["declined"]


def test_a_checkout_goes_through_four_services_and_a_shipment_through_three(shown: Shown) -> None:
    services = services_by_trace(shown)
    for root in shown.sent.roots():
        if root.proto.name == "POST /checkout":
            everyone = {"storefront", "orders", "inventory", "payments"}
            assert services[root.trace_id] == everyone
        if root.service == "fulfilment":
            assert services[root.trace_id] == {"fulfilment", "inventory", "orders"}


def test_every_order_is_logged_in_its_checkout_and_in_its_shipment(shown: Shown) -> None:
    traces = defaultdict(set)
    for log in shown.sent.logs:
        if "order_id" in log.attributes:
            traces[log.attributes["order_id"]].add(log.trace_id)
    names = {root.trace_id: root.proto.name for root in shown.sent.roots()}
    for order_id in shown.report["orders"]:
        # The worker logs outside of any trace: the empty id.
        told = Counter(names.get(trace_id, "no trace") for trace_id in traces[order_id])
        assert told["POST /checkout"] == told["POST"] == told["no trace"] == 1


def test_failed_charges_leave_exceptions_on_spans_and_in_logs(shown: Shown) -> None:
    failed = [s for s in shown.sent.spans_named("POST /charges") if s.proto.status.code == ERROR]
    assert len(failed) == shown.report["errors"]["POST /checkout"]
    assert all(span.proto.events[0].name == "exception" for span in failed)
    logged = Counter(log.attributes.get("exception.type") for log in shown.sent.logs)
    assert logged["clew.shop.payments.GatewayError"] == len(failed)
    # orders and storefront each saw a call fail.
    assert logged["httpx.HTTPStatusError"] == 2 * len(failed)


def test_one_query_for_each_product_is_visible_as_such(shown: Shown) -> None:
    listings = {span.trace_id for span in shown.sent.spans_named("GET /products")}
    queries = Counter(s.trace_id for s in shown.sent.spans if "db.query.text" in s.attributes)
    counts = Counter(queries[trace_id] for trace_id in listings)
    assert set(counts) == {2, 13}


def test_the_agent_has_nothing_to_complain_about(shown: Shown) -> None:
    own = [line for line in shown.output.splitlines() if line.startswith("clew:")]
    assert [line for line in own if not line.startswith("clew: service ")] == []
    assert "Failed to" not in shown.output


def test_business_context_comes_from_requests_alone(shown: Shown) -> None:
    (checkout,) = read_file(fleet.TRANSACTIONS)
    names = {source.attr for source in (*checkout.key_attributes, *checkout.value_attributes)}
    assert names == {"business.key", "business.value"}
    transactions = shown.get("transactions", limit=1000)["transactions"]
    (defined,) = (row for row in transactions if row["source"] == "defined")
    assert (defined["id"], defined["count"]) == (
        checkout.id,
        shown.report["operations"]["POST /checkout"],
    )
    assert defined["value"]["sum"] > defined["value"]["lost"] > 0
    order = shown.report["orders"][0]
    instance = shown.get(f"transactions/{checkout.id}/instances/{order}")["instance"]
    assert (instance["key"], len(instance["trace_ids"])) == (order, 2)
    for name in ("POST /checkout", "POST /orders", "POST /reservations", "POST /charges"):
        marks = {span.attributes["business.transaction"] for span in shown.sent.spans_named(name)}
        assert marks == {"Checkout"}


def test_checkout_is_one_occurrence_from_the_storefront_to_the_workers_shipment(
    shown: Shown, store: Store, tmp_path: Path
) -> None:
    loader = Loader(Ingest(store), tmp_path)
    for signal in ("traces", "logs", "metrics"):
        loader.request(signal, shown.sent.whole(signal))
    definitions = read_file(fleet.TRANSACTIONS)
    traces = sorted(services_by_trace(shown))
    began, ended = "2000-01-01 00:00:00", "2200-01-01 00:00:00"
    Occurrences(store, lambda: definitions).settle(traces, began, ended, 1)
    with store.client() as client:
        rows = client.query(
            "SELECT Key, TraceIds, Services, IsError, User, Value, Step.Number, SpanCount "
            "FROM otel.clew_occurrences FINAL WHERE Transaction = 'checkout'"
        ).result_rows
    found = {row[0]: row[1:] for row in rows}
    report = shown.report
    assert len(found) == report["operations"]["POST /checkout"]
    assert sum(row[2] for row in found.values()) == report["errors"]["POST /checkout"]
    of = Counter(span.trace_id for span in shown.sent.spans)
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
