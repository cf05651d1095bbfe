"""Faults that can be switched on in a running service, so that what goes wrong is known.

A service asks at the place where a fault would happen: `faults.delay("payment_latency")`. To add
a fault, name it in KNOWN and ask for it there; the environment variable and the admin route know
it from then on.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

KNOWN: dict[str, str] = {
    "payment_latency": "payments takes `ms` longer over a charge",
    "payment_errors": "payments fails a charge with an exception",
    "inventory_n_plus_one": "inventory reads the stock of each product with a query of its own",
}


class Fault(NamedTuple):
    """How often a fault strikes, from 0 to 1, and for how long, where it is one that lasts."""

    probability: float = 1.0
    ms: float = 0.0


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
