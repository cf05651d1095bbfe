"""Content encodings of request bodies, and why a body is refused.

BadRequest
├── Unreadable
├── TooLarge
└── UnsupportedEncoding
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import lz4.frame
import zstandard

MAX_BODY = 64 << 20  # bytes, after decompression: OTLP's limit
TOO_LARGE = f"the body is over {MAX_BODY >> 20} MiB after decompression: send smaller batches"
MAX_MEMBERS = 100  # of a body; each of them costs a copy of the rest
SNAPPY_STREAM = b"\xff\x06\x00\x00sNaPpY"  # begins a body in snappy's framing format
SNAPPY_CHECKSUM = 4  # bytes before the data of a chunk


class BadRequest(Exception):
    """A request that is refused for good, with an HTTP status and a code of google.rpc."""

    status = 400
    code = 3  # INVALID_ARGUMENT


class Unreadable(BadRequest):
    """The body is not what its content type or encoding says."""


class TooLarge(BadRequest):
    """The body is over MAX_BODY."""

    status = 413
    code = 8  # RESOURCE_EXHAUSTED


class UnsupportedEncoding(BadRequest):
    """The content type or content encoding is not one of those that OTLP allows."""

    status = 415


def inflate(body: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding. Raises TooLarge above MAX_BODY bytes, which it never
    exceeds in memory; UnsupportedEncoding; Unreadable."""
    if encoding in ("", "identity"):
        return body
    if encoding not in INFLATORS:
        raise UnsupportedEncoding(
            f"content-encoding {encoding!r} is not supported: "
            f"send {', '.join(INFLATORS)} or identity"
        )
    try:
        inflated = INFLATORS[encoding](body)
    except ERRORS as error:
        raise Unreadable(f"the body is not valid {encoding}: {error}") from error
    if len(inflated) > MAX_BODY:
        raise TooLarge(TOO_LARGE)
    return inflated


# Each of these returns at most MAX_BODY + 1 bytes, and raises TooLarge or one of ERRORS.


def _inflate_members(body: bytes, decompressor: Callable[[], Any]) -> bytes:
    """A body of one or several compressed streams, one after the other."""
    inflated: bytes = b""
    for _ in range(MAX_MEMBERS):
        stream = decompressor()
        inflated += stream.decompress(body, MAX_BODY + 1 - len(inflated))
        if len(inflated) <= MAX_BODY and not stream.eof:
            raise EOFError("it is cut off")
        if len(inflated) > MAX_BODY or not stream.unused_data:
            return inflated
        body = stream.unused_data
    raise EOFError(f"it has more than {MAX_MEMBERS} members")


def _inflate_gzip(body: bytes) -> bytes:
    return _inflate_members(body, lambda: zlib.decompressobj(zlib.MAX_WBITS | 16))


def _inflate_zlib(body: bytes, window: int = zlib.MAX_WBITS) -> bytes:
    stream: Any = zlib.decompressobj(window)
    inflated: bytes = stream.decompress(body, MAX_BODY + 1)
    if len(inflated) <= MAX_BODY and not stream.eof:
        raise EOFError("it is cut off")
    return inflated


def _inflate_deflate(body: bytes) -> bytes:
    """HTTP's deflate is the zlib format, but some clients send the deflate stream without it."""
    try:
        return _inflate_zlib(body)
    except (zlib.error, EOFError) as error:
        try:
            return _inflate_zlib(body, -zlib.MAX_WBITS)
        except (zlib.error, EOFError):
            raise error from None


def _inflate_zstd(body: bytes) -> bytes:
    # read(n) stops after n bytes, whatever size the frame declares or has.
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        body, read_across_frames=True
    ) as stream:
        return bytes(stream.read(MAX_BODY + 1))


def _inflate_lz4(body: bytes) -> bytes:
    return _inflate_members(body, lz4.frame.LZ4FrameDecompressor)


def _inflate_snappy(body: bytes) -> bytes:
    """Both of snappy's formats: exporters send one block, or the framing format."""
    import cramjam  # 15 ms and 2 MB that few clients need

    framed = body.startswith(SNAPPY_STREAM)
    try:
        size = (_framed_size if framed else cramjam.snappy.decompress_raw_len)(body)
        if size > MAX_BODY:
            raise TooLarge(TOO_LARGE)
        return bytes((cramjam.snappy.decompress if framed else cramjam.snappy.decompress_raw)(body))
    except cramjam.DecompressionError as error:
        raise EOFError(str(error)) from error


def _framed_size(body: bytes) -> int:
    """The size that the chunks of snappy's framing format declare; they cannot have more."""
    import cramjam

    size = position = 0
    while position < len(body):
        kind = body[position]
        length = int.from_bytes(body[position + 1 : position + 4], "little")
        data = body[position + 4 + SNAPPY_CHECKSUM : position + 4 + length]
        if kind == 0:
            size += cramjam.snappy.decompress_raw_len(data)
        elif kind == 1:
            size += len(data)
        position += 4 + length
    return size


ERRORS = (zlib.error, zstandard.ZstdError, RuntimeError, EOFError)
# Those that the OpenTelemetry Collector sends and takes.
INFLATORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _inflate_gzip,
    "zstd": _inflate_zstd,
    "deflate": _inflate_deflate,
    "zlib": _inflate_zlib,
    "snappy": _inflate_snappy,
    "x-snappy-framed": _inflate_snappy,
    "lz4": _inflate_lz4,
    "x-gzip": _inflate_gzip,
}
