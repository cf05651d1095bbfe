"""The last hours of a shop whose payments are slow for one tenant since a deployment: for pictures."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from clew.analysis import Occurrences, Registry
from clew.analysis.events import Events, PostedEvent
from clew.analysis.traces.settling import Settling
from clew.analysis.transactions.definitions import read
from clew.storage import Ingest, Store
from clew.storage.statements import Statements
from support import problems
from support.loading import settle
from support.repeated import load_findings
from support.traffic import (
    CLIENT,
    ERROR,
    MILLISECOND,
    MINUTE,
    PRODUCER,
    SECOND,
    SERVER,
    Attributes,
    Loader,
    Log,
    Point,
    Process,
    Span,
    exception,
)

MINUTES = 100
DEPLOYED = 85  # minutes after the start
TENANTS = ("acme", "globex", "initech")
DEFINITIONS = b"""
transactions:
  - name: Checkout
    match: {service: storefront, operation: POST /checkout}
    key: order.id
    value: amount
    steps:
      - {name: reserve, match: {service: inventory}}
      - {name: pay, match: {service: payments}}
    slo: {latency_ms: 300, objective: 0.95}
"""
CARD = "card network timed out"


@dataclass
class Calls:
    """Makes the spans of one trace, one after the other."""

    trace: str
    numbers: Iterator[int]
    now: int
    spans: list[Span]

    def span(self, process: Process, name: str, kind: int, parent: str, ms: float) -> Span:
        """A span from now on; what comes next begins after it."""
        began = self.now
        self.now += int(ms * MILLISECOND)
        span_id = f"{next(self.numbers):016x}"
        self.spans.append(Span(self.trace, span_id, parent, process, name, kind, began, self.now))
        return self.spans[-1]

    def extend(self, span: Span, status: int = 0, **attributes: str | float) -> None:
        """Ends the span now, with these attributes; `__` in a key is a dot."""
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        ended = replace(span, end=self.now, status=status, attributes=named)
        self.spans[self.spans.index(span)] = ended


def load(store: Store, directory: Path) -> str:
    """Stores the telemetry; the id of a trace in which the payment was slow and failed."""
    start = (int(time.time()) // 60 - MINUTES) * MINUTE
    registry = Registry(store)
    registry.replace(read(DEFINITIONS))
    loader = Loader(Ingest(store), directory)
    choice = random.Random(7)
    numbers = count(1)
    spans: list[Span] = []
    logs: list[Log] = []
    slow = ""
    for second in range(0, MINUTES * 60 - 20, 3):
        at = start + second * SECOND + choice.randrange(SECOND)
        calls = Calls(f"{choice.getrandbits(128):032x}", numbers, at, spans)
        if second % 9:
            browse(calls, choice)
            continue
        late = second / 60 > DEPLOYED
        failed = checkout(calls, choice, late, logs)
        slow = calls.trace if failed else slow
    loader.spans(spans)
    loader.logs(logs)
    loader.points(points(start))
    settle(Settling(store))
    window = (start // SECOND, start // SECOND + MINUTES * 60)
    for _ in Occurrences(store, registry.definitions).backfill(*map(_at, window)):
        pass
    campaign = PostedEvent(type="campaign", name="Autumn sale")
    Events(Statements(store)).put([(campaign, start + (MINUTES - 45) * MINUTE, 0)], "marketing")
    load_findings(store, slow)
    problems.load(store, slow)
    return slow


def process(service: str, late: bool) -> Process:
    version = "1.0.1" if late and service == "payments" else "1.0.0"
    return Process(service, f"{service}-{version}", version=version)


def browse(calls: Calls, choice: random.Random) -> None:
    shop, stock = process("storefront", False), process("inventory", False)
    root = calls.span(shop, choice.choice(("GET /products", "GET /cart")), SERVER, "", 2)
    call = calls.span(shop, "GET", CLIENT, root.id, 0.4)
    served = calls.span(stock, "GET /stock", SERVER, call.id, 0.6)
    query(calls, stock, served, "SELECT stock", choice.lognormvariate(1.3, 0.6))
    for span in (served, call, root):
        calls.extend(span, http__response__status_code=200)


def query(calls: Calls, caller: Process, parent: Span, name: str, ms: float) -> None:
    span = calls.span(caller, name, CLIENT, parent.id, ms)
    calls.extend(span, db__system__name="postgresql", db__query__summary=name)


def checkout(calls: Calls, choice: random.Random, late: bool, logs: list[Log]) -> bool:
    """Whether it failed."""
    shop, stock, bank = (
        process(service, late) for service in ("storefront", "inventory", "payments")
    )
    tenant = choice.choice(TENANTS)
    is_slow = late and tenant == "acme"
    root = calls.span(shop, "POST /checkout", SERVER, "", 3)
    query(calls, shop, root, "SELECT cart", choice.lognormvariate(1.2, 0.4))
    reserve = calls.span(shop, "POST", CLIENT, root.id, 0.5)
    served = calls.span(stock, "POST /reserve", SERVER, reserve.id, 1)
    for _ in range(choice.randrange(5, 9)):
        query(calls, stock, served, "SELECT stock", choice.lognormvariate(0.8, 0.5))
    for span in (served, reserve):
        calls.extend(span, http__response__status_code=200)
    pay = calls.span(shop, "POST", CLIENT, root.id, 0.5)
    charge = calls.span(bank, "POST /charges", SERVER, pay.id, 2)
    query(calls, bank, charge, "INSERT charges", choice.lognormvariate(1.0, 0.4))
    network = calls.span(bank, "POST cards.example", CLIENT, charge.id, 20)
    took = choice.uniform(280, 900) if is_slow else choice.lognormvariate(3.2, 0.4)
    calls.now += int(took * MILLISECOND)
    failed = (is_slow and took > 760) or choice.random() < 0.004
    status = ERROR if failed else 0
    calls.extend(network, status, server__address="cards.example")
    if failed:
        noted = (charge.process, "ERROR", CARD, exception("CardNetworkTimeout", CARD))
        logs.append(Log(calls.now, *noted, calls.trace, charge.id))
    elif is_slow:
        retried = (charge.process, "WARN", "retrying the charge", {"attempt": 2})
        logs.append(Log(charge.start + 90 * MILLISECOND, *retried, calls.trace, charge.id))
    calls.extend(charge, status, http__response__status_code=504 if failed else 200)
    calls.extend(pay, status, http__response__status_code=504 if failed else 200)
    calls.extend(calls.span(shop, "publish orders", PRODUCER, root.id, 1.5))
    amount = round(choice.uniform(8, 240), 2)
    code = 502 if failed else 200
    order = f"{choice.randrange(10**5, 10**6)}"
    calls.extend(
        root,
        status,
        tenant=tenant,
        amount=amount,
        order__id=order,
        http__response__status_code=code,
    )
    logs.append(Log(calls.now, shop, "INFO", f"order {order}: {code}", {}, calls.trace, root.id))
    return failed


def points(start: int) -> Iterator[Point]:
    """CPU and memory of each process and container, and a pool of connections, each minute."""
    choice = random.Random(9)
    for minute in range(MINUTES):
        late = minute >= DEPLOYED
        for service in ("storefront", "inventory", "payments"):
            at, busy = start + minute * MINUTE, 0.3 if late and service == "payments" else 0.12
            values: Attributes = {
                "process.cpu.utilization": busy + choice.random() * 0.05,
                "process.memory.usage": 9e7 + 3e5 * minute + choice.random() * 4e6,
                "k8s.container.cpu.limit.utilization": 1.6 * busy + choice.random() * 0.05,
                "k8s.container.memory_limit_utilization": 0.3 + minute / 800,
            }
            for name, value in values.items():
                unit = "By" if "memory" in name else "1"
                yield Point(name, unit, "gauge", process(service, late), at, value)
            used = choice.randrange(8, 11) if busy > 0.2 else choice.randrange(1, 4)
            for name, value, more in (("count", used, {"state": "used"}), ("max", 10, {})):
                named: Attributes = {"db.client.connection.pool.name": "charges", **more}
                metric = f"db.client.connection.{name}"
                yield Point(metric, "", "gauge", process(service, late), at, value, named)


def _at(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
