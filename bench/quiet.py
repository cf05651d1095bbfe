"""What `clew up` takes while little happens: shares of one core, memory, and the first start.

    python bench/quiet.py [--seconds 180] [--pause 300] [--only start unread read idle demo]

Three processes, a service of a shop each, export spans and log records once a second and metrics
every ten: 150 spans a second in all, half as many log records. The definition of the shop's
Checkout is in force.

    start   the CPU time of `clew up` until it is ready, on an empty directory and once more; its
            modules are compiled before
    unread  so many seconds of that traffic, with nobody who reads
    read    the same, with GET /api/v1/transactions every two seconds
    idle    the last minute of a pause of so many seconds after the traffic has ended
    demo    the process of `clew up` in `clew demo`, which reads that list every two seconds too
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import bodies
import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from process import Measured, Up

from clew.shop import fleet

PHASES = ("start", "unread", "read", "idle", "demo")
WARM_UP = 20.0  # seconds of traffic, or of the demo, that are not counted
IDLE = 60.0  # seconds at the end of the pause
READ_EVERY = 2.0  # seconds
METRICS_EVERY = 10  # seconds
POINTS = 48  # of a service, each time

INTERNAL, SERVER, CLIENT = 1, 2, 3
# A trace: each span with its service, name, kind, its parent's place, and its start and end in ms.
CHECKOUT = (
    ("storefront", "POST /checkout", SERVER, None, 0, 48),
    ("storefront", "POST", CLIENT, 0, 2, 20),
    ("orders", "POST /orders", SERVER, 1, 3, 19),
    ("orders", "SELECT carts", CLIENT, 2, 4, 7),
    ("orders", "INSERT orders", CLIENT, 2, 8, 18),
    ("storefront", "POST", CLIENT, 0, 21, 47),
    ("payments", "POST /charges", SERVER, 5, 22, 46),
    ("payments", "authorize", INTERNAL, 6, 23, 40),
    ("payments", "INSERT charges", CLIENT, 6, 41, 45),
)
BROWSE = (
    ("storefront", "GET /products/{sku}", SERVER, None, 0, 21),
    ("storefront", "GET", CLIENT, 0, 1, 10),
    ("orders", "GET /orders/recent", SERVER, 1, 2, 9),
    ("orders", "SELECT orders", CLIENT, 2, 3, 6),
    ("orders", "SELECT items", CLIENT, 2, 6, 8),
    ("storefront", "GET", CLIENT, 0, 11, 20),
    ("payments", "GET /methods", SERVER, 5, 12, 19),
    ("payments", "allowed", INTERNAL, 6, 13, 15),
    ("payments", "SELECT methods", CLIENT, 6, 15, 18),
)
SERVICES = ("storefront", "orders", "payments")
TRACES = (17, 17, 16)  # that begin in a second, over and over: 150 spans a second on average
CHECKOUTS = 0.2  # of the traces


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--pause", type=float, default=300.0)
    parser.add_argument("--only", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--exporting", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.exporting:
        service, number, endpoint = arguments.exporting
        export(service, int(number), endpoint)
        return
    print(f"{'':28} {'CPU':>12} {'anonymous':>12} {'resident':>12}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        compile_modules(Path(directory) / "bytecode")
        if "start" in arguments.only:
            start(Path(directory) / "start")
        if {"unread", "read", "idle"} & set(arguments.only):
            quiet(Path(directory) / "quiet", arguments.seconds, arguments.pause, arguments.only)
        if "demo" in arguments.only:
            demo(Path(directory) / "demo", arguments.seconds)


def compile_modules(cache: Path) -> None:
    """Have the modules as bytecode, as pip leaves them: compiling is half of a start."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(cache)
    subprocess.run([sys.executable, "-c", "import clew.cli.platform"], check=True)


def start(data: Path) -> None:
    """Two lines: a start on an empty directory, and one on what it left."""
    for label in ("first start", "next start"):
        with Up(data) as up:
            wait_until_ready(up.endpoints["api"])
            show(label, up, f"{up.cpu():.2f} s")


def quiet(data: Path, seconds: float, pause: float, phases: Sequence[str]) -> None:
    """A line for each phase."""
    with Up(data, None, "--transactions", str(fleet.TRANSACTIONS)) as up:
        with exporting(up.endpoints["otlp_http"]):
            time.sleep(WARM_UP)
            if "unread" in phases:
                show("nobody reads", up, share(up, seconds))
            if "read" in phases:
                read(up, WARM_UP)
                before, began = up.cpu(), time.monotonic()
                answers = read(up, seconds)
                used = (up.cpu() - before) / (time.monotonic() - began)
                show(f"one reader, {answers} answers", up, f"{used:.2%}")
        if "idle" in phases:
            time.sleep(max(0.0, pause - IDLE))
            show(f"idle after {pause:.0f} s", up, share(up, min(pause, IDLE)))


def demo(data: Path, seconds: float) -> None:
    """A line: the platform's process of a demo."""
    free = "127.0.0.1:0"
    addresses = ("--otlp-http", free, "--otlp-grpc", free, "--api", free, "--clickhouse", "")
    command = [sys.executable, "-m", "clew.cli", "demo", "--data", str(data), *addresses]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while not (data / "endpoints.json").exists():
                time.sleep(0.1)
            platform = Child(process.pid, "clew.cli", "up")
            time.sleep(2 * WARM_UP)
            show("demo", platform, share(platform, seconds))
        finally:
            process.terminate()


class Child(Measured):
    """The child of a process whose arguments contain these."""

    def __init__(self, parent: int, *arguments: str) -> None:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for child in children:
            command = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            if all(each in command for each in arguments):
                self.pid = int(child)
                return
        raise RuntimeError(f"process {parent} has no child {' '.join(arguments)}")


def share(process: Measured, seconds: float) -> str:
    """Of one core, in these seconds."""
    before, began = process.cpu(), time.monotonic()
    time.sleep(seconds)
    return f"{(process.cpu() - before) / (time.monotonic() - began):.2%}"


def show(label: str, process: Measured, cpu: str) -> None:
    anonymous, resident = (process.memory(field) / 1e6 for field in ("RssAnon", "VmRSS"))
    print(f"{label:28} {cpu:>12} {anonymous:>9,.0f} MB {resident:>9,.0f} MB", flush=True)


def wait_until_ready(api: str) -> None:
    while not httpx.get(f"{api}/readyz").is_success:
        time.sleep(0.05)


def read(up: Up, seconds: float) -> int:
    """Ask for the list of transactions every two seconds; how many answers there were."""
    until, answers = time.monotonic() + seconds, 0
    with httpx.Client(base_url=up.endpoints["api"], timeout=60) as client:
        while (began := time.monotonic()) < until:
            client.get("/api/v1/transactions").raise_for_status()
            answers += 1
            time.sleep(max(0.0, min(began + READ_EVERY, until) - time.monotonic()))
    return answers


@contextlib.contextmanager
def exporting(endpoint: str) -> Iterator[None]:
    """The three services, each in a process of its own."""
    children = [
        subprocess.Popen([sys.executable, __file__, "--exporting", service, str(number), endpoint])
        for number, service in enumerate(SERVICES)
    ]
    try:
        yield
        for child in children:
            if child.poll() is not None:
                raise RuntimeError("a service ended: its exports were not all accepted")
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait()


def export(service: str, number: int, endpoint: str) -> None:
    """Export every second, each service in a part of the second of its own, until terminated."""
    address = urlsplit(endpoint)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    second = int(time.time()) + 1
    while True:
        time.sleep(max(0.0, second + (number + 0.5) / len(SERVICES) - time.time()))
        spans, records = telemetry(service, second - 1)
        exports = {"traces": spans, "logs": records}
        if second % METRICS_EVERY == 0:
            exports["metrics"] = bodies.metrics(POINTS, second, service)
        for signal, body in exports.items():
            headers = {"content-type": "application/x-protobuf"}
            connection.request("POST", f"/v1/{signal}", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                sys.exit(f"{endpoint}/v1/{signal} answered {answer.status}")
        second += 1


def telemetry(service: str, second: int) -> tuple[bytes, bytes]:
    """The service's spans of the traces that began in a second of the clock, and a log record for
    every other one of them. Each service draws the same traces."""
    chance = random.Random(second)
    spans, records = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    span_resource, log_resource = spans.resource_spans.add(), records.resource_logs.add()
    for each in (span_resource, log_resource):
        bodies.set_attributes(each.resource.attributes, bodies.RESOURCE | {"service.name": service})
    scope, log_scope = span_resource.scope_spans.add(), log_resource.scope_logs.add()
    scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.fastapi", "0.66b1"
    log_scope.scope.name = f"shop.{service}"
    for _ in range(TRACES[second % len(TRACES)]):
        trace, began = chance.randbytes(16), second * 10**9 + chance.randrange(9 * 10**8)
        is_checkout, order = chance.random() < CHECKOUTS, f"{chance.randrange(1 << 40):010x}"
        shape = CHECKOUT if is_checkout else BROWSE
        ids = [chance.randbytes(8) for _ in shape]
        pace = chance.lognormvariate(0, 0.3)
        for place, (owner, name, kind, parent, first, last) in enumerate(shape):
            attributes = bodies.span_attributes(chance, place, 10)
            if owner != service:
                continue
            if is_checkout and kind == SERVER:
                attributes |= {"business.transaction": "Checkout", "business.key": order}
            span = scope.spans.add(trace_id=trace, span_id=ids[place], name=name, kind=kind)
            span.parent_span_id = b"" if parent is None else ids[parent]
            span.start_time_unix_nano = began + int(first * pace * 1e6)
            span.end_time_unix_nano = began + int(last * pace * 1e6)
            bodies.set_attributes(span.attributes, attributes)
            if len(scope.spans) % 2 == 0:
                record = log_scope.log_records.add(
                    time_unix_nano=span.start_time_unix_nano + 10**5,
                    observed_time_unix_nano=span.start_time_unix_nano + 10**5,
                    severity_number=9,
                    severity_text="INFO",
                    trace_id=trace,
                    span_id=ids[place],
                )
                record.body.string_value = f"{name} of order {order} by {attributes['user.id']}"
                bodies.set_attributes(record.attributes, {"order.id": order})
    return spans.SerializeToString(), records.SerializeToString()


if __name__ == "__main__":
    main()
