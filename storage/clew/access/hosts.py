"""Which names a server answers to, so that a web page of somebody else cannot use a browser on this
machine to reach it (DNS rebinding, requests across origins)."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

READING = frozenset(("GET", "HEAD", "OPTIONS"))  # methods that change nothing
HEALTH = frozenset(("/healthz", "/readyz"))  # load balancers ask by any name


class Hosts:
    """Names that a server answers to: loopback ones, the address it is bound to, and `names`."""

    def __init__(self, bound: str, names: frozenset[str] = frozenset()) -> None:
        self._names = {name.lower() for name in names} | {bound.lower()}
        address = _address(bound)
        self._by_any_address = address is not None and address.is_unspecified
        self._last_allowed = ""  # exporters send the same host with every request

    def allow(self, host: str) -> bool:
        """Whether the host of a URL (`name`, `name:port`, `[address]:port`) is one of them."""
        if host == self._last_allowed:
            return True
        if not self._allows(_name(host)):
            return False
        self._last_allowed = host
        return True

    def _allows(self, name: str) -> bool:
        address = _address(name)
        if address is not None and (address.is_loopback or self._by_any_address):
            return True  # a page cannot be loaded from a foreign name by an address
        return name == "localhost" or name.endswith(".localhost") or name in self._names


class HostGuard:
    """ASGI middleware that answers 421 to a request for another host than `hosts` allow (with
    `any_host`: none is refused), and 403 to one that changes something and comes from a page of
    another origin (but for `origins`, or all with `*`)."""

    def __init__(
        self,
        app: Application,
        hosts: Hosts,
        *,
        any_host: bool = False,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._any_host = any_host
        self._origins = origins

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await _respond(send, *refusal)

    def _refusal(self, scope: Message) -> tuple[int, str, str] | None:
        if scope["path"] in HEALTH:
            return None
        host = origin = ""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1")
            elif name == b"origin":
                origin = value.decode("latin-1")
        if host and not self._any_host and not self._hosts.allow(host):
            return (
                421,
                "Misdirected Request",
                (
                    f"this clew does not answer to the name {_name(host)[:100]!r}: use 127.0.0.1, "
                    "or add the name with --hosts (CLEW_HOSTS)"
                ),
            )
        if origin and scope["method"] not in READING and self._is_foreign(origin, host):
            return (
                403,
                "Forbidden",
                (
                    f"a page of {origin[:100]!r} cannot change anything here: its host is not this "
                    "one's. If it is a name of this clew, add it with --hosts (CLEW_HOSTS)"
                ),
            )
        return None

    def _is_foreign(self, origin: str, host: str) -> bool:
        if {origin, "*"} & self._origins:
            return False
        try:
            location = urlsplit(origin).netloc
        except ValueError:
            return True
        if not location or "@" in location:
            return True
        # Behind a proxy the host may be another: then its name stands in CLEW_HOSTS.
        return location.lower() != host.lower() and not (
            self._hosts.allow(location) and not _is_loopback(location)
        )


def _is_loopback(host: str) -> bool:
    """Whether this may be another server on the same machine."""
    name = _name(host)
    address = _address(name)
    return (address is not None and address.is_loopback) or name.endswith("localhost")


def _name(host: str) -> str:
    """The host without its port, in lower case."""
    name, colon, port = host.lower().rpartition(":")
    name = name if colon and port.isascii() and port.isdecimal() else host.lower()
    return name.removesuffix(".").strip("[]")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


async def _respond(send: Send, status: int, title: str, detail: str) -> None:
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
