"""What each route reads, so that an answer waits a little for what was received before its request
(clew.storage.freshness)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from clew.access import READING
from clew.storage.freshness import Reads

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

HEADER = "x-clew-pending"


def reads(
    *signals: str, settled: bool = False, steps: tuple[str, ...] = (), unasked: bool = True
) -> Callable[[Endpoint], Endpoint]:
    """Declares what a route's answer is computed from; written between the router's decorator and
    the endpoint. Without signals: from nothing that is received. `settled`: from settled traces
    too, and from these steps over them. Without `unasked` it waits only for a request that has the
    parameter `wait`."""

    def declare(endpoint: Endpoint) -> Endpoint:
        declaration = Reads(frozenset(signals), settled, frozenset(steps)), unasked
        endpoint.reads = declaration  # type: ignore[attr-defined]
        return endpoint

    return declare


def declared_reads(endpoint: Callable[..., Any], methods: set[str]) -> tuple[Reads, bool]:
    """What a route reads, and whether it waits without being asked to. Raises TypeError for a route
    that reads and does not declare it."""
    declaration: tuple[Reads, bool] | None = getattr(endpoint, "reads", None)
    if declaration is not None:
        return declaration
    if methods <= READING:
        raise TypeError(f"{endpoint.__name__}: declare what it reads with @reads")
    return Reads(), False
