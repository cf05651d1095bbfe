"""Receivers of alerts that answer as a test wants, on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from clew.analysis.alerts.notifications import Notification
from clew.analysis.alerts.states import Transition
from clew.delivery.addresses import Networks
from clew.delivery.messages import Message

LOOPBACK = Networks.parse(["127.0.0.0/8", "::1/128"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Sink:
    """A web server on a raw socket. `requests`: head and body of each request that came."""

    port: int
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/alerts"


@contextmanager
def sink(answer: bytes | Callable[[socket.socket], None] = OK, port: int = 0) -> Iterator[Sink]:
    """A receiver that answers every request with these bytes, or as a function does."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        receiver = Sink(listening.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listening, receiver, answer), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(
    listening: socket.socket, receiver: Sink, answer: bytes | Callable[[socket.socket], None]
) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            receiver.requests.append(_read(connection))
            if isinstance(answer, bytes):
                connection.sendall(answer)
            else:
                answer(connection)


def _read(connection: socket.socket) -> tuple[str, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head.decode("latin-1"), body


def notification(**changes: object) -> Notification:
    """A notification of a slow operation."""
    fields: dict[str, object] = {
        "alert": "c0ffee0123456789",
        "episode": 3,
        "transition": Transition.FIRED,
        "at": 1_795_000_300.0,
        "firing_since": 1_795_000_000.0,
        "rule": "payments slow",
        "severity": "page",
        "labels": {"service": "payments", "operation": "POST /charges"},
        "headline": "payments POST /charges: p95 1.2 s, usually 0.3 s",
        "explanation": {"value": "1.2 s", "expected": "0.3 s"},
        "examples": ("a" * 32,),
        "url": "http://127.0.0.1:4319/problems/c0ffee0123456789",
    }
    return Notification(**(fields | changes))  # type: ignore[arg-type]


def message(*notifications: Notification, reason: str = "") -> Message:
    """A message to the receiver `oncall`."""
    listed = notifications or (notification(),)
    return Message(listed[0].key("oncall"), "oncall", listed, reason)
