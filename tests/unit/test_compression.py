"""Responses are compressed where the client accepts it and where it is worth it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import pytest
import zstandard

from clew.api.compression import Compression, accepted_encoding

LARGE = b'{"a":"' + b"b" * 5000 + b'"}'


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("zstd;q=0, gzip;q=1.0", "gzip"),
        ("zstd; q=0.000, gzip; q=0", ""),
        ("*", "zstd"),
        ("*;q=0", ""),
        ("br", ""),
        ("", ""),
    ],
)
def test_the_encoding_is_one_that_the_client_accepts(header: str, encoding: str) -> None:
    assert accepted_encoding(header) == encoding


def _response(
    accept: str, pieces: list[bytes], **headers: str
) -> tuple[dict[str, str], list[bytes]]:
    """Headers and pieces of what an application's response is sent as."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given = {"content_type": "application/json", **headers}
        raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in given.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        for number, piece in enumerate(pieces, 1):
            more = number < len(pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"accept-encoding", accept.encode())]}
    asyncio.run(Compression(app)(scope, None, send))  # type: ignore[arg-type]
    head = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return head, [message["body"] for message in sent[1:]]


def test_a_large_response_is_compressed() -> None:
    length = str(len(LARGE))
    headers, (body,) = _response("zstd", [LARGE], content_length=length)
    assert headers["content-encoding"] == "zstd"
    assert headers["vary"] == "Accept-Encoding"
    assert "content-length" not in headers
    assert zstandard.ZstdDecompressor().decompressobj().decompress(body) == LARGE
    headers, (body,) = _response("gzip", [LARGE], content_length=length)
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == LARGE


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_each_piece_of_a_stream_can_be_read_when_it_comes(encoding: str) -> None:
    pieces = [b"[1,", b"2,", b"3]", b""]
    _, sent = _response(encoding, pieces)
    reader: Any = (
        zstandard.ZstdDecompressor().decompressobj()
        if encoding == "zstd"
        else zlib.decompressobj(31)
    )
    assert [reader.decompress(piece) for piece in sent] == pieces


@pytest.mark.parametrize(
    ("accept", "pieces", "headers"),
    [
        ("identity", [LARGE], {}),
        ("gzip", [b"{}"], {}),
        ("gzip", [LARGE], {"content_type": "image/png"}),
        ("gzip", [LARGE], {"content_encoding": "br"}),
    ],
)
def test_other_responses_are_left_as_they_are(
    accept: str, pieces: list[bytes], headers: dict[str, str]
) -> None:
    assert _response(accept, pieces, **headers)[1] == pieces
