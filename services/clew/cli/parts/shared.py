"""What all parts of a process are handed, and how they listen."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from clew.access import Authenticator, HostGuard, Hosts, Keys
from clew.analysis import Occurrences, Registry
from clew.analysis.alerts.rulebook import Rulebook
from clew.analysis.traces.settling import settler_statements
from clew.analysis.watching.noticed import effect_check
from clew.cli.servers import BACKLOG, Certificate, Server
from clew.cli.settings import Settings, UsageError
from clew.storage import Store
from clew.storage.coordination import Events, Pauses
from clew.storage.freshness import Freshness

GRACE = 1  # seconds for the answers that are under way when the process is to stop


class Access:
    """What guards the addresses: the certificate and the keys of the settings, if there are any."""

    def __init__(self, settings: Settings) -> None:
        self.certificate = None
        if settings.tls_cert and settings.tls_key:
            self.certificate = Certificate(settings.tls_cert, settings.tls_key)
        elif settings.tls_cert or settings.tls_key:
            raise UsageError("--tls-cert and --tls-key: TLS needs both")
        self.keys = Keys(settings.api_keys) if settings.api_keys else None
        self.authenticator = Authenticator(self.keys)
        self._names = settings.hosts

    def guarded(
        self, app: Any, address: tuple[str, int], origins: frozenset[str] = frozenset()
    ) -> HostGuard:
        """The application, for the names of this address alone; with keys, for every name. Pages
        of these origins may send to it."""
        hosts = Hosts(address[0], self._names)
        return HostGuard(app, hosts, any_host=self.authenticator.has_keys, origins=origins)

    def url(self, host: str, port: int) -> str:
        """The URL of an address that these guard."""
        return f"http{'s' if self.certificate else ''}://{host_port(host, port)}"


@dataclass(frozen=True)
class Shared:
    """Made before any part starts. `endpoints`: the URLs that the parts serve, by name, once they
    do. `stuck` is set when a thread could not be ended. `loads_on_demand`: everybody who reads asks
    `freshness`, so that what is received may wait until somebody does."""

    settings: Settings
    store: Store
    access: Access
    registry: Registry
    rulebook: Rulebook
    occurrences: Occurrences
    freshness: Freshness
    pauses: Pauses
    events: Events
    loads_on_demand: bool = False
    endpoints: dict[str, str] = field(default_factory=dict)
    stuck: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def create(
        cls, settings: Settings, store: Store, access: Access, loads_on_demand: bool = False
    ) -> Shared:
        """The objects for a database whose schema is up to date. Raises DefinitionError,
        StorageError."""
        registry = Registry(store, settings.transactions)
        return cls(
            settings,
            store,
            access,
            registry,
            Rulebook(
                settler_statements(store),
                store.shared,
                settings.alerts,
                effect_check(settler_statements(store), registry.definitions),
            ),
            Occurrences(store, registry.definitions),
            Freshness(),
            Pauses(store),
            Events(),
            loads_on_demand,
        )


def listen(address: tuple[str, int], flag: str) -> socket.socket:
    """A listening socket on host and port; port 0 picks a free one. Raises UsageError."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with contextlib.ExitStack() as stack:
        try:
            listening = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections inherit it; without it an answer waits 40 ms for the client's ACK.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listening.bind(address)
            listening.listen(BACKLOG)  # two sockets may have one address until one of them listens
        except OSError as error:
            raise UsageError(
                f"{flag}: cannot listen on {host_port(*address)}: {error.strerror}"
            ) from error
        stack.pop_all()
    listening.setblocking(False)
    return listening


@contextlib.contextmanager
def served(app: Any, listening: socket.socket, access: Access, name: str) -> Iterator[str]:
    """Serve an ASGI application in a thread with an event loop of its own, so that a slow answer
    never holds up the receivers; gives its URL."""
    app = access.guarded(app, listening.getsockname()[:2])
    server = Server(app, access.certificate, GRACE)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), name=name)
    thread.start()
    try:
        yield access.url(*listening.getsockname()[:2])
    finally:
        server.stop()
        thread.join()


def host_port(host: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
