"""What the traces of the data set look like: each shape a tree of spans, placed in time.

A shape is written as the calls that make it up; where it lies in time follows from what each call
takes by itself. `SHAPES` are the shop's, `OPERATIONS` say how often each occurs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

INTERNAL, SERVER = Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_SERVER
CLIENT, PRODUCER, CONSUMER = (
    Span.SPAN_KIND_CLIENT,
    Span.SPAN_KIND_PRODUCER,
    Span.SPAN_KIND_CONSUMER,
)
LEAST = 0.6  # of its slot that a leaf takes; its parent's time is fixed, so that a child ends in it

# Texts of fixed width that are replaced in each trace.
USER, SKU, TENANT, ORDER = "user-UUUUU", "sku-SSSSSS", "tenant-TT", "o-OOOOOOOOOO"
TOTAL = 987654.321987  # a number whose eight bytes are replaced

SERVICES = (
    "storefront",
    "catalog",
    "recommendations",
    "search",
    "cart",
    "inventory",
    "accounts",
    "orders",
    "payments",
    "fulfilment",
    "notifications",
)
DEPLOYED = ("storefront", "catalog", "orders", "payments")  # a new version in the middle of the day
STACK = """Traceback (most recent call last):
  File "/usr/lib/python3.12/site-packages/fastapi/routing.py", line 332, in app
    response = await run_endpoint_function(dependant=dependant, values=values)
  File "/app/shop/{service}/routes.py", line 118, in answer
    result = await answer_once(request, deadline=deadline)
  File "/app/shop/{service}/client.py", line 64, in answer_once
    raise {type}(message)
{type}: {message}
"""


@dataclass(frozen=True)
class Call:
    """One span and those below it. `own` are milliseconds of its own, before, between and after
    its calls; without a service it belongs to its caller's."""

    name: str
    kind: Span.SpanKind.ValueType
    own: float
    attributes: dict[str, Any]
    calls: tuple[Call, ...] = ()
    service: str = ""
    parallel: bool = False
    failure: tuple[str, str] | None = None  # the exception's type and message
    is_error: bool = False
    peer: tuple[str, str] | None = None  # the node of the service map that it calls, and its type


@dataclass(frozen=True)
class Placed:
    """A span of a shape: `at` and `takes` in milliseconds, `parent` its place in the shape."""

    call: Call
    service: str
    parent: int
    at: float
    takes: float


@dataclass(frozen=True)
class Shape:
    name: str  # the transaction: of the root's service and operation
    spans: tuple[Placed, ...]
    is_error: bool
    edges: tuple[tuple[str, str, str], ...] = field(default=())


def served(
    service: str,
    name: str,
    *calls: Call,
    own: float = 4.0,
    status: int = 200,
    parallel: bool = False,
    failure: tuple[str, str] | None = None,
    **attributes: Any,
) -> Call:
    """A request as the service sees it."""
    method, _, route = name.partition(" ")
    http = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
        "url.path": route.replace("{sku}", SKU).replace("{id}", ORDER).replace("{user}", USER),
        "url.scheme": "http",
        "server.address": service,
        "server.port": 8080,
        "network.protocol.version": "1.1",
        "tenant.id": TENANT,
    }
    more = {key.replace("_", "."): value for key, value in attributes.items()}
    return Call(
        name, SERVER, own, http | more, calls, service, parallel, failure, is_error=status >= 500
    )


def call(to: Call, own: float = 1.2) -> Call:
    """A request to another service as the caller sees it."""
    seen = to.attributes
    http = {
        "http.request.method": seen["http.request.method"],
        "url.full": f"http://{to.service}:8080{seen['url.path']}",
        "http.response.status_code": seen["http.response.status_code"],
        "server.address": to.service,
        "server.port": 8080,
    }
    status = seen["http.response.status_code"]
    return Call(seen["http.request.method"], CLIENT, own, http, (to,), is_error=status >= 400)


def query(system: str, summary: str, takes: float, fails: str = "") -> Call:
    """A statement that a database runs."""
    operation, _, table = summary.partition(" ")
    attributes = {
        "db.system.name": system,
        "db.namespace": "shop",
        "db.query.summary": summary,
        "db.operation.name": operation,
        "db.collection.name": table,
        "server.address": f"{system}.internal",
    }
    return Call(
        summary,
        CLIENT,
        takes,
        attributes,
        failure=("OperationalError", fails) if fails else None,
        is_error=bool(fails),
        peer=(system, "database"),
    )


def ask(host: str, name: str, takes: float, status: int = 200) -> Call:
    """A request to a host that is not ours."""
    method, _, path = name.partition(" ")
    attributes = {
        "http.request.method": method,
        "url.full": f"https://{host}{path}",
        "http.response.status_code": status,
        "server.address": host,
        "server.port": 443,
    }
    error = status >= 400
    return Call(method, CLIENT, takes, attributes, is_error=error, peer=(host, "external"))


def _message(queue: str, operation: str, kind: str) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.kafka.offset": 1,
    }


def publish(queue: str, takes: float = 2.0, **attributes: Any) -> Call:
    more = {key.replace("_", "."): value for key, value in attributes.items()}
    message = _message(queue, "publish", "send") | more
    return Call(f"{queue} publish", PRODUCER, takes, message, peer=(queue, "queue"))


def consume(service: str, queue: str, *calls: Call, **attributes: Any) -> Call:
    more = {key.replace("_", "."): value for key, value in attributes.items()}
    message = _message(queue, "process", "process") | more
    return Call(f"{queue} process", CONSUMER, 5.0, message, calls, service)


def job(service: str, name: str, *calls: Call) -> Call:
    return Call(name, INTERNAL, 20.0, {"job.name": name, "tenant.id": TENANT}, calls, service)


def shape(root: Call) -> Shape:
    spans: list[Placed] = []
    _place(root, root.service, -1, 0.0, spans)
    return Shape(
        f"{root.service}: {root.name}",
        tuple(spans),
        root.is_error or root.failure is not None,
        tuple(_edges(spans)),
    )


def _place(what: Call, service: str, parent: int, at: float, spans: list[Placed]) -> float:
    """Append it and what is below it; returns when it ends."""
    here = len(spans)
    spans.append(Placed(what, service, parent, at, 0.0))
    pause = what.own / (len(what.calls) + 1) if what.calls else what.own
    now = at + pause
    if what.parallel:
        now = max(_place(each, each.service or service, here, now, spans) for each in what.calls)
        end = now + pause
    else:
        for each in what.calls:
            now = _place(each, each.service or service, here, now, spans) + pause
        end = now
    spans[here] = replace(spans[here], takes=end - at)
    return end


def _edges(spans: list[Placed]) -> Iterator[tuple[str, str, str]]:
    """(source, target, type) of each call out of a service; a queue is the source of what it
    feeds."""
    for span in spans:
        if span.call.peer is not None:
            yield span.service, *span.call.peer
        if span.parent >= 0 and spans[span.parent].service != span.service:
            yield spans[span.parent].service, span.service, "service"
        if span.call.kind == CONSUMER:
            yield span.call.attributes["messaging.destination.name"], span.service, "consumed"


def _storefront(name: str, *calls: Call, **more: Any) -> Call:
    agent = {
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Firefox/149.0",
        "user.id": USER,
    }
    root = served("storefront", name, *calls, **more)
    return replace(root, attributes=root.attributes | agent)


def _home(fails: str = "") -> Call:
    status = 503 if fails else 200
    products = query("postgresql", "SELECT products", 9, fails)
    return _storefront(
        "GET /",
        call(served("recommendations", "GET /popular", query("redis", "MGET popular", 2))),
        call(served("catalog", "GET /products", products, status=status)),
        parallel=True,
        own=8,
        status=status,
    )


def _product(fails: str = "") -> Call:
    status = 500 if fails else 200
    return _storefront(
        "GET /products/{sku}",
        call(
            served(
                "catalog",
                "GET /products/{sku}",
                query("redis", "GET product", 1),
                query("postgresql", "SELECT products", 12, fails),
                status=status,
            )
        ),
        call(
            served("inventory", "GET /stock/{sku}", query("mysql", "SELECT stock", 6)),
        ),
        own=10,
        status=status,
    )


def _search() -> Call:
    hits = served("search", "POST /search", query("opensearch", "search products", 45), own=9)
    names = served("catalog", "POST /products/names", query("postgresql", "SELECT products", 14))
    return _storefront("GET /search", call(hits), call(names), own=12)


def _cart(redis: float = 2.0) -> Call:
    stock = served("inventory", "GET /stock/{sku}", query("mysql", "SELECT stock", 6))
    lines = query("redis", "HSET cart", redis)
    return _storefront(
        "POST /cart",
        call(served("cart", "POST /items", call(stock), lines), own=2),
        own=6,
    )


def _login(status: int = 200) -> Call:
    user = query("postgresql", "SELECT users", 4)
    return _storefront(
        "POST /login", call(served("accounts", "POST /sessions", user, status=status, own=60))
    )


def _orders(fails: str = "") -> Call:
    """One SELECT for the orders, then one for the items of each."""
    status = 500 if fails else 200
    items = [query("postgresql", "SELECT order_items", 3) for _ in range(12)]
    if fails:
        items = [*items[:3], query("postgresql", "SELECT order_items", 30, fails)]
    listed = served(
        "orders",
        "GET /orders",
        query("postgresql", "SELECT orders", 5),
        *items,
        status=status,
        failure=("OrderNotReadable", "order o-1 has no items") if fails else None,
    )
    return _storefront("GET /orders", call(listed), status=status)


def _checkout(declined: bool = False) -> Call:
    status = 502 if declined else 201
    pays = served(
        "payments",
        "POST /payments",
        ask("api.cardbank.example", "POST /v2/charges", 120, 402 if declined else 200),
        query("postgresql", "INSERT payments", 4),
        status=502 if declined else 201,
        failure=("CardDeclined", "the bank declined the card ending in 4242") if declined else None,
        order_id=ORDER,
    )
    places = served(
        "orders",
        "POST /orders",
        query("postgresql", "INSERT orders", 6),
        call(pays),
        *(() if declined else (publish("orders", order_id=ORDER),)),
        status=status,
        own=9,
        order_id=ORDER,
    )
    return _storefront(
        "POST /checkout",
        call(served("cart", "GET /items", query("redis", "HGETALL cart", 2))),
        call(places),
        own=14,
        status=status,
        failure=("CheckoutFailed", "payment of order 17 was declined") if declined else None,
        order_id=ORDER,
        order_total=TOTAL,
    )


def _webhook() -> Call:
    paid = served("orders", "PUT /orders/{id}/paid", query("postgresql", "UPDATE orders", 5))
    return served(
        "payments",
        "POST /webhooks/cardbank",
        query("postgresql", "UPDATE payments", 4),
        call(paid),
        order_id=ORDER,
    )


def _fulfil() -> Call:
    stock = served("inventory", "PUT /stock/{sku}", query("mysql", "UPDATE stock", 9))
    return consume(
        "fulfilment",
        "orders",
        call(stock),
        ask("api.parcel.example", "POST /labels", 210),
        publish("shipments"),
        order_id=ORDER,
    )


def _notify() -> Call:
    """The order's id stands in its log record alone."""
    return consume("notifications", "shipments", ask("mail.example", "POST /send", 80))


def _reconcile() -> Call:
    return job("inventory", "reconcile stock", *(query("mysql", "SELECT stock", 25),) * 4)


LOCKED = "canceling statement due to lock timeout"
SHAPES: dict[str, Shape] = {
    name: shape(root)
    for name, root in {
        "home": _home(),
        "home failed": _home(LOCKED),
        "product": _product(),
        "product failed": _product(LOCKED),
        "search": _search(),
        "cart": _cart(),
        "cart slow": _cart(480.0),
        "login": _login(),
        "login refused": _login(401),
        "orders": _orders(),
        "orders failed": _orders(LOCKED),
        "reconcile": _reconcile(),
        "checkout": _checkout(),
        "checkout declined": _checkout(declined=True),
        "webhook": _webhook(),
        "fulfil": _fulfil(),
        "notify": _notify(),
    }.items()
}
# How often each begins, and how often it goes the other way.
OPERATIONS: dict[str, tuple[float, str, float]] = {
    "home": (0.15, "home failed", 0.003),
    "product": (0.33, "product failed", 0.002),
    "search": (0.16, "search", 0.0),
    "cart": (0.13, "cart", 0.0),
    "login": (0.07, "login refused", 0.04),
    "orders": (0.07, "orders failed", 0.004),
    "reconcile": (0.01, "reconcile", 0.0),
    "checkout": (0.08, "checkout declined", 0.05),
}
WORSE = 5  # times as often "orders" fails once its new version is out
