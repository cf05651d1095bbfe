"""JSON bodies of requests, seen while the service itself reads them: up to 64 KiB, never read
ahead. The service gets every byte as it would without us."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from clew.agent.business import requests, rules

LONGEST = 65_536  # bytes
PLACE = "clew.body"  # in a scope or an environ: its BodyWatch, or the WatchedInput of its body

Complete = Callable[[Any], None]


class BodyWatch:
    """Collects a body, and calls `complete` with its document once its end was read. A body that is
    too long or no JSON is passed over."""

    def __init__(self, complete: Complete, length: int | None = None) -> None:
        self._complete = complete
        self._length = length
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_open = length is None or length <= LONGEST
        self.reader: WatchedReceive | None = None

    def see(self, chunk: bytes | bytearray | memoryview, is_end: bool = False) -> None:
        """The next bytes that the service read. Raises nothing."""
        if not self._is_open:
            return
        try:
            self._add(chunk, is_end)
        except Exception as error:
            self._is_open = False
            rules.complain(error)

    def _add(self, chunk: bytes | bytearray | memoryview, is_end: bool) -> None:
        self._size += len(chunk)
        if self._size > LONGEST:
            self._is_open = False
            self._chunks.clear()
            return
        if chunk:
            self._chunks.append(bytes(chunk))
        if is_end or self._size == self._length:
            self._is_open = False
            body, self._chunks = b"".join(self._chunks), []
            self._finish(body)

    def _finish(self, body: bytes) -> None:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return
        self._complete(document)


class WatchedReceive:
    """`receive` of ASGI. Of several that read the same body, each by the one before, the first to
    get a message counts."""

    __slots__ = ("_receive", "_watch")

    def __init__(self, receive: Callable[[], Any], watch: BodyWatch) -> None:
        self._receive = receive
        self._watch = watch

    async def __call__(self) -> Any:
        message = await self._receive()
        watch = self._watch
        if watch.reader is None:
            watch.reader = self
        if watch.reader is self and message["type"] == "http.request":
            watch.see(message.get("body", b""), not message.get("more_body", False))
        return message


class WatchedInput:
    """A stream that a request's body is read from. Nobody watches until `watch` is set."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.watch: BodyWatch | None = None

    def read(self, *size: Any) -> Any:
        chunk = self._stream.read(*size)
        is_whole = not size or size[0] is None or size[0] < 0
        return self._seen(chunk, is_whole or (not chunk and size[0] != 0))

    def readline(self, *size: Any) -> Any:
        line = self._stream.readline(*size)
        return self._seen(line, not line and (not size or size[0] != 0))

    def readlines(self, *hint: Any) -> Any:
        lines = self._stream.readlines(*hint)
        for line in lines:
            self._seen(line, False)
        self._seen(b"", not hint)
        return lines

    def __iter__(self) -> Iterator[Any]:
        for line in self._stream:
            self._seen(line, False)
            yield line
        self._seen(b"", True)

    def __next__(self) -> Any:
        return self._seen(next(self._stream), False)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._stream, name)
        return self._watched_readinto(attribute) if name == "readinto" else attribute

    def _watched_readinto(self, readinto: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def watched_readinto(buffer: Any) -> Any:
            count = readinto(buffer)
            if count is not None:
                self._seen(memoryview(buffer)[:count], count == 0 and len(buffer) > 0)
            return count

        return watched_readinto

    def _seen(self, chunk: Any, is_end: bool) -> Any:
        if self.watch is not None and isinstance(chunk, bytes | bytearray | memoryview):
            self.watch.see(chunk, is_end)
        return chunk


# Bodies of aiohttp's requests, by id: those who enter them take them out with the request's end.
of_aiohttp: dict[int, BodyWatch] = {}


def watch(carrier: Any, request: requests.Request, complete: Complete) -> bool:
    """Have `complete` called with the body of a request when the service has read it. Whether it
    can be: it is JSON, not compressed, and not said to be too long."""
    if "json" not in request.header("content-type").lower():
        return False
    if request.header("content-encoding") not in ("", "identity"):
        return False
    text = request.header("content-length")
    length = int(text) if text.isdecimal() else None
    if length == 0 or (length or 0) > LONGEST:
        return False
    body = BodyWatch(complete, length)
    if not isinstance(carrier, dict):
        of_aiohttp[id(carrier)] = body
    elif isinstance(stream := carrier.get(PLACE), WatchedInput):
        stream.watch = body
    elif "wsgi.input" in carrier:
        carrier[PLACE] = carrier["wsgi.input"] = stream = WatchedInput(carrier["wsgi.input"])
        stream.watch = body
    else:
        carrier[PLACE] = body
    return True
