"""Customers for the shop: a steady, bounded load that knows exactly what it did.

A fixed number of visitors browse and buy, taking turns so that together they make `rate` requests
a second; when the shop is slow they wait, and what was missed is not made up for. A request that
was begun is always finished, so that the report and the shop's traces count the same.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from clew.shop import service
from clew.shop.faults import TENANT
from clew.shop.payments import DECLINED_ENDING

_VISITORS = 8
_SKUS = [f"sku-{number:02}" for number in range(1, 13)]
_BUYERS_SHARE = 0.4
_DECLINED_SHARE = 0.05
_TENANTS = ("acme", TENANT, "initech", "umbrella")


class Report:
    """What was done, by operation: an operation is a method and a route, as in `GET /products`."""

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.declined = 0
        self.unanswered: Counter[str] = Counter()
        self.orders: list[str] = []
        self._began = time.monotonic()

    def as_json(self) -> dict[str, Any]:
        """`operations` counts answers, `errors` those of them with a status of 500 and above.

        `orders` are the ids of successful checkouts, `declined` counts checkouts that were refused
        with 402, and `unanswered` counts requests that got no answer at all (nothing is known of
        their traces).
        """
        return {
            "operations": dict(sorted(self.operations.items())),
            "errors": dict(sorted(self.errors.items())),
            "declined": self.declined,
            "unanswered": dict(sorted(self.unanswered.items())),
            "orders": self.orders,
            "seconds": round(time.monotonic() - self._began, 3),
        }


class Stopped(Exception):
    """The load is over: no further request is begun."""


class Pace:
    """Hands out turns, `rate` of them a second, until it is stopped."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._next = 0.0
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def turn(self) -> None:
        """Wait for the next turn. Raises Stopped."""
        now = time.monotonic()
        self._next = max(self._next + self._interval, now)
        try:
            await asyncio.wait_for(self._stop.wait(), self._next - now)
        except TimeoutError:
            return
        raise Stopped


class Visitor:
    """One customer after another, each with a choice of their own."""

    def __init__(
        self, client: httpx.AsyncClient, pace: Pace, report: Report, choice: random.Random
    ) -> None:
        self._client = client
        self._pace = pace
        self._report = report
        self._choice = choice

    async def visit_until_stopped(self) -> None:
        try:
            while True:
                buys = self._choice.random() < _BUYERS_SHARE
                await (self._buy() if buys else self._browse())
        except Stopped:
            return

    async def _browse(self) -> None:
        await self._do("GET /", "/")
        await self._do("GET /products", "/products")
        for sku in self._choice.sample(_SKUS, self._choice.randint(1, 3)):
            await self._do("GET /products/{sku}", f"/products/{sku}")

    async def _buy(self) -> None:
        skus = self._choice.sample(_SKUS, self._choice.randint(1, 3))
        await self._do("GET /products/{sku}", f"/products/{skus[0]}")
        items = [{"sku": sku, "quantity": self._choice.randint(1, 3)} for sku in skus]
        number = self._choice.randint(1, 200)
        user, tenant = f"user-{number}", _TENANTS[number % len(_TENANTS)]
        cart = await self._do("POST /cart", "/cart", {"user": user, "items": items})
        if cart is None:
            return
        checkout = {"cart_id": cart["cart_id"], "card": self._card()}
        order = await self._do("POST /checkout", "/checkout", checkout, tenant)
        if order is None:
            return
        self._report.orders.append(order["order_id"])
        await self._do("GET /orders/{order_id}", f"/orders/{order['order_id']}")

    def _card(self) -> str:
        declined = self._choice.random() < _DECLINED_SHARE
        return f"4000-0000-0000-{DECLINED_ENDING if declined else '4242'}"

    async def _do(self, operation: str, path: str, body: Any = None, tenant: str = "") -> Any:
        """The answer's JSON, or None if it is not a success."""
        await self._pace.turn()
        try:
            headers = {service.TENANT_HEADER: tenant} if tenant else None
            response = await self._client.request(
                operation.split()[0], path, json=body, headers=headers
            )
        except httpx.HTTPError:
            self._report.unanswered[operation] += 1
            return None
        self._report.operations[operation] += 1
        self._report.errors[operation] += response.is_server_error
        self._report.declined += response.status_code == 402
        return response.json() if response.is_success else None


async def drive(url: str, *, rate: float, duration_s: float, seed: int | None) -> Report:
    """Load the storefront at `url` for `duration_s` seconds (0: without end), or until SIGTERM."""
    pace, report = Pace(rate), Report()
    loop = asyncio.get_running_loop()
    _on_signals(loop, pace.stop)
    if duration_s:
        loop.call_later(duration_s, pace.stop)
    limits = service.FRESH_CONNECTIONS
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        choices = [_choice(seed, number) for number in range(_VISITORS)]
        visitors = [Visitor(client, pace, report, choice) for choice in choices]
        await asyncio.gather(*(visitor.visit_until_stopped() for visitor in visitors))
    return report


def run(url: str, *, rate: float, duration_s: float, seed: int | None, path: Path | None) -> None:
    """Drive the load, then write the report as JSON to `path`, or to stdout."""
    report = asyncio.run(drive(url, rate=rate, duration_s=duration_s, seed=seed))
    text = json.dumps(report.as_json(), indent=2)
    if path is None:
        print(text)
    else:
        path.write_text(text)


def _choice(seed: int | None, visitor: int) -> random.Random:
    return random.Random(None if seed is None else f"{seed}:{visitor}")


def _on_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
