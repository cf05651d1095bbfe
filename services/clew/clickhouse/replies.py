"""An answer as a server's HTTP interface gives it: status, headers, its pieces, and an error after
some of them."""

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
from clew.clickhouse.asked import Asked
from clew.storage import EngineError, Summary

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SEND_WITHIN = 60.0  # seconds in which a client takes the next piece of its answer

# Errors whose status is not 500, as a server has it.
STATUSES = {
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
STATUS = {code: status for status, codes in STATUSES.items() for code in codes}
REQUIRED_PASSWORD = 194

CONTENT_TYPES = (
    (re.compile(r"(TSV|TabSeparated).*"), "text/tab-separated-values; charset=UTF-8"),
    (re.compile(r"CSV.*"), "text/csv; charset=UTF-8"),
    (re.compile(r"(JSON.*EachRow.*|NDJSON|JSONLines)"), "application/x-ndjson; charset=UTF-8"),
    (re.compile(r"JSON.*"), "application/json; charset=UTF-8"),
    (re.compile(r"XML"), "application/xml; charset=UTF-8"),
    (re.compile(r"Markdown"), "text/markdown; charset=UTF-8"),
    (re.compile(r"(Pretty.*|Vertical|Values|TSKV|SQLInsert|Null)"), "text/plain; charset=UTF-8"),
)


class Reply:
    """What is sent back: one answer, whole or in pieces."""

    def __init__(self, scope: Scope, send: Send, timezone: str) -> None:
        self._head = scope["method"] == "HEAD"
        self._send = send
        self._timezone = timezone
        self._compressor: encodings.Compressor | None = None
        self._tag = secrets.token_hex(8)
        self.query_id = str(uuid.uuid4())
        self.begun = False

    async def text(self, status: int, body: bytes) -> None:
        await self._start(status, [("content-type", "text/html; charset=UTF-8")], len(body))
        await self._body(body, last=True)

    async def error(self, error: EngineError, version: str) -> None:
        body = worded(error, version)
        headers = [
            *self._common(),
            ("content-type", "text/plain; charset=UTF-8"),
            ("x-clickhouse-exception-code", str(error.code)),
        ]
        if error.code == REQUIRED_PASSWORD:
            headers.append(("www-authenticate", 'Basic realm="ClickHouse server HTTP API"'))
        await self._start(STATUS.get(error.code, 500), headers, len(body))
        await self._body(body, last=True)

    async def whole(self, asked: Asked, chunks: list[bytes], form: str, summary: Summary) -> None:
        body = b"".join(chunks)
        headers = self._of_answer(asked, form, summary)
        if self._compressor and body:
            body = self._compressor.add(body) + self._compressor.end()
        await self._start(200, headers, len(body))
        await self._body(body, last=True)

    async def begin(self, asked: Asked, form: str, summary: Summary) -> None:
        await self._start(200, self._of_answer(asked, form, summary), None)

    async def more(self, chunk: bytes) -> None:
        data = self._compressor.add(chunk) if self._compressor else chunk
        if data:
            async with asyncio.timeout(SEND_WITHIN):
                await self._body(data, last=False)

    async def end(self) -> None:
        await self._body(self._compressor.end() if self._compressor else b"", last=True)

    async def broken(self, error: EngineError, version: str) -> None:
        """An error after the answer has begun: framed as a server does it, and no proper end."""
        words = worded(error, version).decode()
        text = (
            f"\r\n__exception__\r\n{self._tag}\r\n{words}{len(words.encode())} {self._tag}"
            "\r\n__exception__\r\n"
        ).encode()
        if isinstance(self._compressor, blocks.Blocks):  # the frame stands behind them as it is
            text, self._compressor = self._compressor.end() + text, None
        await self.more(text)
        if self._compressor:
            await self._body(self._compressor.end(), last=False)
        # No end: whoever does not look for the frame is to see that something is missing.

    def _of_answer(self, asked: Asked, form: str, summary: Summary) -> list[tuple[str, str]]:
        headers = [*self._common(), ("x-clickhouse-summary", summarised(summary))]
        headers.append(("x-clickhouse-timezone", self._timezone))
        headers.append(("x-clickhouse-exception-tag", self._tag))
        if form:
            headers.append(("x-clickhouse-format", form))
        headers.append(("content-type", content_type(form)))
        if method := encodings.native(asked.parameters):
            self._compressor = blocks.Blocks(method)
        elif asked.encoding and form:
            headers += [("content-encoding", asked.encoding), ("vary", "accept-encoding")]
            self._compressor = encodings.COMPRESSORS[asked.encoding]()
        return headers

    def _common(self) -> list[tuple[str, str]]:
        return [
            ("x-clickhouse-query-id", self.query_id),
            ("x-clickhouse-server-display-name", "clew"),
        ]

    async def _start(self, status: int, headers: list[tuple[str, str]], length: int | None) -> None:
        if self.begun:
            return
        self.begun = True
        if length is not None:
            headers = [*headers, ("content-length", str(length))]
        encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _body(self, data: bytes, *, last: bool) -> None:
        data = b"" if self._head else data
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})


def worded(error: EngineError, version: str) -> bytes:
    text = " ".join(f"{error} (version {version} (chDB))".split("\n"))
    return f"{text}\n".encode()


def summarised(summary: Summary) -> str:
    """Numbers as strings, as a server writes them."""
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


def content_type(form: str) -> str:
    return next(
        (kind for pattern, kind in CONTENT_TYPES if pattern.fullmatch(form)),
        "application/octet-stream",
    )
