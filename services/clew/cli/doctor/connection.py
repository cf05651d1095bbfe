"""Whether an OTLP receiver answers, takes the key, and has the same time."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

from clew.cli.doctor.verdicts import Verdict

PROTOBUF = "application/x-protobuf"
_WITHIN = 5.0  # seconds for an answer
_MAX_SKEW = 5.0  # seconds


@dataclass(frozen=True)
class Response:
    """The answer to a request; `status` 0 and a reason if there was none. skew: seconds by which
    the other clock is ahead, None if it does not say its time."""

    url: str
    status: int = 0
    reason: str = ""
    seconds: float = 0.0
    skew: float | None = None
    body: bytes = field(default=b"", repr=False)
    content_type: str = PROTOBUF
    etag: str = ""


@dataclass(frozen=True)
class Destination:
    """Where telemetry goes: the whole URL of each signal, and the headers that are sent along."""

    urls: Mapping[str, str]
    headers: Mapping[str, str]
    certificates: str | None = None
    is_grpc: bool = False

    @property
    def base(self) -> str:
        """The address without the path of a signal."""
        return self.urls["traces"].removesuffix("/v1/traces")

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Destination:
        """As the OTEL_EXPORTER_OTLP_* say; they have their defaults already."""
        prefix = "OTEL_EXPORTER_OTLP"
        base = environ[f"{prefix}_ENDPOINT"].rstrip("/")
        urls = {
            signal: environ.get(f"{prefix}_{signal.upper()}_ENDPOINT") or f"{base}/v1/{signal}"
            for signal in ("traces", "metrics", "logs")
        }
        pairs = (pair.partition("=") for pair in environ.get(f"{prefix}_HEADERS", "").split(","))
        headers = {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs if name}
        return cls(
            urls,
            headers,
            environ.get(f"{prefix}_CERTIFICATE") or None,
            environ.get(f"{prefix}_PROTOCOL") == "grpc",
        )


def post(
    url: str, body: bytes, headers: Mapping[str, str], certificates: str | None = None
) -> Response:
    """Post a body. Raises nothing."""
    return request("POST", url, body, {"content-type": PROTOBUF, **headers}, certificates)


def request(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    certificates: str | None = None,
    within: float = _WITHIN,
) -> Response:
    """One request over a connection of its own, past any proxy. Raises nothing."""
    start = time.monotonic()
    try:
        address = urlsplit(url)
        host, port = address.hostname or "", address.port
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            context = ssl.create_default_context(cafile=certificates)
            connection = http.client.HTTPSConnection(host, port, timeout=within, context=context)
        elif address.scheme == "http" and host:
            connection = http.client.HTTPConnection(host, port, timeout=within)
        else:
            return Response(url, reason="it is no http:// or https:// address")
        target = f"{address.path or '/'}{'?' if address.query else ''}{address.query}"
        try:
            connection.request(method, target, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read(1 << 20)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Response(url, reason=_reason(error), seconds=time.monotonic() - start)
    seconds = time.monotonic() - start
    skew = _skew(answer.headers.get("date"), seconds)
    return Response(
        url,
        answer.status,
        answer.reason,
        seconds,
        skew,
        content,
        answer.headers.get("content-type", PROTOBUF),
        answer.headers.get("etag", ""),
    )


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.BadStatusLine | http.client.RemoteDisconnected):
        return "what listens there does not speak HTTP/1.1"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return f"no answer within {_WITHIN:.0f} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS" if "WRONG_VERSION" in str(error) else str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _skew(date: str | None, seconds: float) -> float | None:
    """How far the clock that wrote a Date header is ahead; its seconds are whole."""
    try:
        remote = parsedate_to_datetime(date or "").timestamp() + 0.5
    except ValueError:
        return None
    return remote - (time.time() - seconds / 2)


def probe(destination: Destination) -> Response:
    """Send a request without spans, which a receiver takes; over gRPC, only connect."""
    url = destination.urls["traces"]
    if not destination.is_grpc:
        return post(url, b"", destination.headers, destination.certificates)
    address = urlsplit(url if "//" in url else f"//{url}")
    try:
        socket.create_connection((address.hostname, address.port or 4317), _WITHIN).close()
    except (OSError, ValueError) as error:
        return Response(url, reason=_reason(error))
    return Response(url, 200)


def endpoint_verdict(response: Response, destination: Destination) -> Verdict:
    """Whether a receiver of OTLP answers there."""
    base = destination.base
    if destination.is_grpc and response.status:
        return Verdict("ok", f"{base} takes connections (gRPC: the key is not checked)")
    if response.status in (200, 202, 401, 403) and not _is_api(response):
        return Verdict("ok", f"{base} answers ({1000 * response.seconds:.0f} ms)")
    if not response.status:
        if "HTTP/1.1" in response.reason:
            mend = "take the address for OTLP over HTTP, whose port is 4318; 4317 is that of gRPC"
        elif "certificate" in response.reason:
            mend = "name the authority's file: OTEL_EXPORTER_OTLP_CERTIFICATE=/path/ca.pem"
        elif "TLS" in response.reason:
            mend = "write http:// in CLEW_ENDPOINT, or start clew with --tls-cert and --tls-key"
        else:
            mend = "start clew up there, or set CLEW_ENDPOINT to where it listens (--otlp-http)"
        return Verdict("fail", f"{base}: {response.reason}", mend)
    text = f"{base} answers {response.status} {response.reason}".rstrip()
    if response.status in (401, 403, 404, 405, 501):
        mend = "take clew's address for OTLP over HTTP (port 4318), without a path"
        return Verdict("fail", f"{text}: it receives no OTLP", mend)
    return Verdict("fail", text, "look into the log of what answers there")


def _is_api(response: Response) -> bool:
    """Whether clew's API answered: it refuses a key before it says that it has no such path."""
    return response.content_type.startswith("application/problem+json")


def key_verdict(response: Response, destination: Destination) -> Verdict:
    """Whether the key is accepted."""
    has_key = "authorization" in destination.headers
    if not response.status or destination.is_grpc or _is_api(response):
        return Verdict("none", "not checked")
    if response.status == 401:
        text = "the key is not known there" if has_key else "it wants a key, and none is set"
        return Verdict("fail", text, "set CLEW_API_KEY to a key that `clew key NAME` made there")
    if response.status == 403:
        mend = "make one: clew key NAME --scope ingest, and set CLEW_API_KEY"
        return Verdict("fail", "the key has not the scope `ingest`", mend)
    if not 200 <= response.status < 300:
        return Verdict("none", "not checked")
    return Verdict("ok", "the key is accepted" if has_key else "none is needed")


def clock_verdict(response: Response) -> Verdict:
    """Whether both clocks agree; the header has whole seconds."""
    if response.skew is None:
        return Verdict("none", "the answer does not say the time" if response.status else "unknown")
    skew = response.skew
    if abs(skew) <= _MAX_SKEW + response.seconds:
        return Verdict("ok", "agrees with that of the receiver")
    direction = "behind" if skew > 0 else "ahead of"
    return Verdict(
        "warn",
        f"this clock is {abs(skew):.0f} s {direction} that of the receiver",
        "set both by NTP (timedatectl set-ntp true); until then spans are searched for at "
        "another time",
    )
