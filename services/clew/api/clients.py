"""Limits the concurrent requests of a client; ends the statements of clients that disconnect."""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clew.api.access import is_open
from clew.api.problems import problem_response
from clew.storage import Reading

MAX_CONCURRENT_REQUESTS = 8  # of one client; a browser opens six connections
RETRY_AFTER = 1  # seconds


class PerClient:
    """Middleware: one client has at most MAX_CONCURRENT_REQUESTS at a time, so that it does not
    block others. When it disconnects before the response starts, its statements are ended.

    `by_key`: clients are told apart by the principal of their API key, otherwise by address."""

    def __init__(self, app: ASGIApp, by_key: bool) -> None:
        self._app = app
        self._by_key = by_key
        self._in_flight: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope):
            await self._app(scope, receive, send)
            return
        client = self._client(scope)
        if self._in_flight[client] >= MAX_CONCURRENT_REQUESTS:
            detail = (
                f"this client has {MAX_CONCURRENT_REQUESTS} requests in progress, the most that it "
                "may have: wait for one to end"
            )
            await problem_response(429, detail, retry_after=RETRY_AFTER)(scope, receive, send)
            return
        self._in_flight[client] += 1
        try:
            await _respond_while_connected(self._app, scope, receive, send)
        finally:
            self._in_flight[client] -= 1
            if not self._in_flight[client]:
                del self._in_flight[client]

    def _client(self, scope: Scope) -> str:
        if self._by_key:
            return str(scope["state"]["principal"].name)
        host, _ = scope["client"] or ("", 0)
        return str(host)


async def _respond_while_connected(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Run the application. When the client disconnects before the response starts, cancel the
    request's readings."""
    readings: list[Reading] = []
    scope.setdefault("state", {})["readings"] = readings
    if scope["method"] not in ("GET", "HEAD"):  # the application receives their bodies itself
        await app(scope, receive, send)
        return
    disconnected = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected.set()
        for reading in readings:
            await asyncio.to_thread(reading.cancel)

    async def receive_disconnect() -> Message:
        await disconnected.wait()
        return {"type": "http.disconnect"}

    async def stop_watching_and_send(message: Message) -> None:
        watcher.cancel()
        await send(message)

    watcher = asyncio.create_task(watch())
    try:
        await app(scope, receive_disconnect, stop_watching_and_send)
    finally:
        watcher.cancel()
