"""The spans, log records and metrics that the large shop sends under clew's agent.

`Shop.minute` makes the telemetry of one minute after the other. Services, operations, calls and
instances are those of the running shop (tests/e2e/test_shop_model.py compares them, fault by
fault); durations are drawn. The same seed makes the same telemetry, and the same requests come with
a fault and without.
"""

from __future__ import annotations

import contextlib
import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from clew.shop.faults import BANK, KNOWN, NEW_VERSION, SECOND_INSTANCE, TENANT

from .telemetry import (
    CLIENT,
    MILLISECOND,
    SECOND,
    SERVER,
    Gauge,
    Log,
    Process,
    Span,
)

TENANTS = ("acme", TENANT, "initech", "umbrella")
STOREFRONT, ORDERS, PAYMENTS, INVENTORY, SECOND_INVENTORY, FULFILMENT = (
    Process(service, instance)
    for service, instance in (
        ("storefront", "storefront-1"),
        ("orders", "orders-1"),
        ("payments", "payments-1"),
        ("inventory", "inventory-1"),
        ("inventory", SECOND_INSTANCE),
        ("fulfilment", "fulfilment-1"),
    )
)
NEW_PAYMENTS = Process("payments", "payments-2", NEW_VERSION)
PROCESSES = (STOREFRONT, ORDERS, PAYMENTS, INVENTORY, SECOND_INVENTORY, FULFILMENT)
SKUS = 12
REMEMBERED = 300 * SECOND  # nanoseconds that storefront remembers a price
DECLINED = 0.05  # of the charges
ATTEMPTS = 6  # of payments at the bank
FULFILMENT_DELAY = SECOND
# How often each kind of request comes: as the load's visitors make them.
REQUESTS = {
    "home": 0.6,
    "products": 0.6,
    "product": 1.6,
    "cart": 0.4,
    "checkout": 0.4,
    "order_shown": 0.38,
}


@dataclass
class Minute:
    """The telemetry of a minute."""

    spans: list[Span] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    points: list[Gauge] = field(default_factory=list)


class Shop:
    """`rate`: requests a second. `plan`: which faults (of KNOWN) are on, each from one minute on
    and before another, of those since `start` (seconds since 1970); one at a time."""

    def __init__(
        self,
        seed: int,
        start: float,
        *,
        rate: float = 2.0,
        plan: Sequence[tuple[str, int, int]] = (),
    ) -> None:
        self._start = int(start) * SECOND
        self._rate = rate
        self._plan = plan
        self._arrivals = random.Random(f"{seed} arrivals")
        self._draw = random.Random(f"{seed} durations")
        self._ids = random.Random(f"{seed} ids")
        self._remembered: dict[int, int] = {}
        self._jobs: list[tuple[int, str, int]] = []
        self._worker_free = 0
        self._turn = 0
        self._leaked = 0
        self._number = 0

    def minute(self) -> Minute:
        """The next minute."""
        begin = self._start + self._number * 60 * SECOND
        self._fault = next(
            (name for name, since, until in self._plan if since <= self._number < until), ""
        )
        self._pace = self._draw.lognormvariate(0, 0.05)
        self._made = Minute()
        self._number += 1
        moments, at = [], float(begin)
        while (at := at + self._arrivals.expovariate(self._rate / SECOND)) < begin + 60 * SECOND:
            moments.append(int(at))
        names = self._arrivals.choices(list(REQUESTS), list(REQUESTS.values()), k=len(moments))
        for name, moment in zip(names, moments, strict=True):
            trace = Trace(self, moment)
            getattr(self, f"_{name}")(trace)
        self._ship(begin + 60 * SECOND)
        self._measure(begin)
        return self._made

    def on(self, fault: str) -> bool:
        """Whether a fault is on, and strikes this time."""
        return fault == self._fault and self._draw.random() < KNOWN[fault].usual.probability

    def ms(self, median: float, sigma: float = 0.3) -> float:
        """A duration; one of a hundred takes some times as long."""
        tail = self._draw.uniform(2, 5) if self._draw.random() < 0.01 else 1.0
        return self._draw.lognormvariate(0, sigma) * median * tail * self._pace

    def id(self, size: int) -> str:
        return self._ids.randbytes(size).hex()

    # What customers ask for.

    def _home(self, trace: Trace) -> None:
        with self._storefront(trace, "GET", "/", "/"):
            trace.wait(self.ms(0.4))
            if self.on("storefront_loop_blocked"):
                trace.wait(200)

    def _products(self, trace: Trace) -> None:
        with self._storefront(trace, "GET", "/products", "/products"):
            with self._call(trace, STOREFRONT, self._inventory(), "GET", "/products", "/products"):
                self._connect(trace)
                self._query(trace, "SELECT", "products")
                for _ in range(SKUS if self.on("inventory_n_plus_one") else 1):
                    self._query(trace, "SELECT", "stock")
                    trace.wait(self.ms(0.2))
                trace.wait(self.ms(3))
            shelves = [partial(self._shelf, trace, shelf) for shelf in range(3)]
            if self.on("storefront_serial"):
                for shelf in shelves:
                    shelf()
            else:
                trace.at_once(shelves)
            if self.on("storefront_n_plus_one"):
                for sku in range(SKUS):
                    self._ask_product(trace, sku)

    def _product(self, trace: Trace) -> None:
        sku = self._arrivals.randrange(SKUS)
        with self._storefront(trace, "GET", "/products/{sku}", f"/products/sku-{sku}"):
            self._ask_product(trace, sku)

    def _cart(self, trace: Trace) -> None:
        skus = self._arrivals.sample(range(SKUS), self._arrivals.randint(1, 3))
        with self._storefront(trace, "POST", "/cart", "/cart"):
            trace.wait(self.ms(1))
            for sku in skus:
                is_off = self.on("storefront_cache_off")
                if is_off or self._remembered.get(sku, 0) <= trace.now:
                    self._ask_product(trace, sku)
                    self._remembered[sku] = trace.now + REMEMBERED

    def _checkout(self, trace: Trace) -> None:
        tenant = TENANTS[self._arrivals.randrange(len(TENANTS))]
        items = self._arrivals.randint(1, 3)
        is_declined = self._arrivals.random() < DECLINED
        order = self.id(6)
        header = {"http.request.header.x_tenant": tenant}
        with self._storefront(trace, "POST", "/checkout", "/checkout", **header) as root:
            status = self._order(trace, order, tenant, items, is_declined)
            root.attributes["http.response.status_code"] = status
            root.is_error = status >= 500
            if status == 201:
                self._log(trace, root, "INFO", "checkout complete", order_id=order)

    def _order(self, trace: Trace, order: str, tenant: str, items: int, declined: bool) -> int:
        """Orders takes the order; the status that it answers with."""
        header = {"http.request.header.x_tenant": tenant}
        with self._call(trace, STOREFRONT, ORDERS, "POST", "/orders", "/orders", **header) as call:
            self._log(trace, call.server, "INFO", "order received", order_id=order)
            if tenant == TENANT and self.on("orders_bad_tenant"):
                trace.wait(500)
            if self.on("orders_memory_leak"):
                self._leaked += 1_000_000
            self._connect(trace)
            self._query(trace, "INSERT", "orders")
            self._query(trace, "INSERT", "order_lines")
            trace.wait(self.ms(8))
            self._reserve(trace, items)
            status = self._charge(trace, order, declined)
            if status != 201:
                self._release(trace)
            self._connect(trace)
            self._query(trace, "UPDATE", "orders")
            trace.wait(self.ms(8))
            if status == 201:
                self._query(trace, "INSERT", "jobs", "INSERT")
                heapq.heappush(self._jobs, (trace.now + FULFILMENT_DELAY, order, items))
                self._log(trace, call.server, "INFO", "order confirmed", order_id=order)
            if status == 500:
                status = 502
                error = {
                    "exception.type": "httpx.HTTPStatusError",
                    "exception.message": "500 Internal Server Error",
                    "code.function.name": "clew.shop.orders._ask",
                }
                self._log(trace, call.server, "ERROR", "/charges failed", **error)
            call.fail(status)
        return status

    def _order_shown(self, trace: Trace) -> None:
        with self._storefront(trace, "GET", "/orders/{order_id}", f"/orders/{self.id(6)}"):
            path = "/orders/{order_id}"
            with self._call(trace, STOREFRONT, ORDERS, "GET", path, path):
                self._connect(trace)
                self._query(trace, "SELECT", "orders")
                self._query(trace, "SELECT", "order_lines")
                trace.wait(self.ms(4))

    # What services ask of each other.

    def _ask_product(self, trace: Trace, sku: int) -> None:
        process, path = self._inventory(), "/products/{sku}"
        with self._call(trace, STOREFRONT, process, "GET", path, f"/products/sku-{sku}"):
            if process is SECOND_INVENTORY and self.on("inventory_bad_instance"):
                trace.wait(150)
            self._connect(trace)
            self._query(trace, "SELECT", "products")
            self._query(trace, "SELECT", "stock")
            trace.wait(self.ms(2.5))

    def _shelf(self, trace: Trace, shelf: int) -> None:
        path = "/shelves/{shelf}"
        process = self._inventory()
        with self._call(trace, STOREFRONT, process, "GET", path, f"/shelves/{shelf}") as call:
            if self.on("storefront_swallowed_errors"):
                trace.wait(self.ms(1))
                text = f"shelf {shelf} cannot be read"
                self._fail(trace, call, "ScannerError", "clew.shop.inventory", text)
            else:
                trace.wait(self._draw.uniform(20, 40))

    def _reserve(self, trace: Trace, items: int) -> None:
        path = "/reservations"
        with self._call(trace, ORDERS, self._inventory(), "POST", path, path):
            self._connect(trace)
            for item in range(items):
                self._query(trace, "UPDATE", "stock", locked=item == 0)
            self._query(trace, "INSERT", "reservations")
            trace.wait(self.ms(5))

    def _release(self, trace: Trace) -> None:
        path = "/reservations/{order_id}"
        with self._call(trace, ORDERS, self._inventory(), "DELETE", path, path):
            self._connect(trace)
            self._query(trace, "SELECT", "reservations")
            self._query(trace, "UPDATE", "stock", locked=True)
            self._query(trace, "DELETE", "reservations")
            trace.wait(self.ms(4))

    def _charge(self, trace: Trace, order: str, is_declined: bool) -> int:
        """Payments charges a card; the status that it answers with."""
        is_new = self.on("payments_bad_version")
        process = NEW_PAYMENTS if is_new else PAYMENTS
        with self._call(trace, ORDERS, process, "POST", "/charges", "/charges") as call:
            trace.wait(self.ms(2))
            if not self._authorise(trace, process):
                text = f"no authorisation for order {order}: bank refused"
                self._fail(trace, call, "GatewayError", "clew.shop.payments", text)
                return 500
            if self.on("payment_latency"):
                trace.wait(400)
            if is_new:
                trace.wait(250)
            if self.on("payment_errors"):
                text = f"no authorisation for order {order}: bank timed out"
                self._fail(trace, call, "GatewayError", "clew.shop.payments", text)
                return 500
            if is_declined:
                self._log(trace, call.server, "WARN", "card declined", order_id=order)
                call.fail(402)
                return 402
            self._log(trace, call.server, "INFO", "card charged", order_id=order)
        return 201

    def _authorise(self, trace: Trace, process: Process) -> bool:
        for _ in range(ATTEMPTS):
            is_refused = self.on("bank_retry_storm")
            with trace.span(process, "POST", CLIENT) as span:
                trace.wait(self._draw.uniform(3, 12))
                if self.on("bank_slow"):
                    trace.wait(400)
                span.attributes |= _client(
                    "POST", BANK, "/authorisations", 503 if is_refused else 201
                )
                span.is_error = is_refused
            if not is_refused:
                return True
        return False

    def _ship(self, end: int) -> None:
        """Fulfilment works on the jobs that are due before a time, one after the other."""
        while self._jobs and max(self._jobs[0][0], self._worker_free) < end:
            due, order, items = heapq.heappop(self._jobs)
            trace = Trace(self, max(due, self._worker_free))
            path = "/shipments/{order_id}"
            with self._call(
                trace, FULFILMENT, self._inventory(), "POST", path, f"/shipments/{order}"
            ) as call:
                if self.on("inventory_queue_lag"):
                    trace.wait(2500)
                self._connect(trace)
                self._query(trace, "SELECT", "reservations")
                for item in range(items):
                    self._query(trace, "UPDATE", "stock", locked=item == 0)
                self._query(trace, "DELETE", "reservations")
                trace.wait(self.ms(6))
                path = "/orders/{order_id}/shipped"
                with self._call(
                    trace, call.server.process, ORDERS, "POST", path, f"/orders/{order}/shipped"
                ):
                    self._connect(trace)
                    self._query(trace, "UPDATE", "orders")
                    trace.wait(self.ms(4))
                self._log(trace, call.server, "INFO", "parcel shipped", order_id=order)
            self._worker_free = trace.now

    def _measure(self, begin: int) -> None:
        for process in PROCESSES:
            leaked = self._leaked if process is ORDERS else 0
            memory = 9e7 + leaked + self._draw.uniform(-1e6, 1e6)
            busy = self._draw.uniform(0.02, 0.04)
            self._made.points += [
                Gauge(process, begin, "process.memory.usage", "By", memory),
                Gauge(process, begin, "process.cpu.utilization", "1", busy),
            ]

    # Parts of them.

    def _inventory(self) -> Process:
        """The instances take turns."""
        self._turn += 1
        return SECOND_INVENTORY if self._turn % 2 else INVENTORY

    @contextlib.contextmanager
    def _storefront(
        self, trace: Trace, method: str, route: str, path: str, **more: str
    ) -> Iterator[Span]:
        with trace.span(STOREFRONT, f"{method} {route}", SERVER) as span:
            span.attributes |= {**_server(method, route, path), **more}
            if route != "/" and self.on("storefront_loop_blocked") and self._draw.random() < 0.3:
                trace.wait(self._draw.uniform(0, 200))
            trace.wait(self.ms(0.5))
            yield span

    @contextlib.contextmanager
    def _call(
        self, trace: Trace, caller: Process, callee: Process, method: str, route: str, path: str,
        **more: str,
    ) -> Iterator[Call]:  # fmt: skip
        """A CLIENT span of the caller, and within it the SERVER span of the callee."""
        with trace.span(caller, method, CLIENT) as client:
            client.attributes |= _client(method, "127.0.0.1", path, 200)
            trace.wait(self.ms(0.8))
            with trace.span(callee, f"{method} {route}", SERVER) as server:
                server.attributes |= {**_server(method, route, path), **more}
                trace.wait(self.ms(0.5))
                yield Call(client, server)
            trace.wait(self.ms(0.4))

    def _connect(self, trace: Trace) -> None:
        process = trace.process
        with trace.span(process, "connect", CLIENT) as span:
            span.attributes |= {"db.system.name": "sqlite", "db.namespace": process.service}
            trace.wait(self.ms(0.2))
            is_taken = process.service == "inventory" and self.on("inventory_pool_of_one")
            if is_taken and self._draw.random() < 0.5:
                trace.wait(self._draw.uniform(0, KNOWN["inventory_pool_of_one"].usual.ms))

    def _query(
        self, trace: Trace, verb: str, table: str, name: str = "", locked: bool = False
    ) -> None:
        process = trace.process
        with trace.span(process, name or f"{verb} {process.service}", CLIENT) as span:
            span.attributes |= {
                "db.system.name": "sqlite",
                "db.namespace": process.service,
                "db.operation.name": span.name,
                "db.query.text": f"{verb} … {table} WHERE key = ?",
            }
            trace.wait(self.ms(0.12))
            if locked and self.on("inventory_lock_contention") and self._draw.random() < 0.6:
                trace.wait(self._draw.uniform(0, 2 * KNOWN["inventory_lock_contention"].usual.ms))

    def _fail(self, trace: Trace, call: Call, error: str, module: str, text: str) -> None:
        """The callee raises an exception."""
        attributes = {
            "exception.type": f"{module}.{error}",
            "exception.message": text,
            "code.function.name": f"{module}.app.<locals>",
        }
        self._log(trace, call.server, "ERROR", "Exception in ASGI application", **attributes)
        call.fail(500)

    def _log(self, trace: Trace, span: Span, severity: str, body: str, **more: str) -> None:
        log = Log(span.process, trace.now, severity, body, span.trace, span.id, more)
        self._made.logs.append(log)

    def add(self, span: Span) -> None:
        self._made.spans.append(span)


@dataclass(frozen=True)
class Call:
    """The two spans of a request between services."""

    client: Span
    server: Span

    def fail(self, status: int) -> None:
        """The request is answered with a status; a CLIENT span is an error from 400 on."""
        for span in (self.client, self.server):
            span.attributes["http.response.status_code"] = status
        self.client.is_error = status >= 400
        self.server.is_error = status >= 500


class Trace:
    """A trace that is made from its begin to its end. `now` is its clock."""

    def __init__(self, shop: Shop, now: int) -> None:
        self.now = now
        self._shop = shop
        self._id = shop.id(16)
        self._open: list[Span] = []

    @property
    def process(self) -> Process:
        """Whose span is open."""
        return self._open[-1].process

    def wait(self, ms: float) -> None:
        self.now += int(ms * MILLISECOND)

    def at_once(self, parts: Sequence[Callable[[], None]]) -> None:
        """Parts that begin at the same time; it goes on when the last has ended."""
        begin, ends = self.now, []
        for part in parts:
            self.now = begin
            part()
            ends.append(self.now)
        self.now = max(ends)

    @contextlib.contextmanager
    def span(self, process: Process, name: str, kind: int) -> Iterator[Span]:
        """A span that lasts as long as the context."""
        parent = self._open[-1].id if self._open else ""
        span = Span(self._id, self._shop.id(8), parent, process, name, kind, self.now, 0)
        self._open.append(span)
        yield span
        self._open.pop()
        span.end = self.now
        self._shop.add(span)


def _server(method: str, route: str, path: str) -> dict[str, str | int]:
    return {
        "http.request.method": method,
        "http.route": route,
        "url.path": path,
        "http.response.status_code": 201 if method == "POST" else 200,
    }


def _client(method: str, host: str, path: str, status: int) -> dict[str, str | int]:
    return {
        "http.request.method": method,
        "server.address": host,
        "url.full": f"http://{host}{path}",
        "http.response.status_code": status,
    }
