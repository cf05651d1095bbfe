"""Content encodings: those of the OpenTelemetry Collector, never beyond the limit."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import cramjam
import lz4.frame
import pytest
import zstandard

from clew.collector.inflating import (
    INFLATORS,
    MAX_BODY,
    TooLarge,
    Unreadable,
    UnsupportedEncoding,
    inflate,
)

Compress = Callable[[bytes], bytes]


def snappy_block(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def snappy_framed(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress(body))


def deflate_stream(body: bytes) -> bytes:
    """Without the header and checksum of the zlib format."""
    stream = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


COMPRESSED: list[tuple[str, Compress]] = [
    ("gzip", lambda body: gzip.compress(body, 1)),
    ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:], 1)),
    ("x-gzip", lambda body: gzip.compress(body, 1)),
    ("deflate", lambda body: zlib.compress(body, 1)),
    ("deflate", deflate_stream),
    ("zlib", lambda body: zlib.compress(body, 1)),
    ("zstd", zstandard.ZstdCompressor().compress),
    ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress),
    ("snappy", snappy_block),
    ("snappy", snappy_framed),
    ("x-snappy-framed", snappy_framed),
    ("lz4", lz4.frame.compress),
    ("lz4", lambda body: lz4.frame.compress(body[:9]) + lz4.frame.compress(body[9:])),
]


def test_every_encoding_is_tested() -> None:
    assert {encoding for encoding, _ in COMPRESSED} == set(INFLATORS)


@pytest.mark.parametrize("body", [b"x", b"some bytes" * 100_000])
@pytest.mark.parametrize(("encoding", "compress"), COMPRESSED)
def test_a_body_is_inflated(encoding: str, compress: Compress, body: bytes) -> None:
    assert inflate(compress(body), encoding) == body


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_a_body_without_an_encoding_stays_as_it_is(encoding: str) -> None:
    assert inflate(b"body", encoding) == b"body"


@pytest.mark.parametrize("body", [b"not compressed", b"", b"\xff" * 20])
@pytest.mark.parametrize("encoding", INFLATORS)
def test_a_body_that_does_not_have_its_encoding_is_unreadable(encoding: str, body: bytes) -> None:
    if encoding == "zstd" and not body:
        return  # no frame at all is an empty body
    with pytest.raises(Unreadable, match=encoding):
        inflate(body, encoding)


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSED)
def test_a_body_that_is_cut_off_is_unreadable(encoding: str, compress: Compress) -> None:
    body = compress(bytes(range(256)) * 1000)
    if encoding == "zstd":
        return  # what can be read of it is no request
    with pytest.raises(Unreadable):
        inflate(body[:-20], encoding)


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("lz4", lz4.frame.compress)]
)
def test_a_body_of_many_empty_members_is_unreadable(encoding: str, compress: Compress) -> None:
    with pytest.raises(Unreadable, match="members"):
        inflate(compress(b"") * 1000, encoding)


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSED)
def test_a_compression_bomb_is_too_large(encoding: str, compress: Compress) -> None:
    with pytest.raises(TooLarge, match="after decompression"):
        inflate(compress(bytes(MAX_BODY + 1)), encoding)


def test_the_error_of_an_unknown_encoding_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip, zstd, deflate, zlib, snappy, "):
        inflate(b"", "br")
