"""OTLP over HTTP: a bare ASGI application, without a framework."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from google.protobuf import json_format
from google.rpc.status_pb2 import Status

from clew.access import AccessError, Authenticator, Forbidden, Principal, bearer_key
from clew.collector import otlp
from clew.collector.inflating import (
    MAX_BODY,
    BadRequest,
    TooLarge,
    UnsupportedEncoding,
    inflate,
)
from clew.collector.limits import (
    RETRY_AFTER,
    InFlight,
    NoTally,
    Overloaded,
    Request,
    Tally,
)
from clew.collector.otlp import Batch

logger = logging.getLogger(__name__)

Append = Callable[[str, Batch], Awaitable[None]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

RULES_PATH = "/v1/clew/rules"
SIGNAL_PATHS = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
LARGE_BODY = 256 << 10  # bytes: a thread decodes larger ones, so the event loop is not blocked
UNAVAILABLE = 14  # a code of google.rpc
UNAUTHENTICATED, PERMISSION_DENIED = (401, 16), (403, 7)  # HTTP status, code of google.rpc
NOT_READY = "not accepting data: the spool is full or cannot be written"
TOO_LARGE = f"the body is over {MAX_BODY >> 20} MiB: send smaller batches"

Headers = list[tuple[bytes, bytes]]

PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-max-age", b"7200"),
]
PAGE_HEADERS = (
    *("content-type", "content-encoding", "authorization"),
    *("traceparent", "tracestate", "baggage"),
)


class Receiver:
    """The ASGI application. `append` returns once a batch of a signal is on disk, or raises
    Overloaded.

    Load balancers ask `/healthz`, and `/readyz`: whether requests are accepted, which does not
    depend on the database. `origins` are those of web pages that may send telemetry; `*` is any.
    `page_headers` are further request headers that such pages may send. `rules` gives what agents
    ask for at `/v1/clew/rules`: a JSON document and its ETag; it is called in a thread."""

    def __init__(
        self,
        append: Append,
        in_flight: InFlight,
        tally: Tally | None = None,
        authenticator: Authenticator | None = None,
        origins: frozenset[str] = frozenset(),
        ready: Callable[[], bool] = lambda: True,
        page_headers: tuple[str, ...] = (),
        rules: Callable[[], tuple[bytes, str]] | None = None,
    ) -> None:
        self._append = append
        self._rules = rules
        self._ready = ready
        self._in_flight = in_flight
        self._tally = tally or NoTally()
        self._authenticator = authenticator or Authenticator()
        self._origins = origins
        allowed = ", ".join((*PAGE_HEADERS, *page_headers)).encode()
        self._preflight = [*PREFLIGHT, (b"access-control-allow-headers", allowed)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        headers = dict(scope["headers"])
        if self._origins and b"origin" in headers:
            cors_headers = self._cors_headers(headers[b"origin"])
            if cors_headers and scope["method"] == "OPTIONS":
                await _start(send, 204, cors_headers + self._preflight)
                await send({"type": "http.response.body"})
                return
            if cors_headers:
                send = _with_headers(send, cors_headers)
        path, method = scope["path"], scope["method"]
        signal = SIGNAL_PATHS.get(path.rstrip("/"))
        if signal is not None and method == "POST":
            await self._export(signal, scope, headers, receive, send)
        elif signal is not None:
            await _plain(send, 405, "send OTLP with POST", [(b"allow", b"POST")])
        elif path == RULES_PATH and self._rules is not None:
            await self._answer_rules(method, headers, self._rules, send)
        elif path == "/healthz":
            await _plain(send, 200, "ok")
        elif path == "/readyz" and self._ready():
            await _plain(send, 200, "ready")
        elif path == "/readyz":
            await _plain(send, 503, NOT_READY)
        else:
            await _plain(send, 404, f"send OTLP to {', '.join(SIGNAL_PATHS)}")

    async def _answer_rules(
        self,
        method: str,
        headers: dict[bytes, bytes],
        rules: Callable[[], tuple[bytes, str]],
        send: Send,
    ) -> None:
        if method != "GET":
            await _plain(send, 405, "read the rules with GET", [(b"allow", b"GET")])
            return
        try:
            self._authenticate(headers)
        except AccessError as error:
            await _deny(send, JSON, error)
            return
        document, etag = await asyncio.to_thread(rules)
        caching = [(b"etag", etag.encode()), (b"cache-control", b"no-cache")]
        if etag in _etags(_text(headers, b"if-none-match")):
            await _start(send, 304, caching)
            await send({"type": "http.response.body"})
        else:
            await _respond(send, 200, JSON, document, caching)

    def _authenticate(self, headers: dict[bytes, bytes]) -> Principal:
        """The sender, which may ingest. Raises AccessError."""
        key = bearer_key(_text(headers, b"authorization"))
        principal = self._authenticator.authenticate(key)
        principal.require("ingest")
        return principal

    async def _export(
        self, signal: str, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        content_type = _text(headers, b"content-type").split(";")[0].strip().lower()
        try:
            principal = self._authenticate(headers)
        except AccessError as error:
            await _deny(send, content_type, error)
            return
        scope.setdefault("state", {})["principal"] = principal
        try:
            if content_type not in (PROTOBUF, JSON):
                raise UnsupportedEncoding(
                    f"content-type {content_type!r} is not supported: send {PROTOBUF} or {JSON}"
                )
            with self._in_flight.request() as request:
                body = await _read(headers, receive, request)
                if body is None:
                    return
                batch = await _decode(signal, content_type, headers, body)
                request.take(len(batch.body))
                if batch.items:
                    await self._append(signal, batch)
        except BadRequest as error:
            self._tally.count_unreadable(signal)
            await _status(send, content_type, error.status, error.code, str(error))
        except Overloaded as error:
            self._tally.count_refused(signal)
            retry = [(b"retry-after", str(RETRY_AFTER).encode())]
            await _status(send, content_type, 503, UNAVAILABLE, str(error), retry)
        else:
            if batch.rejected:
                self._tally.count_rejected(signal, batch.rejected)
            if batch.mended:
                self._tally.count_mended(signal, batch.mended)
            response = otlp.response_body(signal, batch, as_json=content_type == JSON)
            await _respond(send, 200, content_type, response)

    def _cors_headers(self, origin: bytes) -> Headers:
        """The headers by which a browser lets a page of this origin send and read responses; empty
        when the origin is not allowed. Only a page whose origin is named may send credentials, as
        beacons always do: browsers accept none of them where any origin is allowed."""
        if origin.decode("latin-1") in self._origins:
            return [
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
                (b"vary", b"origin"),
            ]
        return [(b"access-control-allow-origin", b"*")] if "*" in self._origins else []


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _etags(if_none_match: str) -> list[str]:
    """The ETags that an If-None-Match header names; a weak one counts as a strong one."""
    return [etag.strip().removeprefix("W/") for etag in if_none_match.split(",")]


def _with_headers(send: Send, headers: Headers) -> Send:
    """A `send` that adds these headers to every response."""

    async def send_with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] += [*headers, (b"access-control-expose-headers", b"retry-after")]
        await send(message)

    return send_with_headers


async def _deny(send: Send, content_type: str, error: AccessError) -> None:
    challenge = b'Bearer realm="clew"'
    status, code = UNAUTHENTICATED
    if isinstance(error, Forbidden):
        challenge += b', error="insufficient_scope"'
        status, code = PERMISSION_DENIED
    await _status(send, content_type, status, code, str(error), [(b"www-authenticate", challenge)])


async def _read(headers: dict[bytes, bytes], receive: Receive, request: Request) -> bytes | None:
    """The body as it was sent; None when the client disconnected before its end. Raises TooLarge,
    and Overloaded when too many bytes are in flight."""
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > MAX_BODY:
        raise TooLarge(TOO_LARGE)
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        request.take(len(chunk))
        if request.size > MAX_BODY:
            raise TooLarge(TOO_LARGE)
        chunks.append(chunk)
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _decode(
    signal: str, content_type: str, headers: dict[bytes, bytes], body: bytes
) -> Batch:
    encoding = _text(headers, b"content-encoding").strip().lower()
    if len(body) < (LARGE_BODY // 8 if encoding else LARGE_BODY):
        return decode(signal, content_type, encoding, body)
    return await asyncio.to_thread(decode, signal, content_type, encoding, body)


def decode(signal: str, content_type: str, encoding: str, body: bytes) -> Batch:
    """The batch of a request, from its body as it was sent. Raises BadRequest."""
    inflated = inflate(body, encoding)
    return (otlp.decode_json if content_type == JSON else otlp.decode_protobuf)(signal, inflated)


async def _status(
    send: Send,
    content_type: str,
    status: int,
    code: int,
    message: str,
    headers: Headers | None = None,
) -> None:
    """An error as OTLP specifies it: a google.rpc.Status in the request's encoding."""
    document = Status(code=code, message=message)
    if content_type == JSON:
        body = json_format.MessageToJson(document).encode()
    else:
        content_type, body = PROTOBUF, document.SerializeToString()
    await _respond(send, status, content_type, body, headers)


async def _plain(send: Send, status: int, message: str, headers: Headers | None = None) -> None:
    await _respond(send, status, "text/plain; charset=utf-8", message.encode() + b"\n", headers)


async def _respond(
    send: Send,
    status: int,
    content_type: str,
    body: bytes,
    headers: Headers | None = None,
) -> None:
    content_headers: Headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", str(len(body)).encode()),
    ]
    await _start(send, status, content_headers + (headers or []))
    await send({"type": "http.response.body", "body": body})


async def _start(send: Send, status: int, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
