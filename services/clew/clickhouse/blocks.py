"""ClickHouse's own compression of a body (`compress=1`, `decompress=1`): blocks with a checksum.

16 bytes  checksum: CityHash128 (version 1.0.2) of the rest of the block
 1 byte   method
 4 bytes  size of the block from the method on, little endian
 4 bytes  size of the decompressed data
"""

from __future__ import annotations

import struct

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

NONE, LZ4, ZSTD = 0x02, 0x82, 0x90  # methods
BLOCK_SIZE = 1 << 20  # bytes of data in a block that is written here
_HEAD = struct.Struct("<BII")
_CHECKSUM = struct.Struct("<QQ")


class ChecksumError(ValueError):
    """A block's checksum does not match its contents."""


class BlockCompressor:
    """Compresses an answer into blocks, piece by piece."""

    def __init__(self, method: int) -> None:
        self._method = method
        self._pending = bytearray()

    def add(self, data: bytes) -> bytes:
        """The blocks that are full now."""
        self._pending += data
        blocks = bytearray()
        while len(self._pending) >= BLOCK_SIZE:
            blocks += compress_block(bytes(self._pending[:BLOCK_SIZE]), self._method)
            del self._pending[:BLOCK_SIZE]
        return bytes(blocks)

    def end(self) -> bytes:
        """The last block, if any data is left."""
        rest, self._pending = bytes(self._pending), bytearray()
        return compress_block(rest, self._method) if rest else b""


def compress_block(data: bytes, method: int) -> bytes:
    """One block that holds `data`; `method` is LZ4 or ZSTD."""
    if method == ZSTD:
        packed = zstandard.ZstdCompressor(level=1).compress(data)
    else:
        packed = lz4.block.compress(data, store_size=False)
    body = _HEAD.pack(method, _HEAD.size + len(packed), len(data)) + packed
    return checksum(body) + body


def decompress_blocks(data: bytes, limit: int, *, verify: bool = True) -> bytes:
    """The data of all blocks; if it has more than `limit` bytes, any `limit` + 1 bytes.

    Raises ChecksumError for a wrong checksum, unless `verify` is off, and ValueError for blocks
    that are cut off or damaged in another way."""
    plain = bytearray()
    start = 0
    while start < len(data):
        head = start + _CHECKSUM.size
        if len(data) < head + _HEAD.size:
            raise ValueError("a compressed block is cut off")
        method, size, length = _HEAD.unpack_from(data, head)
        end = head + size
        if size < _HEAD.size or end > len(data):
            raise ValueError("a compressed block is cut off")
        if verify:
            _verify(data[start:head], data[head:end])
        if len(plain) + length > limit:
            return bytes(limit + 1)
        plain += _decompress(method, data[head + _HEAD.size : end], length)
        start = end
    return bytes(plain)


def checksum(body: bytes) -> bytes:
    """The 16 bytes in front of a block's `body`."""
    value = CityHash128(body)
    return _CHECKSUM.pack(value >> 64, value & 0xFFFFFFFFFFFFFFFF)


def _verify(expected: bytes, body: bytes) -> None:
    actual = checksum(body)
    if actual != expected:
        raise ChecksumError(
            f"Checksum doesn't match: corrupted data. Reference: {expected[::-1].hex()}. "
            f"Actual: {actual[::-1].hex()}. Size of compressed block: {len(body)}"
        )


def _decompress(method: int, packed: bytes, length: int) -> bytes:
    if method == LZ4:
        try:
            plain = lz4.block.decompress(packed, uncompressed_size=length)
        except lz4.block.LZ4BlockError as error:
            raise ValueError(str(error)) from error
    elif method == ZSTD:
        try:
            plain = zstandard.ZstdDecompressor().decompress(packed, max_output_size=length)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
    elif method == NONE:
        plain = packed
    else:
        raise ValueError(f"a compressed block has the unknown method {method:#x}")
    if len(plain) != length:
        raise ValueError("a compressed block has not the size it names")
    return bytes(plain)
