"""ClickHouse's own compression of a body (`compress=1`, `decompress=1`): blocks with a checksum.

16 bytes  CityHash128 (of version 1.0.2) of what follows
 1 byte   method
 4 bytes  size of the block from the method on, little endian
 4 bytes  size of the decompressed data
"""

from __future__ import annotations

import struct

import lz4.block
import zstandard

NONE, LZ4, ZSTD = 0x02, 0x82, 0x90  # methods
BLOCK_SIZE = 1 << 20  # bytes of data in a block that is written here
_HEAD = struct.Struct("<BII")
_CHECKSUM_SIZE = 16

_MASK = (1 << 64) - 1
_K0, _K1, _K2, _K3 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F, 0xC949D7C7509E6557
_MULTIPLIER = 0x9DDFEA08EB382D69


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
    return city_hash_128(body) + body


def decompress_blocks(data: bytes, limit: int) -> bytes:
    """The data of all blocks; if it has more than `limit` bytes, any `limit` + 1 bytes. Raises
    ValueError for blocks that are cut off or damaged.

    Checksums are not verified: that would cost more than all the rest of an insert."""
    plain = bytearray()
    offset = 0
    while offset < len(data):
        start = offset + _CHECKSUM_SIZE
        if len(data) < start + _HEAD.size:
            raise ValueError("a compressed block is cut off")
        method, size, length = _HEAD.unpack_from(data, start)
        offset = start + size
        if size < _HEAD.size or offset > len(data):
            raise ValueError("a compressed block is cut off")
        if len(plain) + length > limit:
            return bytes(limit + 1)
        plain += _decompress(method, data[start + _HEAD.size : offset], length)
    return bytes(plain)


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


def city_hash_128(data: bytes) -> bytes:
    """CityHash128 as of version 1.0.2, whose results later versions do not keep."""
    size = len(data)
    if size >= 16:
        low, high = struct.unpack_from("<QQ", data)
        pair = _seeded(data[16:], low ^ _K3, high)
    elif size >= 8:
        low, high = _at(data, 0) ^ (size * _K0 & _MASK), _at(data, size - 8) ^ _K1
        pair = _seeded(b"", low, high)
    else:
        pair = _seeded(data, _K0, _K1)
    return struct.pack("<QQ", *pair)


def _seeded(data: bytes, x: int, y: int) -> tuple[int, int]:
    size = len(data)
    if size < 128:
        return _murmured(data, x, y)
    z = size * _K1 & _MASK
    v0 = _turn(y ^ _K1, 49) * _K1 + _at(data, 0) & _MASK
    v1 = _turn(v0, 42) * _K1 + _at(data, 8) & _MASK
    w0 = _turn(y + z & _MASK, 35) * _K1 + x & _MASK
    w1 = _turn(x + _at(data, 88) & _MASK, 53) * _K1 & _MASK
    whole = size // 128 * 128
    for a, b, c, d, e, f, g, h in struct.iter_unpack("<8Q", memoryview(data)[:whole]):
        x = x + y + v0 + c & _MASK
        x = (x >> 37 | x << 27 & _MASK) * _K1 & _MASK ^ w1
        y = y + v1 + g & _MASK
        y = (y >> 42 | y << 22 & _MASK) * _K1 & _MASK ^ v0
        z ^= w0
        z = z >> 33 | z << 31 & _MASK
        v0, v1 = _weak(a, b, c, d, v1 * _K1, x + w0)
        w0, w1 = _weak(e, f, g, h, z + w1, y)
        x, z = z, x
    y = y + _turn(w0, 37) * _K0 + z & _MASK
    x = x + _turn(v0 + z & _MASK, 49) * _K0 & _MASK
    done, left = 0, size - whole
    while done < left:
        done += 32
        at = size - done
        y = _turn(y - x & _MASK, 42) * _K0 + v1 & _MASK
        w0 = w0 + _at(data, at + 16) & _MASK
        x = _turn(x, 49) * _K0 + w0 & _MASK
        w0 = w0 + v0 & _MASK
        a, b, c, d = struct.unpack_from("<4Q", data, at)
        v0, v1 = _weak(a, b, c, d, v0, v1)
    x = _mixed(x, v0)
    y = _mixed(y, w0)
    return _mixed(x + v1 & _MASK, w1) + y & _MASK, _mixed(x + w1 & _MASK, y + v1 & _MASK)


def _murmured(data: bytes, a: int, b: int) -> tuple[int, int]:
    size = len(data)
    if size <= 16:
        a = _shifted(a * _K1 & _MASK) * _K1 & _MASK
        c = b * _K1 + _short(data) & _MASK
        d = _shifted(a + (_at(data, 0) if size >= 8 else c) & _MASK)
    else:
        c = _mixed(_at(data, size - 8) + _K1 & _MASK, a)
        d = _mixed(b + size & _MASK, c + _at(data, size - 16) & _MASK)
        a = a + d & _MASK
        for at in range(0, size - 16, 16):
            a = (a ^ _shifted(_at(data, at) * _K1 & _MASK) * _K1 & _MASK) * _K1 & _MASK
            b ^= a
            c = (c ^ _shifted(_at(data, at + 8) * _K1 & _MASK) * _K1 & _MASK) * _K1 & _MASK
            d ^= c
    a, b = _mixed(a, c), _mixed(d, b)
    return a ^ b, _mixed(b, a)


def _short(data: bytes) -> int:
    """The hash of at most 16 bytes."""
    size = len(data)
    if size > 8:
        a, b = _at(data, 0), _at(data, size - 8)
        return _mixed(a, _turn(b + size & _MASK, size)) ^ b
    if size >= 4:
        (a,), (b,) = struct.unpack_from("<I", data), struct.unpack_from("<I", data, size - 4)
        return _mixed(size + (a << 3), b)
    if size:
        y = data[0] + (data[size >> 1] << 8)
        z = size + (data[-1] << 2)
        return _shifted(y * _K2 & _MASK ^ z * _K3 & _MASK) * _K2 & _MASK
    return _K2


def _weak(w: int, x: int, y: int, z: int, a: int, b: int) -> tuple[int, int]:
    a = a + w & _MASK
    b = b + a + z & _MASK
    b = b >> 21 | b << 43 & _MASK
    c = a
    a = a + x + y & _MASK
    b = b + (a >> 44 | a << 20 & _MASK)
    return a + z & _MASK, b + c & _MASK


def _mixed(low: int, high: int) -> int:
    a = (low ^ high) * _MULTIPLIER & _MASK
    a ^= a >> 47
    b = (high ^ a) * _MULTIPLIER & _MASK
    b ^= b >> 47
    return b * _MULTIPLIER & _MASK


def _turn(value: int, by: int) -> int:
    return value >> by | value << (64 - by) & _MASK


def _shifted(value: int) -> int:
    return value ^ value >> 47


def _at(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")
