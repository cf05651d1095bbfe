"""`clew demo`: the platform, a small shop under automatic instrumentation, and a load on it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from clew.cli.opening import make_data
from clew.cli.run import environment
from clew.cli.settings import Settings, UsageError, variables
from clew.shop import fleet

# Its shop has no API key, and trusts no certificate but a public one.
REFUSED = ("api_keys", "tls_cert", "tls_key")
# A mild mix: some charges are slow, some fail, some product lists are read row by row.
FAULTS = "payment_latency=0.1:400,payment_errors=0.05,inventory_n_plus_one=0.1,seed=7"
RESOURCE = "service.version=1.0.0,deployment.environment.name=demo"
START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 15.0
REFRESH = 2.0
WINDOW = 300.0  # seconds that the table looks back at most


def run(settings: Settings, *, rate: float, seconds: float | None) -> None:
    """Run until Ctrl-C or SIGTERM, or for `seconds`. Children's output goes to <data>/logs."""
    for name in REFUSED:
        if getattr(settings, name):
            raise UsageError(
                f"demo: its shop has no API key and trusts no certificate of yours: leave out "
                f"--{name.replace('_', '-')}"
            )
    make_data(settings.data)
    logs = settings.data / "logs"
    logs.mkdir(exist_ok=True)
    shop = settings.data / "shop"
    shutil.rmtree(shop, ignore_errors=True)
    shop.mkdir()
    stopped = _on_signals()
    with _children(logs) as start:
        _say("starting clew")
        platform = start(
            "clew", [sys.executable, "-m", "clew.cli", "up"], platform_environment(settings)
        )
        endpoints = _wait_for_endpoints(settings.data, platform, logs / "clew.log")
        ports = dict(zip(fleet.WEB_SERVICES, _free_ports(len(fleet.WEB_SERVICES)), strict=True))
        for name, command in fleet.commands(shop, ports, faults=FAULTS).items():
            _say(f"starting {name}")
            under = environment(command.argv, service_name=name, endpoint=endpoints["otlp_http"])
            more = {"OTEL_RESOURCE_ATTRIBUTES": RESOURCE, "XDG_CACHE_HOME": str(shop / "cache")}
            start(name, command.argv, under | more | command.env)
        for name, port in ports.items():
            _wait_for_port(name, port)
        _say(f"sending {rate:g} requests per second")
        load = fleet.load_command(
            ports["storefront"],
            rate=rate,
            duration_s=seconds or 0,
            seed=1,
            report=logs / "load.json",
        )
        start("load", load.argv, os.environ)
        _watch(endpoints, ports["storefront"], settings.data, seconds, stopped)
        _say("stopping")


def _on_signals() -> list[int]:
    """A list that the signals which end the demo are added to."""
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    return received


@contextlib.contextmanager
def _children(logs: Path) -> Iterator[Any]:
    """Start processes with the function that this gives; they end with the block, the last first.

    Each has a session of its own: Ctrl-C reaches the demo alone, and it ends them in order."""
    children: list[subprocess.Popen[bytes]] = []

    def start(name: str, argv: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (logs / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        children.append(child)
        return child

    try:
        yield start
    finally:
        for child in reversed(children):
            child.terminate()
            try:
                child.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def platform_environment(settings: Settings) -> dict[str, str]:
    """That of `clew up`: every setting as it was given to the demo, and the shop's transactions
    where none are."""
    transactions = settings.texts["transactions"] or str(fleet.TRANSACTIONS)
    return {**os.environ, **variables(settings, transactions=transactions)}


def _wait_for_endpoints(data: Path, platform: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    """The addresses of `clew up` once it is ready. Raises UsageError with its own last line when it
    ends instead."""
    began = time.time()
    deadline = time.monotonic() + START_TIMEOUT
    file = data / "endpoints.json"
    while time.monotonic() < deadline and platform.poll() is None:
        with contextlib.suppress(OSError, ValueError, httpx.HTTPError):
            endpoints: dict[str, str] = json.loads(file.read_text())
            # An older file belongs to another clew on the same directory.
            is_new = file.stat().st_mtime > began
            if is_new and httpx.get(f"{endpoints['api']}/readyz", timeout=5).is_success:
                return endpoints
        time.sleep(0.1)
    last = log.read_text(errors="replace").rstrip().rpartition("\n")[2]
    if platform.poll() is not None and last.startswith("clew: "):
        raise UsageError(last.removeprefix("clew: "))
    raise UsageError(f"clew did not start; {log} says why")


def _wait_for_port(name: str, port: int) -> None:
    """By a bare connection: a request would be a trace."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise UsageError(f"{name} did not start; its log says why")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listening in sockets:
            listening.bind(("127.0.0.1", 0))
        return [listening.getsockname()[1] for listening in sockets]


def _watch(
    endpoints: dict[str, str],
    storefront: int,
    data: Path,
    seconds: float | None,
    stopped: list[int],
) -> None:
    began = time.time()
    with httpx.Client(base_url=endpoints["api"], timeout=10) as api:
        while not stopped and (seconds is None or time.time() - began < seconds):
            since = max(began, time.time() - WINDOW)
            with contextlib.suppress(httpx.HTTPError):
                answer = api.get("/api/v1/transactions", params={"start": _rfc3339(since)})
                if answer.is_success:
                    _show(endpoints, storefront, data, answer.json()["transactions"])
            deadline = time.monotonic() + REFRESH
            while not stopped and time.monotonic() < deadline:
                time.sleep(0.1)


def _show(
    endpoints: dict[str, str], storefront: int, data: Path, transactions: list[dict[str, Any]]
) -> None:
    if sys.stdout.isatty():
        print("\x1b[H\x1b[2J", end="")
    print(f"web UI     {endpoints['api']}")
    print(f"API        {endpoints['api']}   try {endpoints['api']}/api/v1/transactions")
    print(f"OTLP       {endpoints['otlp_http']} (HTTP)   {endpoints['otlp_grpc']} (gRPC)")
    if endpoints["clickhouse"]:
        print(f"ClickHouse {endpoints['clickhouse']}   read only: SQL, Grafana, BI tools")
    print(f"the shop   http://127.0.0.1:{storefront}   logs in {data / 'logs'}\n")
    print(f"{'business transaction':<44}{'per second':>12}{'errors':>10}{'p95 ms':>10}")
    for transaction in transactions:
        print(
            f"{transaction['name'][:43]:<44}{transaction['per_second']:>12.2f}"
            f"{transaction['error_rate']:>10.1%}{transaction['duration_ms']['p95']:>10.1f}"
        )
    print("\nCtrl-C stops it all" if sys.stdout.isatty() else "", flush=True)


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _say(text: str) -> None:
    print(f"clew demo: {text} …", flush=True)
