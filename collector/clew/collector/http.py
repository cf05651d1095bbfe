"""OTLP over HTTP: an ASGI application with nothing between the server and the spool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from google.protobuf import json_format
from google.rpc.status_pb2 import Status

from clew.access import AccessError, Authenticator, Forbidden, bearer_key
from clew.collector import otlp
from clew.collector.limits import (
    RETRY_AFTER,
    InFlight,
    NoTally,
    Overloaded,
    Request,
    Tally,
)
from clew.collector.otlp import Batch, Refused, TooLarge, UnsupportedEncoding

logger = logging.getLogger(__name__)

Append = Callable[[str, Batch], Awaitable[None]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SIGNAL_PATHS = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
LARGE_BODY = (
    256 << 10
)  # bytes; a larger body is decoded in a thread, so that others are not held up
UNAVAILABLE = 14  # of google.rpc
UNAUTHENTICATED, PERMISSION_DENIED = (401, 16), (403, 7)  # HTTP's status, google.rpc's code

Headers = list[tuple[bytes, bytes]]

PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"POST"),
    (
        b"access-control-allow-headers",
        b"content-type, content-encoding, authorization, traceparent, tracestate, baggage",
    ),
    (b"access-control-max-age", b"7200"),
]


class Receiver:
    """The ASGI application. `append` puts a batch where it is safe, or raises Overloaded.

    `/readyz` says whether requests are taken, which the database may be down for: what balances
    load between collectors asks for it, and `/healthz`."""

    def __init__(
        self,
        append: Append,
        in_flight: InFlight,
        tally: Tally | None = None,
        authenticator: Authenticator | None = None,
        origins: frozenset[str] = frozenset(),
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._append = append
        self._ready = ready
        self._in_flight = in_flight
        self._tally = tally or NoTally()
        self._authenticator = authenticator or Authenticator()
        self._origins = origins  # of pages that browsers let send; `*` is any

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        headers = dict(scope["headers"])
        if self._origins and b"origin" in headers:
            allowed = self._allowed(headers[b"origin"])
            if allowed and scope["method"] == "OPTIONS":
                await _start(send, 204, allowed + PREFLIGHT)
                await send({"type": "http.response.body"})
                return
            if allowed:
                send = _with(send, allowed)
        content_type = (
            headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
        )
        signal = SIGNAL_PATHS.get(scope["path"].rstrip("/"))
        if signal is None and scope["path"] in ("/healthz", "/readyz"):
            if scope["path"] == "/healthz" or self._ready():
                await _plain(send, 200, "ok" if scope["path"] == "/healthz" else "ready")
            else:
                await _plain(send, 503, "the spool takes nothing just now")
            return
        if signal is None:
            await _plain(send, 404, f"OTLP goes to {', '.join(SIGNAL_PATHS)}")
            return
        if scope["method"] != "POST":
            await _plain(send, 405, "OTLP is sent with POST", [(b"allow", b"POST")])
            return
        try:
            authorization = headers.get(b"authorization", b"").decode("latin-1")
            principal = self._authenticator.authenticate(bearer_key(authorization))
            principal.require("ingest")
        except AccessError as error:
            await _deny(send, content_type, error)
            return
        scope.setdefault("state", {})["principal"] = principal
        try:
            if content_type not in (PROTOBUF, JSON):
                raise UnsupportedEncoding(
                    f"content-type {content_type!r}: send {PROTOBUF} or {JSON}"
                )
            with self._in_flight.request() as request:
                body = await _read(headers, receive, request)
                if body is None:
                    return
                batch = await _decode(signal, content_type, headers, body)
                request.take(len(batch.body))
                if batch.items:
                    await self._append(signal, batch)
        except Refused as error:
            self._tally.unreadable(signal)
            await _status(send, content_type, error.status, error.code, str(error))
        except Overloaded as error:
            self._tally.refused(signal)
            again = [(b"retry-after", str(RETRY_AFTER).encode())]
            await _status(send, content_type, 503, UNAVAILABLE, str(error), again)
        else:
            if batch.rejected:
                self._tally.rejected(signal, batch.rejected)
            answer = otlp.answer(signal, batch, as_json=content_type == JSON)
            await _respond(send, 200, content_type, answer)

    def _allowed(self, origin: bytes) -> Headers:
        """What a browser has to be told, so that a page of this origin may send and see answers."""
        if "*" in self._origins:
            return [(b"access-control-allow-origin", b"*")]
        if origin.decode("latin-1") in self._origins:
            return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        return []


def _with(send: Send, headers: Headers) -> Send:
    """Send every answer with these headers too."""

    async def send_with(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] += [*headers, (b"access-control-expose-headers", b"retry-after")]
        await send(message)

    return send_with


async def _deny(send: Send, content_type: str, error: AccessError) -> None:
    challenge = b'Bearer realm="clew"'
    status, code = UNAUTHENTICATED
    if isinstance(error, Forbidden):
        challenge += b', error="insufficient_scope"'
        status, code = PERMISSION_DENIED
    await _status(send, content_type, status, code, str(error), [(b"www-authenticate", challenge)])


async def _read(headers: dict[bytes, bytes], receive: Receive, request: Request) -> bytes | None:
    """The body as it was sent; None when the client went away before its end."""
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > otlp.MAX_BODY:
        raise TooLarge(f"the body is over {otlp.MAX_BODY} bytes: send less at a time")
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        request.take(len(chunk))
        if request.size > otlp.MAX_BODY:
            raise TooLarge(f"the body is over {otlp.MAX_BODY} bytes: send less at a time")
        chunks.append(chunk)
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _decode(
    signal: str, content_type: str, headers: dict[bytes, bytes], body: bytes
) -> Batch:
    encoding = headers.get(b"content-encoding", b"").strip().lower().decode("latin-1")
    if len(body) < (LARGE_BODY // 8 if encoding else LARGE_BODY):
        return decode(signal, content_type, encoding, body)
    return await asyncio.to_thread(decode, signal, content_type, encoding, body)


def decode(signal: str, content_type: str, encoding: str, body: bytes) -> Batch:
    """A request's batch, from its body as it was sent."""
    plain = otlp.inflate(body, encoding)
    return (otlp.decode_json if content_type == JSON else otlp.decode_protobuf)(signal, plain)


async def _status(
    send: Send,
    content_type: str,
    status: int,
    code: int,
    message: str,
    headers: Headers | None = None,
) -> None:
    """An error as the specification wants it: a google.rpc.Status in the request's encoding."""
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
    about: Headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", str(len(body)).encode()),
    ]
    await _start(send, status, about + headers if headers else about)
    await send({"type": "http.response.body", "body": body})


async def _start(send: Send, status: int, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
