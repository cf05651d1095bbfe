"""What bodies are compressed with: HTTP's encodings, by the libraries that a server has anyway,
and ClickHouse's own."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

import lz4.frame
import zstandard

from clew.clickhouse import blocks
from clew.storage import EngineError

UNKNOWN_METHOD, TOO_LARGE, CANNOT_DECOMPRESS = 89, 229, 271


class Compressor(Protocol):
    """Compresses what it is given, piece by piece; `end` is what is left in it."""

    def add(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class _Zlib:
    def __init__(self, bits: int) -> None:
        self._inner = zlib.compressobj(1, zlib.DEFLATED, bits)

    def add(self, data: bytes) -> bytes:
        return self._inner.compress(data)

    def end(self) -> bytes:
        return self._inner.flush()


class _Zstd:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdCompressor(level=1).compressobj()

    def add(self, data: bytes) -> bytes:
        return self._inner.compress(data)

    def end(self) -> bytes:
        return self._inner.flush()


class _Lz4:
    def __init__(self) -> None:
        self._inner = lz4.frame.LZ4FrameCompressor()
        self._begun = self._inner.begin()

    def add(self, data: bytes) -> bytes:
        begun, self._begun = self._begun, b""
        return bytes(begun + self._inner.compress(data))

    def end(self) -> bytes:
        return bytes(self._begun + self._inner.flush())


# The first that a client takes is chosen.
COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "zstd": _Zstd,
    "lz4": _Lz4,
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(15),
}


def chosen(accept_encoding: str) -> str:
    """The encoding for a client that accepts these; empty for none."""
    accepted = {
        name.strip().lower()
        for name, _, quality in (each.partition(";") for each in accept_encoding.split(","))
        if not re.fullmatch(r"\s*q=0(\.0*)?\s*", quality)
    }
    return next((name for name in COMPRESSORS if name in accepted), "")


def native(parameters: Mapping[str, str]) -> int:
    """The method for a client that wants an answer in ClickHouse's own blocks, else 0."""
    if parameters.get("compress") not in ("1", "true"):
        return 0
    zstd = parameters.get("network_compression_method", "").upper() == "ZSTD"
    return blocks.ZSTD if zstd else blocks.LZ4


def from_blocks(body: bytes, most: int) -> bytes:
    """A body in ClickHouse's own blocks. Raises EngineError."""
    try:
        plain = blocks.unpacked(body, most)
    except ValueError as error:
        raise EngineError(
            CANNOT_DECOMPRESS, f"Cannot decompress the body: {error}. (CANNOT_DECOMPRESS)"
        ) from error
    if len(plain) > most:
        raise too_large(most)
    return plain


def decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """Raises EngineError for an encoding that is not known, and for more than `most` bytes."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    try:
        if name in ("gzip", "x-gzip", "deflate"):
            plain = _inflated(body, most)
        elif name == "zstd":
            with zstandard.ZstdDecompressor().stream_reader(
                body, read_across_frames=True
            ) as reader:
                plain = reader.read(most + 1)
        elif name == "lz4":
            plain = lz4.frame.LZ4FrameDecompressor().decompress(body, most + 1)
        else:
            raise EngineError(
                UNKNOWN_METHOD,
                f"Unknown compression method '{name}'. Supported: gzip, deflate, zstd, lz4. "
                "(UNKNOWN_COMPRESSION_METHOD)",
            )
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise EngineError(
            CANNOT_DECOMPRESS, f"Cannot decompress the body: {error}. (CANNOT_DECOMPRESS)"
        ) from error
    if len(plain) > most:
        raise too_large(most)
    return bytes(plain)


def too_large(most: int) -> EngineError:
    return EngineError(TOO_LARGE, f"The body has more than {most} bytes. (QUERY_IS_TOO_LARGE)")


def _inflated(body: bytes, most: int) -> bytes:
    """gzip of any number of members, or zlib."""
    plain = b""
    while body:
        inner = zlib.decompressobj(47)
        plain += inner.decompress(body, most + 1 - len(plain))
        if len(plain) > most:
            return plain
        if not inner.eof:
            raise EOFError("it ends in the middle")
        body = inner.unused_data
    return plain
