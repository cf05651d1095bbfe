"""The web servers of the platform: uvicorn, with TLS and with limits for its clients.

uvicorn alone has no time limit for a request's first byte, the end of its headers or its body, and
no limit for the size of headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import resource
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import grpc
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clew.background import WatchedFiles
from clew.cli.settings import UsageError

logger = logging.getLogger(__name__)

# Seconds
IDLE = 75  # without a request; an exporter sends every 5 to 60
HEADERS_WITHIN = 30  # from the first byte to the end of the headers
BODY_WITHIN = 60  # from the end of the headers to the end of the body
LOOK_AFTER = 5  # between looks at the certificate's files

HTTP2 = b"PRI * HTTP/2.0\r\n"  # what a connection of HTTP/2, so of gRPC, begins with
HEAD = 64 << 10  # bytes of headers, or of trailers, at most, give or take what is read at once
BACKLOG = 2048


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the platform has its own.

    `grace` is how many seconds requests that are being answered have when it is to stop."""

    def __init__(self, app: Any, certificate: Certificate | None, grace: int) -> None:
        chain, key = certificate.files if certificate else (None, None)
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            ssl_certfile=chain,
            ssl_keyfile=key,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=grace,
        )
        super().__init__(config)
        self._certificate = certificate
        self._changed = certificate.watch() if certificate else lambda: False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Have `serve` end soon. Any thread may call it."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def main_loop(self) -> None:
        """Wait for `stop`. uvicorn's own loop asks ten times a second, 0.13 % of a core."""
        self._loop = asyncio.get_running_loop()
        while not self.should_exit:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AFTER if self._certificate else None):
                    await self._stopped.wait()
            self._look_at_certificate()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def _look_at_certificate(self) -> None:
        if self._certificate and self.config.ssl and self._changed():
            self.config.ssl.load_cert_chain(*self._certificate.files)


class Certificate:
    """A certificate with its chain, and its key, as PEM files; read again when they change.

    Raises UsageError when they cannot be used; later on, files that cannot be used change
    nothing."""

    def __init__(self, chain: Path, key: Path) -> None:
        self.files = (chain, key)
        try:
            self._try()
        except OSError as error:
            raise UsageError(f"--tls-cert {chain}, --tls-key {key}: {error}") from error

    def watch(self) -> Callable[[], bool]:
        """A function that returns whether there is a new usable certificate since its last call."""
        watched = WatchedFiles(*self.files)

        def changed() -> bool:
            if not watched.changed():
                return False
            try:
                self._try()
            except OSError as error:
                logger.error("%s: the certificate stays as it was: %s", self.files[0], error)
                return False
            logger.info("read the certificate %s", self.files[0])
            return True

        return changed

    def for_grpc(self) -> grpc.ServerCredentials:
        """The credentials of a gRPC server, which asks for them with every connection."""
        changed = self.watch()
        return grpc.dynamic_ssl_server_credentials(
            self._pair(), lambda: self._pair() if changed() else None
        )

    def _try(self) -> None:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self.files)

    def _pair(self) -> grpc.ServerCertificateConfiguration:
        chain, key = (path.read_bytes() for path in self.files)
        return grpc.ssl_server_certificate_configuration([(key, chain)])


def raise_file_limit() -> None:
    """As many open files, which connections are too, as the system allows this user."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS has a limit that it does not name
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Protocol(HttpToolsProtocol):
    """A connection with time limits for the client: for the headers, and for the body."""

    _deadline: asyncio.TimerHandle | None = None
    _in_body = False
    _unused = 0  # bytes that came since the last that were of a body, or ended something

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > _most_connections():
            transport.abort()  # type: ignore[attr-defined]
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if data.startswith(HTTP2) and self.cycle is None:
            logger.warning(
                "refused a client of HTTP/2 or gRPC at %s: it must use the address for gRPC, "
                "or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
                "{}:{}".format(*self.server or ("", "")),
            )
            self._hang_up(b"400 Bad Request")
            return
        self._unused += len(data)
        self.server_state.default_headers = _date(int(time.time()))
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unused > HEAD:
            self._hang_up(b"431 Request Header Fields Too Large")
        # Almost always a request comes whole, and no timer is ever made.
        elif self._deadline is None:
            if self._in_body:
                self._deadline = self.loop.call_later(BODY_WITHIN, self._time_out)
            elif self.cycle is None or self.cycle.response_complete:
                self._deadline = self.loop.call_later(HEADERS_WITHIN, self._time_out)

    def on_headers_complete(self) -> None:
        self._end_deadline()
        self._in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._end_deadline()
        self._in_body = False
        super().on_message_complete()

    def _end_deadline(self) -> None:
        self._unused = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self) -> None:
        self._hang_up(b"408 Request Timeout")

    def _hang_up(self, status: bytes) -> None:
        if not self._in_body or not self.cycle.response_started:
            self.transport.write(
                b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status
            )
        self.transport.close()


@functools.lru_cache(maxsize=1)
def _date(second: int) -> list[tuple[bytes, bytes]]:
    """The header of every response; uvicorn's own main loop would set it."""
    return [(b"date", formatdate(second, usegmt=True).encode())]


def _most_connections() -> int:
    """Three of four open files: the others are for the spool, the database and gRPC."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4
