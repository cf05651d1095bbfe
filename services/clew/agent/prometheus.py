"""Metrics for those who scrape: an HTTP address of the process's own.

The first process of a host gets the port of OTEL_EXPORTER_PROMETHEUS_PORT, others the next free
ones: only the process itself can answer for what it measured. Each says its address on stderr.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import threading
from functools import cache
from typing import Any

from opentelemetry.sdk.metrics.export import MetricReader

from clew.agent import exporting, settings

_PORTS = 100  # that are tried
_TIMEOUT_S = 5.0  # of one who connects and asks nothing
_PATIENCE_S = 1.0  # for a thread that ends


class PrometheusReader(MetricReader):
    """Reads when somebody scrapes. All readers of a process have one address."""

    def __init__(self) -> None:
        super().__init__()
        self._data: Any = None
        server.add(self)

    def _receive_metrics(self, metrics_data: Any, timeout_millis: float = 10_000, **_: Any) -> None:
        self._data = metrics_data

    def read(self) -> list[Any]:
        """The metrics now, by resource, without secrets."""
        self.collect()
        data, self._data = self._data, None
        return [] if data is None else list(exporting.redaction().metrics(data).resource_metrics)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        server.remove(self)


class Server:
    """Answers scrapes of its readers, on a thread. Raises nothing."""

    def __init__(self) -> None:
        self._readers: list[PrometheusReader] = []
        self._listening: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._address = ""  # that was said
        self._knows_of_forks = False

    def add(self, reader: PrometheusReader) -> None:
        """Have this reader scraped, too."""
        self._readers.append(reader)
        if not self._knows_of_forks and hasattr(os, "register_at_fork"):
            self._knows_of_forks = True
            os.register_at_fork(after_in_child=self._continue_in_child)
        self.resume()

    def remove(self, reader: PrometheusReader) -> None:
        """Have it scraped no more; without readers the address is given up."""
        with contextlib.suppress(ValueError):
            self._readers.remove(reader)
        if not self._readers:
            self.pause()

    def resume(self) -> None:
        """Listen, and start the thread."""
        if self._thread is not None or not self._readers:
            return
        try:
            self._listening = _listen()
            self._thread = threading.Thread(
                target=self._run, args=(self._listening,), daemon=True, name="clew-prometheus"
            )
            self._thread.start()
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            self._thread = None
            self._close()
            sys.stderr.write(f"clew: metrics cannot be scraped: {error}\n")
            return
        host, port = self._listening.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        if address != self._address:
            self._address = address
            sys.stderr.write(f"clew: metrics of process {os.getpid()} at {address}\n")

    def pause(self) -> None:
        """End the thread, until the next `resume`."""
        thread, self._thread = self._thread, None
        self._close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE_S)

    def _close(self) -> None:
        if self._listening is not None:
            with contextlib.suppress(OSError):  # ends the wait for a connection
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None

    def _continue_in_child(self) -> None:
        """The parent's thread does not run here, and its address is the parent's."""
        if self._listening is not None:
            self._listening.close()
        self._listening = self._thread = None
        self._address = ""
        self.resume()

    def _run(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, address = listening.accept()
            except OSError:
                return
            with contextlib.suppress(Exception), connection:
                _handler_class()(connection, address, self)

    def exposition(self) -> bytes:
        """What a scrape gets."""
        from clew.agent.exposition import text

        return text(group for reader in self._readers for group in reader.read()).encode()


server = Server()


def _listen() -> socket.socket:
    """A socket at the first free port from the one that is set. Raises OSError."""
    host = settings.value(os.environ, "OTEL_EXPORTER_PROMETHEUS_HOST")
    first = int(settings.value(os.environ, "OTEL_EXPORTER_PROMETHEUS_PORT"))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, first + _PORTS):
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen()
        except OSError as error:
            listening.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return listening
    raise OSError(f"{host} has no free port from {first} to {first + _PORTS - 1}")


@cache
def _handler_class() -> Any:
    """A handler of requests; its module is imported by the first of them."""
    with exporting.importing:
        from http.server import BaseHTTPRequestHandler

        from clew.agent.exposition import CONTENT_TYPE

    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in ("/", "/metrics"):
                self.send_error(404)
                return
            body = server.exposition()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return "clew"

        def log_message(self, *_: Any) -> None:
            """Stderr is the service's."""

    return Handler
