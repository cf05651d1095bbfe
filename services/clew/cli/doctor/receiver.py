"""A receiver of OTLP over HTTP on a free port of this machine. It keeps what it gets, and hands it
on to where the service would send it."""

from __future__ import annotations

import contextlib
import gzip
import queue
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from clew.cli.doctor.connection import Destination, Response, post, request
from clew.cli.doctor.telemetry import REQUESTS, Telemetry

_MAX_WAITING = 200  # requests that are to be handed on
_MAX_BODY = 64 << 20  # bytes
_OPEN: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}
_HANDED_ON = ("authorization", "content-type", "content-encoding")


@dataclass
class Receiver:
    """`refused`: how often what was handed on was answered by which status; 0 for no answer."""

    url: str = ""
    telemetry: Telemetry = field(default_factory=Telemetry)
    refused: Counter[int] = field(default_factory=Counter)


class _Server(ThreadingHTTPServer):
    """waiting: what is to be handed on, as signal, body and headers; None ends it."""

    daemon_threads = True

    def __init__(self, destination: Destination | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.receiver = Receiver(f"http://127.0.0.1:{self.server_address[1]}")
        self.destination = destination
        self.waiting: queue.Queue[tuple[str, bytes, dict[str, str]] | None] = queue.Queue(
            _MAX_WAITING
        )

    def hand_on(self) -> None:
        while (item := self.waiting.get()) is not None and self.destination is not None:
            signal, body, headers = item
            headers = {**self.destination.headers, **headers}
            url = self.destination.urls[signal]
            response = post(url, body, headers, self.destination.certificates)
            if not 200 <= response.status < 300:
                self.receiver.refused[response.status] += 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        signal = self.path.removeprefix("/v1/")
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(min(length, _MAX_BODY))
        status = 200 if signal in REQUESTS else 404
        self._respond(Response(self.path, status))
        if status == 200:
            self._take(signal, body)

    def do_GET(self) -> None:
        """The agent asks for rules of business context."""
        destination = self.server.destination
        response = Response(self.path, 404)
        if destination is not None and self.path.startswith("/v1/clew/"):
            known = {"if-none-match": self.headers["if-none-match"] or ""}
            url, headers = f"{destination.base}{self.path}", {**destination.headers, **known}
            response = request("GET", url, None, headers, destination.certificates)
        self._respond(response)

    def _respond(self, response: Response) -> None:
        self.send_response(response.status or 503)
        self.send_header("content-type", response.content_type)
        if response.etag:
            self.send_header("etag", response.etag)
        self.send_header("content-length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    def _take(self, signal: str, body: bytes) -> None:
        telemetry = self.server.receiver.telemetry
        try:
            plain = _OPEN[self.headers.get("content-encoding", "")](body)
        except (KeyError, OSError, EOFError, zlib.error):
            telemetry.unreadable += 1
            return
        telemetry.receive(signal, plain)
        if self.server.destination is not None:
            headers = {name: self.headers[name] for name in _HANDED_ON if self.headers[name]}
            with contextlib.suppress(queue.Full):
                self.server.waiting.put_nowait((signal, body, headers))

    def log_message(self, format: str, *_: object) -> None:
        pass


@contextlib.contextmanager
def receiving(destination: Destination | None) -> Iterator[Receiver]:
    """A receiver, for as long as this is entered. It hands on to `destination`, if there is one;
    when this is left, what waits for that is dropped after 5 seconds."""
    with _Server(destination) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        handing_on = threading.Thread(target=server.hand_on, daemon=True)
        serving.start()
        handing_on.start()
        try:
            yield server.receiver
        finally:
            server.shutdown()
            with contextlib.suppress(queue.Full):
                server.waiting.put(None, timeout=1)
            handing_on.join(5)
