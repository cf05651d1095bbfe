"""What one client may ask at a time, and what becomes of what it no longer waits for."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from starlette.types import Message, Receive, Scope, Send

from clew.access import Principal
from clew.api.clients import IN_FLIGHT, PerClient


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asked: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope)
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


class Reading:
    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self.cancelled.set)


class Client:
    """One request, and the connection that it is made on."""

    def __init__(self, app: PerClient, host: str, key: str = "", path: str = "/api/v1") -> None:
        self.gone = asyncio.Event()
        self.sent: list[Message] = []
        state = {"principal": Principal(key, frozenset(("read",)))}
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "state": state}
        self.answered = asyncio.create_task(
            app(scope | {"client": (host, 1)}, self._receive, self._send)
        )

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> Any:
        return self.sent[0]["status"]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_client_past_its_requests_is_told_to_wait_and_others_go_on() -> None:
    async def scenario() -> None:
        slow = Slow()
        app = PerClient(slow, by_key=False)
        first = [Client(app, "10.0.0.1") for _ in range(IN_FLIGHT)]
        await settled()
        refused, other = Client(app, "10.0.0.1", key="other"), Client(app, "10.0.0.2")
        health = Client(app, "10.0.0.1", path="/healthz")
        await refused.answered
        assert refused.status == 429
        assert (b"retry-after", b"1") in refused.sent[0]["headers"]
        assert json.loads(refused.sent[1]["body"])["status"] == 429
        slow.go_on.set()
        await asyncio.gather(*(each.answered for each in (*first, other, health)))
        assert {each.status for each in (*first, other, health)} == {200}
        again = Client(app, "10.0.0.1")
        await again.answered
        assert again.status == 200

    asyncio.run(scenario())


def test_with_keys_a_client_is_its_key() -> None:
    async def scenario() -> None:
        slow = Slow()
        app = PerClient(slow, by_key=True)
        first = [Client(app, "10.0.0.1", key="a") for _ in range(IN_FLIGHT)]
        await settled()
        refused = Client(app, "10.0.0.9", key="a")
        other = Client(app, "10.0.0.1", key="b")
        await refused.answered
        slow.go_on.set()
        await asyncio.gather(other.answered, *(each.answered for each in first))
        assert (refused.status, other.status) == (429, 200)

    asyncio.run(scenario())


def test_when_a_client_goes_what_is_read_for_it_is_cancelled() -> None:
    async def scenario() -> None:
        slow = Slow()
        client = Client(PerClient(slow, by_key=False), "10.0.0.1")
        await settled()
        reading = Reading()
        cast(list[Any], slow.asked[0]["state"]["readings"]).append(reading)
        client.gone.set()
        await asyncio.wait_for(reading.cancelled.wait(), 10)
        slow.go_on.set()
        await client.answered

    asyncio.run(scenario())


def test_an_answer_that_has_begun_is_not_cancelled() -> None:
    async def scenario() -> None:
        slow = Slow()
        client = Client(PerClient(slow, by_key=False), "10.0.0.1")
        await settled()
        reading = Reading()
        cast(list[Any], slow.asked[0]["state"]["readings"]).append(reading)
        slow.go_on.set()
        await client.answered
        client.gone.set()
        await settled()
        assert not reading.cancelled.is_set()

    asyncio.run(scenario())
