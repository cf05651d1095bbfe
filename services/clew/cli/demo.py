"""`clew demo`: the platform, a small shop under automatic instrumentation, and a load on it.

With a fault, the shop is a large one without other faults; this one begins after a while.
"""

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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import httpx

from clew.cli.opening import make_data
from clew.cli.run import environment
from clew.cli.settings import Settings, UsageError, variables
from clew.shop import fleet
from clew.shop.faults import KNOWN

# Its shop has no API key, and trusts no certificate but a public one.
REFUSED = ("api_keys", "tls_cert", "tls_key")
# A mild mix: some charges are slow, some fail, some product lists are read row by row.
FAULTS = "payment_latency=0.1:400,payment_errors=0.05,inventory_n_plus_one=0.1,seed=7"
RESOURCE = "service.version={version},deployment.environment.name=demo"
FAULT_AFTER = 180.0  # seconds
START_TIMEOUT = 180.0  # seconds: a first start compiles, and other work may keep the machine busy
STOP_TIMEOUT = 15.0
REFRESH = 2.0
TABLE_EVERY = 60.0  # seconds between two tables where the output is no terminal
WINDOW = 300.0  # seconds that the table looks back at most

Start = Callable[[str, list[str], Mapping[str, str]], subprocess.Popen[bytes]]


@dataclass
class Shop:
    """The shop's processes, whose output is in `logs` beside `data`. With a `fault` it is a large
    shop, and `fault_at` is when the fault begins, on the monotonic clock; `news` says so once it
    has begun."""

    start: Start
    data: Path
    otlp: str
    fault: str
    news: str = ""

    def __post_init__(self) -> None:
        names = (*fleet.LARGE, *fleet.WEB_SERVICES) if self.fault else fleet.WEB_SERVICES
        self.ports = dict(zip(names, _free_ports(len(names)), strict=True))
        faults = "" if self.fault else FAULTS
        self._commands = fleet.commands(self.data, self.ports, faults=faults)
        self.fault_at = float("inf")

    def open(self) -> None:
        """Start all of it. Raises UsageError."""
        for name in self._commands:
            _say(f"starting {name}")
            self._start(name)
        for name, port in self.ports.items():
            _wait_for_port(name, port, self.data.parent / "logs" / f"{name}.log")
        if self.fault:
            self.fault_at = time.monotonic() + FAULT_AFTER

    def tick(self) -> None:
        """Begin the fault when its time has come."""
        if time.monotonic() < self.fault_at:
            return
        self.fault_at = float("inf")
        known = KNOWN[self.fault]
        for port in self.ports.values():
            plan = {self.fault: known.usual._asdict()}
            httpx.put(f"http://127.0.0.1:{port}/admin/faults", json=plan, timeout=10)
        self.news = f"since {time.strftime('%H:%M:%S')} {self.fault}: {known.text}"

    def _start(self, name: str) -> None:
        command = self._commands[name]
        env: dict[str, str] = dict(os.environ)
        if command.service:
            env = environment(command.argv, service_name=command.service, endpoint=self.otlp)
            env["OTEL_RESOURCE_ATTRIBUTES"] = RESOURCE.format(version=command.version)
            env["XDG_CACHE_HOME"] = str(self.data / "cache")
        self.start(name, command.argv, env | command.env)


def run(settings: Settings, *, rate: float, seconds: float | None, fault: str = "") -> None:
    """Run until Ctrl-C or SIGTERM, or for `seconds`. Children's output goes to <data>/logs.
    `fault`: one of KNOWN, which begins after FAULT_AFTER."""
    for name in REFUSED:
        if getattr(settings, name):
            raise UsageError(
                f"demo: its shop has no API key and trusts no certificate of yours: leave out "
                f"--{name.replace('_', '-')}"
            )
    make_data(settings.data)
    logs = settings.data / "logs"
    logs.mkdir(exist_ok=True)
    place = settings.data / "shop"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    stopped = _on_signals()
    with _children(logs) as start:
        _say("starting clew")
        platform = start(
            "clew", [sys.executable, "-m", "clew.cli", "up"], platform_environment(settings, fault)
        )
        endpoints = _wait_for_endpoints(settings.data, platform, logs / "clew.log")
        shop = Shop(start, place, endpoints["otlp_http"], fault)
        shop.open()
        _say(f"sending {rate:g} requests per second")
        load = fleet.load_command(
            shop.ports["storefront"],
            rate=rate,
            duration_s=seconds or 0,
            seed=1,
            report=logs / "load.json",
        )
        start("load", load.argv, os.environ)
        _watch(endpoints, shop, settings.data, seconds, stopped)
        _say("stopping")


def _on_signals() -> list[int]:
    """A list that the signals which end the demo are added to."""
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    return received


@contextlib.contextmanager
def _children(logs: Path) -> Iterator[Start]:
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


def platform_environment(settings: Settings, fault: str = "") -> dict[str, str]:
    """That of `clew up`: every setting as it was given to the demo, where none are the shop's
    transactions and, with a fault, its rules of alerts."""
    files = {"transactions": str(fleet.TRANSACTIONS), "alerts": str(fleet.ALERTS) if fault else ""}
    chosen = {name: settings.texts[name] or file for name, file in files.items()}
    return {**os.environ, **variables(settings, **chosen)}


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
    if platform.poll() is None:
        raise UsageError(
            f"clew was not ready after {START_TIMEOUT:g} seconds: start the demo again when the "
            f"machine is less busy; its log is {log}"
        )
    raise UsageError(f"clew did not start; {log} says why")


def _wait_for_port(name: str, port: int, log: Path) -> None:
    """By a bare connection: a request would be a trace."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise UsageError(f"{name} did not listen after {START_TIMEOUT:g} seconds; {log} may say why")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listening in sockets:
            listening.bind(("127.0.0.1", 0))
        return [listening.getsockname()[1] for listening in sockets]


def _watch(
    endpoints: dict[str, str],
    shop: Shop,
    data: Path,
    seconds: float | None,
    stopped: list[int],
) -> None:
    began = time.time()
    screen = Screen(_addresses(endpoints, shop, data), sys.stdout)
    with httpx.Client(base_url=endpoints["api"], timeout=10) as api:
        while not stopped and (seconds is None or time.time() - began < seconds):
            since = max(began, time.time() - WINDOW)
            with contextlib.suppress(httpx.HTTPError):
                answer = api.get("/api/v1/transactions", params={"start": _rfc3339(since)})
                if answer.is_success:
                    news = shop.fault and (shop.news or "begins after three minutes")
                    screen.show(news, answer.json()["transactions"])
            with contextlib.suppress(httpx.HTTPError):
                shop.tick()
            deadline = time.monotonic() + REFRESH
            while not stopped and time.monotonic() < deadline:
                time.sleep(0.1)


def _addresses(endpoints: dict[str, str], shop: Shop, data: Path) -> list[str]:
    api = endpoints["api"]
    lines = [
        f"web UI     {api}",
        f"API        {api}   try {api}/api/v1/transactions",
        f"OTLP       {endpoints['otlp_http']} (HTTP)   {endpoints['otlp_grpc']} (gRPC)",
    ]
    if endpoints["clickhouse"]:
        lines.append(f"ClickHouse {endpoints['clickhouse']}   read only: SQL, Grafana, BI tools")
    lines.append(
        f"the shop   http://127.0.0.1:{shop.ports['storefront']}   logs in {data / 'logs'}"
    )
    return lines


class Screen:
    """Prints the addresses, the fault and the table of transactions.

    A terminal is drawn anew each time. Elsewhere, as in a log, the addresses stand once, the fault
    when it changes, and the table when a transaction is new and every TABLE_EVERY seconds."""

    def __init__(self, addresses: list[str], output: TextIO) -> None:
        self._addresses = addresses
        self._output = output
        self._news = ""
        self._names: set[str] = set()
        self._table_at = 0.0

    def show(self, news: str, transactions: list[dict[str, Any]]) -> None:
        """`news`: what is to be said about the fault, '' without one."""
        if self._output.isatty():
            lines = ["\x1b[H\x1b[2J" + self._addresses[0], *self._addresses[1:]]
            lines += [f"fault      {news}"] if news else []
            self._print([*lines, "", *_table(transactions), "", "Ctrl-C stops it all"])
        else:
            self._print(self._changes(news, transactions))

    def _changes(self, news: str, transactions: list[dict[str, Any]]) -> list[str]:
        lines, self._addresses = self._addresses, []
        if news != self._news:
            self._news = news
            lines = [*lines, f"fault      {news}"]
        names = {transaction["name"] for transaction in transactions}
        now = time.monotonic()
        if names - self._names or (names and now - self._table_at >= TABLE_EVERY):
            self._names |= names
            self._table_at = now
            lines = [*lines, "", *_table(transactions)]
        return lines

    def _print(self, lines: list[str]) -> None:
        if lines:
            print(*lines, sep="\n", file=self._output, flush=True)


def _table(transactions: list[dict[str, Any]]) -> list[str]:
    heading = f"{'business transaction':<44}{'per second':>12}{'errors':>10}{'p95 ms':>10}"
    return [
        heading,
        *(
            f"{transaction['name'][:43]:<44}{transaction['per_second']:>12.2f}"
            f"{transaction['error_rate']:>10.1%}{transaction['duration_ms']['p95']:>10.1f}"
            for transaction in transactions
        ),
    ]


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _say(text: str) -> None:
    print(f"clew demo: {text} …", flush=True)
