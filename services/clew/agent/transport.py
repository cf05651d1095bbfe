"""How telemetry is posted: OTLP over HTTP, with the standard library alone.

OpenTelemetry's own exporters import protobuf and requests, which takes longer than the rest of an
export from a program that ends at once; and gevent breaks TLS for everybody when it patches a
process in which urllib3 is imported already.
"""

from __future__ import annotations

import gzip
import http.client
import logging
import os
import random
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from opentelemetry.util.re import parse_env_headers

_log = logging.getLogger(__name__)

_ATTEMPTS = 6
_TIMEOUT_S = 10.0
_LARGEST = 64 * 1024 * 1024  # bytes of a request, before compression
_PASSING = frozenset({429, 502, 503, 504})
_COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


class Answer(NamedTuple):
    """What the receiver answered. status: 0 if it did not, and then reason says why."""

    status: int
    reason: str
    retry_after_s: float | None = None


class Client:
    """Posts requests to one address, one after the other, over a connection that stays open."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        timeout_s: float = _TIMEOUT_S,
        compression: str = "none",
        certificates: str | None = None,
    ) -> None:
        self._address = urlsplit(url)
        path = self._address.path or "/"
        self._target = f"{path}?{self._address.query}" if self._address.query else path
        self._timeout_s = timeout_s
        self._compress = _COMPRESSIONS.get(compression)
        self._headers = {
            "content-type": "application/x-protobuf",
            "user-agent": "clew-agent",
            **({"content-encoding": compression} if self._compress else {}),
            **headers,
        }
        self._certificates = certificates
        self._connection: http.client.HTTPConnection | None = None
        self._process = os.getpid()
        self._end = threading.Event()
        self._sending = threading.Lock()

    def send(self, data: bytes) -> bool:
        """Post a request, again after errors that may pass, for as long as the timeout. False if it
        was not taken; the log says why. Raises nothing but what the interpreter's end raises."""
        if len(data) > _LARGEST:
            _log.warning("%d bytes are too many for one request to %s", len(data), self._target)
            return False
        body = self._compress(data) if self._compress else data
        if self._process != os.getpid():  # a forked child: connection and lock are the parent's
            self._process, self._sending = os.getpid(), threading.Lock()
            self._close()
        with self._sending:
            is_taken = self._send(body, time.monotonic() + self._timeout_s)
            if self._end.is_set():
                self._close()
        return is_taken

    def _send(self, body: bytes, deadline: float) -> bool:
        for attempt in range(_ATTEMPTS):
            answer = self._post(body, deadline)
            if 200 <= answer.status < 300:
                return True
            if answer.status and answer.status not in _PASSING:
                break
            pause_s = answer.retry_after_s
            if pause_s is None:
                pause_s = 2**attempt * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            if attempt + 1 == _ATTEMPTS or pause_s > deadline - time.monotonic():
                break
            _log.warning("%s: %s, again in %.1f s", self._place(), _text(answer), pause_s)
            if self._end.wait(pause_s):
                return False
        _log.error("%s: %s", self._place(), _text(answer))
        return False

    def shutdown(self) -> None:
        """Have no further attempt, and close the connection; what is being posted goes on."""
        self._end.set()
        if self._sending.acquire(blocking=False):
            self._close()
            self._sending.release()

    def _place(self) -> str:
        return f"{self._address.scheme}://{self._address.netloc.rpartition('@')[2]}{self._target}"

    def _post(self, body: bytes, deadline: float) -> Answer:
        """Post once; twice where the receiver had closed the connection meanwhile."""
        is_kept = self._connection is not None
        try:
            return self._request(body, deadline)
        except (OSError, http.client.HTTPException) as error:
            self._close()
            if not is_kept or time.monotonic() >= deadline:
                return Answer(0, repr(error))
        try:
            return self._request(body, deadline)
        except (OSError, http.client.HTTPException) as error:
            self._close()
            return Answer(0, repr(error))

    def _request(self, body: bytes, deadline: float) -> Answer:
        timeout_s = max(deadline - time.monotonic(), 0.001)
        connection = self._connection
        if connection is None:
            connection = self._connection = _connection(self._address, self._certificates)
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        connection.request("POST", self._target, body=body, headers=self._headers)
        response = connection.getresponse()
        response.read()
        return Answer(response.status, response.reason, _seconds(response.getheader("retry-after")))

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _connection(address: SplitResult, certificates: str | None) -> http.client.HTTPConnection:
    host = address.netloc.rpartition("@")[2]
    if address.scheme == "http":
        return http.client.HTTPConnection(host)
    if address.scheme != "https":
        raise http.client.InvalidURL("neither http:// nor https://")
    context = ssl.create_default_context(cafile=certificates)
    return http.client.HTTPSConnection(host, context=context)


def _text(answer: Answer) -> str:
    return f"{answer.status} {answer.reason}" if answer.status else answer.reason


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; None for a date."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return max(seconds, 0.0) if seconds < 1e9 else None


def configured_client(signal: str, environ: Mapping[str, str]) -> Client:
    """The client for a signal (traces, metrics or logs), as OTEL_EXPORTER_OTLP_* say."""

    def setting(name: str) -> str:
        prefix = "OTEL_EXPORTER_OTLP"
        return environ.get(f"{prefix}_{signal.upper()}_{name}") or environ.get(
            f"{prefix}_{name}", ""
        )

    url = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    if not url:
        base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318"
        url = f"{base.removesuffix('/')}/v1/{signal}"
    try:
        timeout_s = float(setting("TIMEOUT") or _TIMEOUT_S)
    except ValueError:
        _log.warning("no number of seconds: %r", setting("TIMEOUT"))
        timeout_s = _TIMEOUT_S
    return Client(
        url,
        parse_env_headers(setting("HEADERS"), liberal=True),
        timeout_s,
        setting("COMPRESSION").strip().lower(),
        setting("CERTIFICATE") or _bundle(url, environ),
    )


def _bundle(url: str, environ: Mapping[str, str]) -> str | None:
    """The certificates that requests trusts; the system's without them."""
    if not url.startswith("https:"):
        return None
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := environ.get(variable):
            return path
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()
