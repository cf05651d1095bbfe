"""One request to clew, with the standard library: no instrumentation makes a span of it."""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """What the receiver answered; without a body if it is unchanged."""

    status: int
    etag: str
    body: bytes


def fetch(
    url: str, headers: Mapping[str, str], etag: str, timeout_s: float, longest: int
) -> Answer:
    """What is at an address, unless it still has the ETag. Raises OSError, also for what is no
    HTTP, and ValueError for an answer of more than `longest` bytes."""
    address = urlsplit(url)
    connection = _connection(address.scheme, address.netloc.rpartition("@")[2], timeout_s)
    known = {"if-none-match": etag} if etag else {}
    target = f"{address.path or '/'}{'?' if address.query else ''}{address.query}"
    try:
        connection.request("GET", target, headers={"user-agent": "clew-agent", **headers, **known})
        response = connection.getresponse()
        body = response.read(longest + 1)
    except http.client.HTTPException as error:
        raise OSError(repr(error)) from error
    finally:
        connection.close()
    if len(body) > longest:
        raise ValueError(f"the answer has more than {longest} bytes")
    return Answer(response.status, response.getheader("etag") or "", body)


def _connection(scheme: str, address: str, timeout_s: float) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(address, timeout=timeout_s)
    context = ssl.create_default_context(cafile=_setting("CERTIFICATE") or _bundle())
    if certificate := _setting("CLIENT_CERTIFICATE"):
        context.load_cert_chain(certificate, _setting("CLIENT_KEY"))
    return http.client.HTTPSConnection(address, timeout=timeout_s, context=context)


def _setting(name: str) -> str | None:
    prefix = "OTEL_EXPORTER_OTLP"
    return os.environ.get(f"{prefix}_TRACES_{name}") or os.environ.get(f"{prefix}_{name}") or None


def _bundle() -> str | None:
    """The certificates that requests trusts, as the exporters do; the system's without them."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(variable):
            return path
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()
