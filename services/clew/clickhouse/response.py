"""A response of ClickHouse's HTTP interface: status, headers, body, and an error after the body has
begun."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from clew.clickhouse import blocks, encodings
from clew.clickhouse.query import HttpQuery
from clew.storage import EngineError, ErrorCode, Summary

AsgiScope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SEND_TIMEOUT = 60.0  # seconds in which a client has to take the next piece of its answer

# The HTTP status of an error by its code, as a server has it; all others are 500.
CODES_BY_STATUS = {
    400: (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376,
          427, 441, 675, 676),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    413: (229,),
    501: (48,),
    503: (76, 209, 439),
}  # fmt: skip
STATUS = {code: status for status, codes in CODES_BY_STATUS.items() for code in codes}

CONTENT_TYPES = (
    (re.compile(r"(TSV|TabSeparated).*"), "text/tab-separated-values; charset=UTF-8"),
    (re.compile(r"CSV.*"), "text/csv; charset=UTF-8"),
    (re.compile(r"(JSON.*EachRow.*|NDJSON|JSONLines)"), "application/x-ndjson; charset=UTF-8"),
    (re.compile(r"JSON.*"), "application/json; charset=UTF-8"),
    (re.compile(r"XML"), "application/xml; charset=UTF-8"),
    (re.compile(r"Markdown"), "text/markdown; charset=UTF-8"),
    (re.compile(r"(Pretty.*|Vertical|Values|TSKV|SQLInsert|Null)"), "text/plain; charset=UTF-8"),
)


class HttpResponse:
    """The response to one request, sent whole (`send_text`, `send_error`, `send_whole`) or in
    pieces: `begin`, `send_piece`, then `end`, or `abort` after an error.

    `query_id` is what its headers say, until they are sent. So is `pending`: how many items are
    received and not stored, where that is known."""

    def __init__(self, scope: AsgiScope, send: Send, timezone: str) -> None:
        self._is_head = scope["method"] == "HEAD"
        self._send = send
        self._timezone = timezone
        self._compressor: encodings.Compressor | None = None
        self._exception_tag = secrets.token_hex(8)
        self._started = False
        self.query_id = str(uuid.uuid4())
        self.pending: int | None = None

    async def send_text(self, status: int, body: bytes) -> None:
        await self._start(status, [("content-type", "text/html; charset=UTF-8")], len(body))
        await self._send_body(body, last=True)

    async def send_error(self, error: EngineError, version: str) -> None:
        """Answer with an error. `version` is the engine's."""
        body = error_text(error, version)
        headers = [
            *self._common_headers(),
            ("content-type", "text/plain; charset=UTF-8"),
            ("x-clickhouse-exception-code", str(int(error.code))),
        ]
        if error.code == ErrorCode.REQUIRED_PASSWORD:
            headers.append(("www-authenticate", 'Basic realm="ClickHouse server HTTP API"'))
        await self._start(STATUS.get(error.code, 500), headers, len(body))
        await self._send_body(body, last=True)

    async def send_whole(
        self, query: HttpQuery, chunks: list[bytes], format_name: str, summary: Summary
    ) -> None:
        """Answer with all chunks at once. Without a `format_name` the answer is not a format's."""
        body = b"".join(chunks)
        headers = self._answer_headers(query, format_name, summary)
        if self._compressor and body:
            body = self._compressor.add(body) + self._compressor.end()
        await self._start(200, headers, len(body))
        await self._send_body(body, last=True)

    async def begin(self, query: HttpQuery, format_name: str, summary: Summary) -> None:
        await self._start(200, self._answer_headers(query, format_name, summary), None)

    async def send_piece(self, chunk: bytes) -> None:
        """Raises TimeoutError when the client takes nothing for SEND_TIMEOUT seconds."""
        data = self._compressor.add(chunk) if self._compressor else chunk
        if data:
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._send_body(data, last=False)

    async def end(self) -> None:
        await self._send_body(self._compressor.end() if self._compressor else b"", last=True)

    async def abort(self, error: EngineError, version: str) -> None:
        """Append an error to an answer that has begun: in the frame that a server uses, and without
        the body's proper end, so that clients that do not look for the frame see a failure too."""
        message = error_text(error, version).decode()
        tag = self._exception_tag
        frame = (
            f"\r\n__exception__\r\n{tag}\r\n{message}{len(message.encode())} {tag}"
            "\r\n__exception__\r\n"
        ).encode()
        if isinstance(self._compressor, blocks.BlockCompressor):  # the frame is not compressed
            frame, self._compressor = self._compressor.end() + frame, None
        await self.send_piece(frame)
        if self._compressor:
            await self._send_body(self._compressor.end(), last=False)

    def _answer_headers(
        self, query: HttpQuery, format_name: str, summary: Summary
    ) -> list[tuple[str, str]]:
        headers = [
            *self._common_headers(),
            ("x-clickhouse-summary", summary_json(summary)),
            ("x-clickhouse-timezone", self._timezone),
            ("x-clickhouse-exception-tag", self._exception_tag),
        ]
        if format_name:
            headers.append(("x-clickhouse-format", format_name))
        headers.append(("content-type", content_type(format_name)))
        if method := encodings.block_method(query.parameters):
            self._compressor = blocks.BlockCompressor(method)
        elif query.encoding and format_name:
            headers += [("content-encoding", query.encoding), ("vary", "accept-encoding")]
            self._compressor = encodings.COMPRESSORS[query.encoding]()
        return headers

    def _common_headers(self) -> list[tuple[str, str]]:
        return [
            ("x-clickhouse-query-id", self.query_id),
            ("x-clickhouse-server-display-name", "clew"),
            # Each range would be cut from another run of the statement, whose rows may have another
            # order: clients that would ask for ranges are told to read the whole answer.
            ("accept-ranges", "none"),
            *([("x-clew-pending", str(self.pending))] if self.pending is not None else []),
        ]

    async def _start(self, status: int, headers: list[tuple[str, str]], length: int | None) -> None:
        if self._started:
            return
        self._started = True
        if length is not None:
            headers = [*headers, ("content-length", str(length))]
        encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _send_body(self, data: bytes, *, last: bool) -> None:
        data = b"" if self._is_head else data
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})


def error_text(error: EngineError, version: str) -> bytes:
    """An error as a server writes it: one line, with the engine's version at its end."""
    text = " ".join(f"{error} (version {version} (chDB))".split("\n"))
    return f"{text}\n".encode()


def summary_json(summary: Summary) -> str:
    """The value of X-ClickHouse-Summary: a JSON object whose numbers are strings."""
    elapsed = int((time.monotonic() - summary.began) * 1e9)
    numbers = {
        "read_rows": summary.read_rows,
        "read_bytes": summary.read_bytes,
        "written_rows": summary.written_rows,
        "written_bytes": summary.written_bytes,
        "total_rows_to_read": summary.read_rows,
        "result_rows": summary.result_rows or summary.written_rows,
        "result_bytes": summary.result_bytes or summary.written_bytes,
        "elapsed_ns": elapsed,
    }
    return json.dumps(
        {name: str(number) for name, number in numbers.items()}, separators=(",", ":")
    )


def content_type(format_name: str) -> str:
    return next(
        (kind for pattern, kind in CONTENT_TYPES if pattern.fullmatch(format_name)),
        "application/octet-stream",
    )
