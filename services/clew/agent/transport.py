"""How telemetry is posted: with the standard library alone.

The exporters' own way imports requests and urllib3, which takes several times as long as the rest
of an export from a program that ends at once; and gevent breaks TLS for everybody when it patches
a process in which urllib3 is imported already.
"""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from opentelemetry.exporter.http.transport._base import BaseHTTPResult, BaseHTTPTransport

# With these the exporters' own way is taken.
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
_SPECIAL = ("CLIENT_CERTIFICATE", "CLIENT_KEY", "CREDENTIAL_PROVIDER")


@dataclass(frozen=True, slots=True)
class Answer(BaseHTTPResult):
    """What the receiver answered; without a status if it did not."""

    body: bytes = b""
    fields: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        return self.body

    def headers(self) -> Mapping[str, str]:
        return self.fields


class StandardTransport(BaseHTTPTransport):
    """One connection, which stays open between the requests of one thread at a time."""

    def __init__(self, certificates: str | None = None) -> None:
        self._certificates = certificates
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
        data: bytes | None = None,
    ) -> BaseHTTPResult:
        address = urlsplit(url)
        target = f"{address.path or '/'}{'?' if address.query else ''}{address.query}"
        try:
            connection, self._connection = self._connection, None
            if connection is None:
                connection = self._connect(address.scheme, address.netloc, timeout)
            connection.timeout = timeout
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            try:
                connection.request(method, target, body=data, headers=headers or {})
                response = connection.getresponse()
                body = response.read()
            except BaseException:
                connection.close()
                raise
        except Exception as error:
            return Answer(error=error)
        self._connection = connection
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.reason, body=body, fields=fields)

    def _connect(
        self, scheme: str, address: str, timeout: float | None
    ) -> http.client.HTTPConnection:
        address = address.rpartition("@")[2]
        if scheme == "http":
            return http.client.HTTPConnection(address, timeout=timeout)
        context = ssl.create_default_context(cafile=self._certificates)
        return http.client.HTTPSConnection(address, timeout=timeout, context=context)

    def is_connection_error(self, exception: Exception | None) -> bool:
        return isinstance(exception, (OSError, http.client.HTTPException))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def standard_transport(signal: str) -> StandardTransport | None:
    """The transport for a signal (TRACES, METRICS or LOGS) as OTEL_EXPORTER_OTLP_* say; None if
    they ask for what it does not have: a proxy, a client certificate, credentials by plug-in."""

    def setting(name: str) -> str | None:
        prefix = "OTEL_EXPORTER_OTLP"
        return os.environ.get(f"{prefix}_{signal}_{name}") or os.environ.get(f"{prefix}_{name}")

    names = [name for name, text in os.environ.items() if text]
    if any(name.lower() in _PROXIES for name in names):
        return None
    if any("OTLP" in name and name.endswith(_SPECIAL) for name in names):
        return None
    scheme = urlsplit(setting("ENDPOINT") or "").scheme
    return StandardTransport(setting("CERTIFICATE") or _bundle(scheme))


def _bundle(scheme: str) -> str | None:
    """The certificates that requests trusts; the system's without them."""
    if scheme != "https":
        return None
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(variable):
            return path
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()
