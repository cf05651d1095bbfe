"""The limit on concurrent requests of a client, and clients that disconnect."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from starlette.types import Message, Receive, Scope, Send

from clew.access import Principal
from clew.api.clients import MAX_CONCURRENT_REQUESTS, PerClient


class HeldApplication:
    """An application that responds once it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await self.released.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


class Reading:
    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self.cancelled.set)


class Client:
    """One request and its connection."""

    def __init__(self, app: PerClient, host: str, key: str = "", path: str = "/api/v1") -> None:
        self.disconnected = asyncio.Event()
        self.sent: list[Message] = []
        state = {"principal": Principal(key, frozenset(("read",)))}
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "state": state}
        self.response = asyncio.create_task(
            app(scope | {"client": (host, 1)}, self._receive, self._send)
        )

    async def _receive(self) -> Message:
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> Any:
        return self.sent[0]["status"]


async def run_tasks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_client_with_too_many_requests_gets_429_and_others_are_served() -> None:
    async def scenario() -> None:
        application = HeldApplication()
        app = PerClient(application, by_key=False)
        clients = [Client(app, "10.0.0.1") for _ in range(MAX_CONCURRENT_REQUESTS)]
        await run_tasks()
        refused_client, other_client = Client(app, "10.0.0.1", key="other"), Client(app, "10.0.0.2")
        health = Client(app, "10.0.0.1", path="/healthz")
        await refused_client.response
        assert refused_client.status == 429
        assert (b"retry-after", b"1") in refused_client.sent[0]["headers"]
        assert json.loads(refused_client.sent[1]["body"])["status"] == 429
        application.released.set()
        await asyncio.gather(*(client.response for client in (*clients, other_client, health)))
        assert {client.status for client in (*clients, other_client, health)} == {200}
        next_client = Client(app, "10.0.0.1")
        await next_client.response
        assert next_client.status == 200

    asyncio.run(scenario())


def test_with_keys_clients_are_told_apart_by_principal() -> None:
    async def scenario() -> None:
        application = HeldApplication()
        app = PerClient(application, by_key=True)
        clients = [Client(app, "10.0.0.1", key="a") for _ in range(MAX_CONCURRENT_REQUESTS)]
        await run_tasks()
        refused_client = Client(app, "10.0.0.9", key="a")
        other_client = Client(app, "10.0.0.1", key="b")
        await refused_client.response
        application.released.set()
        await asyncio.gather(other_client.response, *(client.response for client in clients))
        assert (refused_client.status, other_client.status) == (429, 200)

    asyncio.run(scenario())


def test_the_readings_of_a_client_that_disconnects_are_cancelled() -> None:
    async def scenario() -> None:
        application = HeldApplication()
        client = Client(PerClient(application, by_key=False), "10.0.0.1")
        await run_tasks()
        reading = Reading()
        cast(list[Any], application.scopes[0]["state"]["readings"]).append(reading)
        client.disconnected.set()
        await asyncio.wait_for(reading.cancelled.wait(), 10)
        application.released.set()
        await client.response

    asyncio.run(scenario())


def test_a_response_that_has_started_is_not_cancelled() -> None:
    async def scenario() -> None:
        application = HeldApplication()
        client = Client(PerClient(application, by_key=False), "10.0.0.1")
        await run_tasks()
        reading = Reading()
        cast(list[Any], application.scopes[0]["state"]["readings"]).append(reading)
        application.released.set()
        await client.response
        client.disconnected.set()
        await run_tasks()
        assert not reading.cancelled.is_set()

    asyncio.run(scenario())
