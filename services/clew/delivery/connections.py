"""Connections to receivers: to addresses that were checked, and cut when their time is over."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from clew.delivery.addresses import Networks

CONNECT_SECONDS = 5.0  # for each address of a host
STEP_SECONDS = 10.0  # without a byte from the receiver


class Deadline:
    """A context that has to end within `seconds`. Then its connection is cut, and whoever waits for
    it sees its end: a receiver that sends a byte now and then holds up nobody."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._connection: socket.socket | None = None
        self._expired = threading.Event()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def guard(self, connection: socket.socket) -> socket.socket:
        """Cut this connection in the end. Raises TimeoutError when the time is over."""
        self._connection = connection
        if self._expired.is_set():
            connection.close()
            raise TimeoutError(self._message)
        return connection

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._expired.is_set():  # what was read may be cut, even if it looks complete
            raise TimeoutError(self._message) from error

    @property
    def _message(self) -> str:
        return f"no answer within {self._seconds:g} s"

    def _cut(self) -> None:
        self._expired.set()
        if self._connection is not None:
            with suppress(OSError):  # it is closed already
                self._connection.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Dialer:
    """Connects to hosts in allowed networks, until a deadline; over TLS if there is a `context`."""

    networks: Networks
    deadline: Deadline
    context: ssl.SSLContext | None = None

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to a host, at one of its addresses, all of which were checked. The name is
        not resolved a second time. Raises AddressRefused, and OSError when none answers."""
        connection = self._connect(host, port)
        if self.context is None:
            return connection
        return self.deadline.guard(self.context.wrap_socket(connection, server_hostname=host))

    def _connect(self, host: str, port: int) -> socket.socket:
        failure = OSError(f"{host} has no address")
        for address in self.networks.resolve(host, port):
            try:
                connection = socket.create_connection((address, port), CONNECT_SECONDS)
            except OSError as error:
                failure = error
            else:
                connection.settimeout(STEP_SECONDS)
                return self.deadline.guard(connection)
        raise failure
