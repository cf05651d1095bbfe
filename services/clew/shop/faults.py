"""Faults that can be switched on in a running service, so that what goes wrong is known.

A service asks at the place where a fault would happen: `faults.delay("payment_latency")`. To add
a fault, name it in KNOWN and ask for it there; the environment variable, the admin route and
`clew demo --fault` know it from then on. docs/shop.md lists them.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "own", "link", "code", "missing", "process", "database", "external", "version", "value"
]


class Truth(NamedTuple):
    """What is wrong while a fault is on, as a diagnosis and a finding should say it.

    `kind`: what the cause is: the operation's own time, the network, what it does otherwise (calls,
    exceptions) or no longer, the process, a database, a third party, a version, a value of an
    attribute. `subject`: which version, value, host or instance. `rule`: that of findings."""

    service: str
    operation: str
    kind: Kind
    subject: str = ""
    rule: str = ""


class Known(NamedTuple):
    """What a fault does, what is wrong then, and how strong it is when nobody says."""

    text: str
    truth: Truth
    usual: Fault


class Fault(NamedTuple):
    """How often a fault strikes, from 0 to 1, and for how long, where it is one that lasts."""

    probability: float = 1.0
    ms: float = 0.0


TENANT = "globex"  # whose orders take longer
SECOND_INSTANCE = "inventory-2"
NEW_VERSION = "1.1.0"
BANK = "bank.example"

# Faults of what only a large shop has are so marked in docs/shop.md.
KNOWN: dict[str, Known] = {
    "payment_latency": Known(
        "payments takes `ms` longer over a charge",
        Truth("payments", "POST /charges", "own"),
        Fault(1, 400),
    ),
    "payment_errors": Known(
        "payments fails a charge with an exception",
        Truth("payments", "POST /charges", "code", "GatewayError"),
        Fault(0.3),
    ),
    "inventory_n_plus_one": Known(
        "inventory reads the stock of each product with a query of its own",
        Truth("inventory", "GET /products", "code", rule="n_plus_one_queries"),
        Fault(1),
    ),
    "storefront_loop_blocked": Known(
        "storefront's home page blocks the event loop for `ms`",
        Truth("storefront", "GET /", "own", rule="event_loop_blocked"),
        Fault(1, 200),
    ),
    "inventory_pool_of_one": Known(
        "inventory's pool has one connection, which a stocktaking takes half of the time, for `ms`",
        Truth("inventory", "GET /products/{sku}", "process", "pool", "pool_full"),
        Fault(1, 300),
    ),
    "inventory_lock_contention": Known(
        "a stocktaking locks inventory's tables half of the time, for `ms`",
        Truth("inventory", "POST /reservations", "database"),
        Fault(1, 200),
    ),
    "storefront_n_plus_one": Known(
        "storefront asks for each product of the list by itself",
        Truth("storefront", "GET /products", "code", rule="n_plus_one_requests"),
        Fault(1),
    ),
    "storefront_serial": Known(
        "storefront reads the shelves one after the other",
        Truth("storefront", "GET /products", "code", rule="serial_calls"),
        Fault(1),
    ),
    "bank_slow": Known(
        "the bank takes `ms` longer to answer",
        Truth("payments", "POST /charges", "external", BANK, "third_party"),
        Fault(1, 400),
    ),
    "bank_retry_storm": Known(
        "the bank refuses what it is asked, and payments asks again at once",
        Truth("payments", "POST /charges", "external", BANK, "retries"),
        Fault(0.7),
    ),
    "orders_memory_leak": Known(
        "orders keeps 1 MB of each order in memory, up to 500 MB",
        Truth("orders", "", "process", "memory", "memory_leak"),
        Fault(1),
    ),
    "payments_bad_version": Known(
        "orders asks a new version of payments, which takes 250 ms longer over a charge",
        Truth("payments", "POST /charges", "version", NEW_VERSION),
        Fault(1),
    ),
    "orders_bad_tenant": Known(
        f"orders takes `ms` longer over those of the tenant {TENANT}",
        Truth("orders", "POST /orders", "value", TENANT),
        Fault(1, 500),
    ),
    "inventory_bad_instance": Known(
        "one of two instances of inventory takes `ms` longer",
        Truth("inventory", "GET /products/{sku}", "own", SECOND_INSTANCE),
        Fault(1, 150),
    ),
    "inventory_queue_lag": Known(
        "inventory takes `ms` longer over a shipment: fulfilment's queue grows",
        Truth("inventory", "POST /shipments/{order_id}", "own", rule="queue_lag"),
        Fault(1, 2500),
    ),
    "storefront_swallowed_errors": Known(
        "inventory fails to read a shelf, and storefront leaves it out without a word",
        Truth("inventory", "GET /shelves/{shelf}", "code", "ScannerError", "swallowed_errors"),
        Fault(0.5),
    ),
    "storefront_cache_off": Known(
        "storefront remembers no prices",
        Truth("storefront", "POST /cart", "code", rule="cacheable"),
        Fault(1),
    ),
}


class FaultPlan(NamedTuple):
    """The faults that are on. The same seed makes the same decisions in the same order."""

    faults: Mapping[str, Fault]
    seed: int | None = None

    def as_json(self) -> dict[str, Any]:
        plan: dict[str, Any] = {name: fault._asdict() for name, fault in self.faults.items()}
        return plan if self.seed is None else {**plan, "seed": self.seed}


def parse(text: str) -> FaultPlan:
    """Read `payment_latency=0.2:400,payment_errors=0.05,seed=7` (probability:ms), or JSON.

    Raises ValueError that says what is wrong with it.
    """
    if text.lstrip().startswith("{"):
        return from_json(json.loads(text))
    plan: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        probability, _, ms = (value or "1").partition(":")
        plan[name] = (
            value if name == "seed" else {"probability": float(probability), "ms": float(ms or 0)}
        )
    return from_json(plan)


def from_json(plan: Mapping[str, Any]) -> FaultPlan:
    """Read `{"payment_latency": {"probability": 0.2, "ms": 400}, "seed": 7}`.

    Raises ValueError that says what is wrong with it.
    """
    faults = {name: _fault(name, value) for name, value in plan.items() if name != "seed"}
    seed = plan.get("seed")
    return FaultPlan(faults, None if seed is None else int(seed))


def _fault(name: str, value: Any) -> Fault:
    if name not in KNOWN:
        raise ValueError(f"unknown fault {name!r}; there are: {', '.join(sorted(KNOWN))}")
    try:
        fault = Fault(**{key: float(number) for key, number in value.items()})
    except (AttributeError, TypeError) as error:
        raise ValueError(f"fault {name!r} takes probability and ms, not {value!r}") from error
    if not 0 <= fault.probability <= 1 or fault.ms < 0:
        raise ValueError(f"fault {name!r}: probability is from 0 to 1 and ms is not negative")
    return fault


class Faults:
    """The switchboard of one service. Safe to use from several threads."""

    def __init__(self, plan: FaultPlan) -> None:
        self._lock = threading.Lock()
        self.switch(plan)

    @property
    def plan(self) -> FaultPlan:
        return self._plan

    def switch(self, plan: FaultPlan) -> None:
        """Replace all faults by those of `plan`, and begin its seed anew."""
        with self._lock:
            self._plan = plan
            self._dice = {
                name: random.Random(None if plan.seed is None else f"{plan.seed}:{name}")
                for name in plan.faults
            }

    def strikes(self, name: str) -> Fault | None:
        """The fault, if it is on and happens this time."""
        with self._lock:
            fault = self._plan.faults.get(name)
            if fault is None or self._dice[name].random() >= fault.probability:
                return None
            return fault

    def delay(self, name: str) -> None:
        """Sleep for as long as the fault lasts, if it strikes."""
        if fault := self.strikes(name):
            time.sleep(fault.ms / 1000)
