"""Responses compressed as the client accepts it: zstd, else gzip. Streams are compressed piece by
piece, each of which the client can read when it comes."""

from __future__ import annotations

import re
import zlib
from typing import Any, Protocol

import zstandard
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_SIZE = 1024  # bytes; a smaller response does not get smaller
COMPRESSIBLE = ("application/json", "application/problem+json", "application/x-ndjson", "text/")
GZIP_LEVEL, ZSTD_LEVEL = 4, 3


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self, mode: int = ..., /) -> bytes: ...


class Compression:
    """ASGI middleware. A response that has an encoding already is left as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoding = ""
        if scope["type"] == "http":
            encoding = accepted_encoding(Headers(scope=scope).get("accept-encoding", ""))
        if not encoding:
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Response(encoding, send))


class _Response:
    """Sends the messages of one response, compressed if that is worth it."""

    def __init__(self, encoding: str, send: Send) -> None:
        self._encoding = encoding
        self._send = send
        self._start: Message = {}
        self._compressor: _Compressor | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._start:
            if self._is_worth_it(body, more):
                self._begin()
            await self._send(self._start)
            self._start = {}
        if self._compressor is not None:
            message = {**message, "body": self._compressed(body, more)}
        await self._send(message)

    def _is_worth_it(self, body: bytes, more: bool) -> bool:
        headers = Headers(raw=self._start["headers"])
        kind = headers.get("content-type", "")
        return (
            "content-encoding" not in headers
            and kind.startswith(COMPRESSIBLE)
            and (more or len(body) >= MIN_SIZE)
        )

    def _begin(self) -> None:
        headers = MutableHeaders(raw=self._start["headers"])
        headers["content-encoding"] = self._encoding
        headers.add_vary_header("Accept-Encoding")
        del headers["content-length"]
        if self._encoding == "zstd":
            self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
        else:
            self._compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)

    def _compressed(self, body: bytes, more: bool) -> bytes:
        compressor: Any = self._compressor
        data: bytes = compressor.compress(body)
        if not more:
            return data + bytes(compressor.flush())
        by_block = (
            zstandard.COMPRESSOBJ_FLUSH_BLOCK if self._encoding == "zstd" else zlib.Z_SYNC_FLUSH
        )
        return data + bytes(compressor.flush(by_block))


def accepted_encoding(header: str) -> str:
    """zstd or gzip, as an Accept-Encoding allows; empty for neither."""
    qualities: dict[str, bool] = {}
    for choice in header.split(","):
        name, _, parameter = choice.partition(";")
        refused = re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameter)
        qualities[name.strip().lower()] = refused is None
    rest = qualities.get("*", False)
    for name in ("zstd", "gzip"):
        if qualities.get(name, rest):
            return name
    return ""
