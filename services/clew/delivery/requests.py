"""One HTTP request to a receiver: to a checked address, without redirects, within a time."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from clew.delivery.addresses import Networks
from clew.delivery.connections import Deadline, Dialer
from clew.delivery.errors import DeliveryError

TOTAL_SECONDS = 20.0  # for all of it
MAX_ANSWER = 64 << 10  # bytes; the rest is not read
MAX_RETRY_AFTER = 3600.0  # seconds
QUOTED = 200  # characters of an answer that an error quotes


@dataclass(frozen=True)
class Answer:
    """The status and the first bytes of the body."""

    status: int
    body: bytes


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    networks: Networks,
    seconds: float = TOTAL_SECONDS,
) -> Answer:
    """Send a POST request; returns an answer of success (2xx). Raises DeliveryError for any other
    answer, and when there is none within `seconds`."""
    parts = urlsplit(url)
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    try:
        with Deadline(seconds) as deadline:
            connection = _connection(parts, networks, deadline)
            with closing(connection):
                connection.request("POST", path, body, dict(headers))
                response = connection.getresponse()
                answer = Answer(response.status, response.read(MAX_ANSWER))
                retry_after = response.getheader("Retry-After", "")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeliveryError(f"{parts.hostname}: {error or type(error).__name__}") from error
    if 200 <= answer.status < 300:
        return answer
    raise DeliveryError(_refusal(parts, answer), _seconds(retry_after))


def _refusal(parts: SplitResult, answer: Answer) -> str:
    text = answer.body.decode("utf-8", "replace")[:QUOTED]
    quoted = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    kind = "redirects are not followed" if 300 <= answer.status < 400 else quoted
    return f"{parts.hostname} answered {answer.status}" + (f": {kind}" if kind else "")


def _seconds(retry_after: str) -> float | None:
    return min(float(retry_after), MAX_RETRY_AFTER) if retry_after.isdecimal() else None


def _connection(parts: SplitResult, networks: Networks, deadline: Deadline) -> _Connection:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address begins with https:// or http://, and a host")
    context = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (http.client.HTTPS_PORT if context else http.client.HTTP_PORT)
    return _Connection(parts.hostname, port, Dialer(networks, deadline, context))


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, port: int, dialer: Dialer) -> None:
        super().__init__(host, port)
        if dialer.context is not None:
            self.default_port = http.client.HTTPS_PORT  # the header Host leaves it out
        self._dialer = dialer

    def connect(self) -> None:
        self.sock = self._dialer.connect(self.host, self.port)
