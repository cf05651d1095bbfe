"""What each route reads, so that an answer waits a little for what was received before its request
(clew.storage.freshness)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clew.access import READING
from clew.storage.freshness import Pending, Reads

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


class PendingHeader:
    """Middleware: every response of a route that reads says in a header what is pending, a 404 and
    what is not of the API's own form too. The request's state has it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                pending: Pending | None = scope.get("state", {}).get("pending")
                if pending is not None and pending.items is not None:
                    MutableHeaders(scope=message)[HEADER] = str(pending.items)
            await send(message)

        await self._app(scope, receive, send_with_header)
