"""Compression of bodies: HTTP's content encodings, and ClickHouse's own blocks."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

import lz4.frame
import zstandard

from clew.clickhouse import blocks
from clew.storage import EngineError, ErrorCode, refusal


class Compressor(Protocol):
    """Compresses data piece by piece. `end` returns what is left after the last piece."""

    def add(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._stream = zlib.compressobj(1, zlib.DEFLATED, window_bits)

    def add(self, data: bytes) -> bytes:
        return self._stream.compress(data)

    def end(self) -> bytes:
        return self._stream.flush()


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(level=1).compressobj()

    def add(self, data: bytes) -> bytes:
        return self._stream.compress(data)

    def end(self) -> bytes:
        return self._stream.flush()


class _Lz4:
    def __init__(self) -> None:
        self._stream = lz4.frame.LZ4FrameCompressor()
        self._head = self._stream.begin()

    def add(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._stream.compress(data))

    def end(self) -> bytes:
        return bytes(self._head + self._stream.flush())


# In order of preference.
COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "zstd": _Zstd,
    "lz4": _Lz4,
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(15),
}


def negotiate(accept_encoding: str) -> str:
    """The encoding for a client with this Accept-Encoding; empty for none."""
    accepted = {
        name.strip().lower()
        for name, _, quality in (choice.partition(";") for choice in accept_encoding.split(","))
        if not re.fullmatch(r"\s*q=0(\.0*)?\s*", quality)
    }
    return next((name for name in COMPRESSORS if name in accepted), "")


def block_method(parameters: Mapping[str, str]) -> int:
    """The method for a client that wants an answer in ClickHouse's own blocks, else 0."""
    if parameters.get("compress") not in ("1", "true"):
        return 0
    zstd = parameters.get("network_compression_method", "").upper() == "ZSTD"
    return blocks.ZSTD if zstd else blocks.LZ4


def decompress_blocks(body: bytes, limit: int, *, verify: bool = True) -> bytes:
    """A body in ClickHouse's own blocks, decompressed. Raises EngineError when it is damaged, or
    has more than `limit` bytes. `verify` says whether checksums are verified."""
    try:
        plain = blocks.decompress_blocks(body, limit, verify=verify)
    except blocks.ChecksumError as error:
        raise refusal(ErrorCode.CHECKSUM_DOESNT_MATCH, f"{error}.") from error
    except ValueError as error:
        raise _cannot_decompress(error) from error
    if len(plain) > limit:
        raise body_too_large(limit)
    return plain


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """A body with this Content-Encoding, decompressed. Raises EngineError when the encoding is not
    known, when the body is damaged, or when it has more than `limit` bytes."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    try:
        if name in ("gzip", "x-gzip", "deflate"):
            plain = _inflate(body, limit)
        elif name == "zstd":
            with zstandard.ZstdDecompressor().stream_reader(
                body, read_across_frames=True
            ) as reader:
                plain = reader.read(limit + 1)
        elif name == "lz4":
            plain = lz4.frame.LZ4FrameDecompressor().decompress(body, limit + 1)
        else:
            raise refusal(
                ErrorCode.UNKNOWN_COMPRESSION_METHOD,
                f"Unknown compression method '{name}'. Supported: gzip, deflate, zstd, lz4.",
            )
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise _cannot_decompress(error) from error
    if len(plain) > limit:
        raise body_too_large(limit)
    return bytes(plain)


def body_too_large(limit: int) -> EngineError:
    return refusal(ErrorCode.QUERY_IS_TOO_LARGE, f"The body has more than {limit} bytes.")


def _cannot_decompress(error: Exception) -> EngineError:
    return refusal(ErrorCode.CANNOT_DECOMPRESS, f"Cannot decompress the body: {error}.")


def _inflate(body: bytes, limit: int) -> bytes:
    """gzip with any number of members, or zlib; at most `limit` + 1 bytes."""
    plain = b""
    while body:
        stream = zlib.decompressobj(47)
        plain += stream.decompress(body, limit + 1 - len(plain))
        if len(plain) > limit:
            return plain
        if not stream.eof:
            raise EOFError("it is cut off")
        body = stream.unused_data
    return plain
