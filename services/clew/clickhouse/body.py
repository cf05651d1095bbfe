"""A request's body: receiving it within limits of memory, and decompressing it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from clew.clickhouse import encodings
from clew.clickhouse.query import HttpQuery
from clew.storage import ErrorCode, refusal

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# A client's setting, as a server has it: checksums of blocks are verified unless it is 1.
DISABLE_CHECKSUMS = "http_native_compression_disable_checksumming_on_decompress"
MAX_MEMORY = 256 << 20  # bytes of all bodies that are being received


class BodyMemory:
    """The memory for the bodies of all requests that are being received."""

    def __init__(self) -> None:
        self._used = 0

    @contextmanager
    def body(self) -> Iterator[Body]:
        """A request's body, whose memory is released at the end of the block."""
        body = Body(self)
        try:
            yield body
        finally:
            self._used -= body.size

    def take(self, size: int) -> None:
        """Count `size` bytes more. Raises EngineError when they are too many."""
        self._used += size
        if self._used > MAX_MEMORY:
            raise refusal(
                ErrorCode.TOO_MANY_SIMULTANEOUS_QUERIES,
                "Too many simultaneous queries: the memory for bodies that are being received is "
                "full.",
            )


class Body:
    """One request's body. `size` is how many bytes of it were received."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.size = 0

    async def read(self, receive: Receive, query: HttpQuery) -> bytes:
        """Receive and decompress the whole body. Raises EngineError when it is too large or
        damaged, or when the client disconnects."""
        limit = query.user.max_body
        data = await self._receive(receive, limit)
        plain = encodings.decompress(data, query.headers.get("content-encoding", ""), limit)
        if query.get("decompress") not in ("1", "true"):
            return plain
        verify = query.get(DISABLE_CHECKSUMS) not in ("1", "true")
        return encodings.decompress_blocks(plain, limit, verify=verify)

    async def _receive(self, receive: Receive, limit: int) -> bytes:
        data = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise refusal(ErrorCode.NETWORK_ERROR, "The client has disconnected.")
            part = message.get("body", b"")
            self.size += len(part)
            self._memory.take(len(part))
            data += part
            if len(data) > limit:
                raise encodings.body_too_large(limit)
            if not message.get("more_body"):
                return bytes(data)
