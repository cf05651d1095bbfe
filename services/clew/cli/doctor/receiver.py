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

from clew.cli.doctor.connection import Destination, post
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


@contextlib.contextmanager
def receiving(destination: Destination | None) -> Iterator[Receiver]:
    """A receiver, for as long as this is entered. It hands on to `destination`, if there is one;
    when this is left, what waits for that is dropped after 5 seconds."""
    receiver = Receiver()
    waiting: queue.Queue[tuple[str, bytes, dict[str, str]] | None] = queue.Queue(_MAX_WAITING)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            signal = self.path.removeprefix("/v1/")
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(min(length, _MAX_BODY))
            status = 200 if signal in REQUESTS else 404
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()
            if status == 200:
                self.take(signal, body)

        def take(self, signal: str, body: bytes) -> None:
            try:
                plain = _OPEN[self.headers.get("content-encoding", "")](body)
            except (KeyError, OSError, EOFError, zlib.error):
                receiver.telemetry.unreadable += 1
                return
            receiver.telemetry.receive(signal, plain)
            if destination is not None:
                headers = {name: self.headers[name] for name in _HANDED_ON if self.headers[name]}
                with contextlib.suppress(queue.Full):
                    waiting.put_nowait((signal, body, headers))

        def log_message(self, format: str, *_: object) -> None:
            pass

    def hand_on() -> None:
        while (request := waiting.get()) is not None and destination is not None:
            signal, body, headers = request
            headers = {**destination.headers, **headers}
            response = post(destination.urls[signal], body, headers, destination.certificates)
            if not 200 <= response.status < 300:
                receiver.refused[response.status] += 1

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        handing_on = threading.Thread(target=hand_on, daemon=True)
        serving.start()
        handing_on.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            with contextlib.suppress(queue.Full):
                waiting.put(None, timeout=1)
            handing_on.join(5)
