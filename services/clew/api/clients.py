"""What one client may ask at a time, and what becomes of an answer that it no longer waits for."""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clew.api.access import OPEN
from clew.api.problems import document
from clew.storage import Reading

IN_FLIGHT = 8  # of one client; a browser has six
AGAIN = 1  # second


class PerClient:
    """At most so many requests of one client at a time, so that others go on; the statements of a
    client that has gone are ended.

    `by_key`: a client is the principal of its API key, else its address."""

    def __init__(self, app: ASGIApp, by_key: bool) -> None:
        self._app = app
        self._by_key = by_key
        self._in_flight: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        client = self._client(scope)
        if self._in_flight[client] >= IN_FLIGHT:
            detail = f"{IN_FLIGHT} requests of this client are being answered: wait for one of them"
            await document(429, detail, retry_after=AGAIN)(scope, receive, send)
            return
        self._in_flight[client] += 1
        try:
            await _while_it_waits(self._app, scope, receive, send)
        finally:
            self._in_flight[client] -= 1
            if not self._in_flight[client]:
                del self._in_flight[client]

    def _client(self, scope: Scope) -> str:
        if self._by_key:
            return str(scope["state"]["principal"].name)
        host, _ = scope["client"] or ("", 0)
        return str(host)


async def _while_it_waits(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer; when the client goes before the answer begins, its readings are cancelled."""
    readings: list[Reading] = []
    scope.setdefault("state", {})["readings"] = readings
    if scope["method"] not in ("GET", "HEAD"):  # their bodies are the application's to receive
        await app(scope, receive, send)
        return
    gone = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()
        for reading in readings:
            await asyncio.to_thread(reading.cancel)

    async def received() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def sent(message: Message) -> None:
        watching.cancel()
        await send(message)

    watching = asyncio.create_task(watch())
    try:
        await app(scope, received, sent)
    finally:
        watching.cancel()
