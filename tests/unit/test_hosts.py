"""Which names a server answers to, and which pages may change something."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clew.access import HostGuard, Hosts


@pytest.mark.parametrize(
    ("bound", "host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:4319", True),
        ("127.0.0.1", "localhost:4319", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "localhost.:80", True),
        ("127.0.0.1", "demo.localhost", True),
        ("127.0.0.1", "[::1]:4319", True),
        ("127.0.0.1", "127.8.9.1", True),
        ("127.0.0.1", "evil.example", False),
        ("127.0.0.1", "evil.example:4319", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "notlocalhost", False),
        ("127.0.0.1", "10.0.0.7", False),
        ("127.0.0.1", "clew.example:4319", True),
        ("127.0.0.1", "CLEW.example.", True),
        ("10.0.0.7", "10.0.0.7:4319", True),
        ("10.0.0.7", "10.0.0.8", False),
        ("fd00::7", "[fd00::7]:4319", True),
        ("0.0.0.0", "10.0.0.7:4319", True),
        ("::", "[fd00::7]", True),
        ("0.0.0.0", "evil.example", False),
    ],
)
def test_a_server_answers_to_its_own_names(bound: str, host: str, allowed: bool) -> None:
    assert Hosts(bound, frozenset(("clew.example",))).allow(host) is allowed


def _status(guard: HostGuard, method: str = "GET", path: str = "/", **headers: str) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs}
    asyncio.run(guard(scope, receive, send))
    return int(sent[0]["status"])


async def _works(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


OWN = {"host": "127.0.0.1:4319"}


def test_a_request_for_another_name_is_refused() -> None:
    guard = HostGuard(_works, Hosts("127.0.0.1"))
    assert _status(guard, **OWN) == 200
    assert _status(guard) == 200, "HTTP/1.0 needs no Host"
    assert _status(guard, host="evil.example:4319") == 421
    assert _status(guard, path="/healthz", host="evil.example") == 200
    with_keys = HostGuard(_works, Hosts("127.0.0.1"), any_host=True)
    assert _status(with_keys, host="clew.internal") == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:4319", 200),
        ("https://clew.example", 200),  # a proxy in front passes on another host
        ("http://127.0.0.1:8000", 403),
        ("http://evil.example", 403),
        ("http://localhost:4319", 403),
        ("http://clew.example@evil.example", 403),
        ("http://[", 403),
        ("null", 403),
    ],
)
def test_a_foreign_page_changes_nothing(origin: str, status: int) -> None:
    guard = HostGuard(_works, Hosts("127.0.0.1", frozenset(("clew.example",))))
    assert _status(guard, "PUT", origin=origin, **OWN) == status
    assert _status(guard, "GET", origin=origin, **OWN) == 200


def test_pages_of_named_origins_may_send() -> None:
    hosts = Hosts("127.0.0.1")
    named = HostGuard(_works, hosts, origins=frozenset(("https://shop.example",)))
    assert _status(named, "POST", origin="https://shop.example", **OWN) == 200
    assert _status(named, "POST", origin="https://other.example", **OWN) == 403
    every = HostGuard(_works, hosts, origins=frozenset("*"))
    assert _status(every, "POST", origin="https://other.example", **OWN) == 200
