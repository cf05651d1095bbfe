"""ClickHouse over HTTP, parts that need no engine: INSERT heads, compression, the hello block."""

from __future__ import annotations

import base64
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.clickhouse import blocks, encodings, inserts, native
from clew.clickhouse.query import credentials
from clew.clickhouse.response import content_type
from clew.storage import EngineError, ErrorCode, Insert


@pytest.mark.parametrize(
    ("text", "table", "columns", "format_name", "rows"),
    [
        (b"INSERT INTO t VALUES (1)", "t", (), "Values", b" (1)"),
        (b"insert into t(a,b) values(1)", "t", ("a", "b"), "Values", b"(1)"),
        (b"INSERT INTO otel.t FORMAT CSV\n1\n", "t", (), "CSV", b"1\n"),
        (b"INSERT INTO t FORMAT Native\n\n\x01", "t", (), "Native", b"\n\x01"),
        (b"INSERT INTO t FORMAT Native\r\n\x01", "t", (), "Native", b"\x01"),
        (b"INSERT INTO TABLE `o`.\"t\" (`a.b`, \"c\") FORMAT CSV", "t", ("a.b", "c"), "CSV", b""),
        (b"INSERT INTO t (Events.Name, a) FORMAT CSV", "t", ("Events.Name", "a"), "CSV", b""),
        (b"/* x */ INSERT -- y\n INTO t FORMAT JSONEachRow {}", "t", (), "JSONEachRow", b"{}"),
        (b"INSERT INTO t (a) SETTINGS x = 1, y = 'FORMAT z\\'' FORMAT CSV\n1", "t", ("a",), "CSV", b"1"),
        (b"INSERT INTO `a\\`b` VALUES ", "a`b", (), "Values", b" "),
    ],
)  # fmt: skip
def test_an_insert_head_ends_where_its_rows_begin(
    text: bytes, table: str, columns: tuple[str, ...], format_name: str, rows: bytes
) -> None:
    assert inserts.is_insert(text)
    head = inserts.parse_head(text)
    assert head.insert == Insert(table, columns, format_name)
    assert text[head.length :] == rows


def test_an_insert_head_has_settings_and_a_database() -> None:
    head = inserts.parse_head(b"INSERT INTO t SETTINGS a=1, b = 'it\\'s' , c=1.5 FORMAT CSV\n")
    assert head.settings == {"a": "1", "b": "it's", "c": "1.5"}
    assert head.database == ""
    assert inserts.parse_head(b"INSERT INTO d.t FORMAT CSV").database == "d"


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT INTO t SELECT 1",
        b"INSERT INTO t (a) SELECT 1 FORMAT CSV",
        b"INSERT INTO FUNCTION file('x') VALUES (1)",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"INSERT INTO t (* EXCEPT a) VALUES (1)",
        b"INSERT INTO a.b.c VALUES (1)",
        b"INSERT INTO t",
        b"INSERT INTO t (a) WATCH x",
    ],
)
def test_an_insert_without_rows_of_its_own_is_refused(text: bytes) -> None:
    with pytest.raises(EngineError):
        inserts.parse_head(text)


def test_other_statements_are_not_inserts() -> None:
    for text in (b"SELECT 1", b"INSERTED", b"-- INSERT INTO t\nSELECT 1", b"", b"'INSERT INTO t'"):
        assert not inserts.is_insert(text)


# Computed with another implementation, over the bytes (7 i + 3) mod 256.
HASHES = {
    0: "2b9ac064fc9df03d291ee592c340b53c",
    1: "555db5cc909437391f57cd6430b1f22a",
    16: "792b9c7fab9ce7217a3f3135c21556a3",
    64: "ef2a43c18ed512d41432d8bb0c635457",
    127: "429982623c2a1c1feade014b6020585d",
    144: "7d76859b7b1639d6c6073157f40ba107",
    300: "11ae28450c6a30d6ef1725ab1ce5c237",
    1000: "7323377b8c534b982087686bc5cbe6f6",
}


@pytest.mark.parametrize("size", HASHES)
def test_the_checksum_of_a_block(size: int) -> None:
    data = bytes((7 * index + 3) % 256 for index in range(size))
    assert blocks.checksum(data).hex() == HASHES[size]


@pytest.mark.parametrize("method", [blocks.LZ4, blocks.ZSTD])
def test_blocks_round_trip(method: int) -> None:
    data = bytes(3 << 20) + os.urandom(1000)
    compressor = blocks.BlockCompressor(method)
    pieces = (data[start : start + 100_000] for start in range(0, len(data), 100_000))
    packed = b"".join(map(compressor.add, pieces)) + compressor.end()
    assert len(packed) < len(data) // 100
    assert blocks.decompress_blocks(packed, len(data)) == data
    assert len(blocks.decompress_blocks(packed, len(data) - 1)) == len(data)
    assert compressor.end() == b""


DETERMINISTIC = settings(deadline=None, database=None, derandomize=True)
METHODS = st.sampled_from([blocks.LZ4, blocks.ZSTD])
COMPRESSED_SIZE = range(17, 21)  # bytes of a block: checksum, method, size, size of the data


@DETERMINISTIC
@given(st.binary(min_size=1, max_size=2000), METHODS, st.integers(min_value=0))
def test_a_block_with_any_flipped_bit_is_refused(data: bytes, method: int, bit: int) -> None:
    damaged = bytearray(blocks.compress_block(data, method))
    byte, bit = divmod(bit % (8 * len(damaged)), 8)
    damaged[byte] ^= 1 << bit
    with pytest.raises(EngineError) as caught:
        encodings.decompress_blocks(bytes(damaged), 1 << 20)
    codes = {ErrorCode.CHECKSUM_DOESNT_MATCH}
    if byte in COMPRESSED_SIZE:  # the block may seem to be longer than the body
        codes.add(ErrorCode.CANNOT_DECOMPRESS)
    assert caught.value.code in codes


@DETERMINISTIC
@given(st.lists(st.binary(max_size=500), min_size=1, max_size=4), METHODS, st.data())
def test_blocks_are_refused_when_they_are_cut_off(
    pieces: list[bytes], method: int, data: st.DataObject
) -> None:
    packed = [blocks.compress_block(piece, method) for piece in pieces]
    whole = b"".join(packed)
    assert encodings.decompress_blocks(whole, 1 << 20) == b"".join(pieces)
    size = data.draw(st.integers(1, len(packed[-1]) - 1))
    with pytest.raises(EngineError) as caught:
        encodings.decompress_blocks(whole[:-size], 1 << 20)
    assert caught.value.code == ErrorCode.CANNOT_DECOMPRESS


@DETERMINISTIC
@given(st.binary(max_size=500), METHODS, st.binary(min_size=1, max_size=50))
def test_damage_without_checksums_is_refused_or_stays_within_the_limit(
    data: bytes, method: int, damage: bytes
) -> None:
    body = blocks.compress_block(data, method)[16:]
    start = len(damage) % len(body)
    damaged = bytes(16) + body[:start] + damage + body[start + len(damage) :]
    try:
        plain = blocks.decompress_blocks(damaged, 1000, verify=False)
    except ValueError:
        return
    assert len(plain) <= 1001


def test_the_error_of_a_wrong_checksum_is_a_servers() -> None:
    block = blocks.compress_block(b"hello", blocks.LZ4)
    damaged = bytes([block[0] ^ 1]) + block[1:]
    with pytest.raises(EngineError) as caught:
        encodings.decompress_blocks(damaged, 1 << 20)
    assert caught.value.code == 40
    text = re.fullmatch(
        r"Checksum doesn't match: corrupted data\. Reference: ([0-9a-f]{32})\. "
        r"Actual: ([0-9a-f]{32})\. Size of compressed block: (\d+)\. \(CHECKSUM_DOESNT_MATCH\)",
        caught.value.text,
    )
    assert text
    reference, actual, size = text.groups()
    assert (reference[:-2], int(reference[-2:], 16) ^ 1) == (actual[:-2], int(actual[-2:], 16))
    assert int(size) == len(block) - 16
    assert encodings.decompress_blocks(damaged, 1 << 20, verify=False) == b"hello"


def test_the_encoding_is_negotiated() -> None:
    assert encodings.negotiate("gzip, deflate, br, zstd") == "zstd"
    assert encodings.negotiate("gzip;q=0.5, br") == "gzip"
    assert encodings.negotiate("zstd;q=0, deflate") == "deflate"
    assert encodings.negotiate("br, identity, *") == ""
    assert encodings.negotiate("") == ""


def test_the_hello_block_has_the_revision_of_the_request() -> None:
    plain = native.hello_block("26.9.2.1", "UTC", 0)
    assert plain.startswith(b"\x04\x01\x0ddisplayName()\x06String\x04clew")
    assert native.hello_block("26.9.2.1", "UTC", 50264) == native.BLOCK_INFO + plain
    assert len(native.hello_block("26.9.2.1", "UTC", 54460)) == len(plain) + 8 + 4
    assert native.HELLO_QUERY.fullmatch(
        " select displayName(),version(), revision(), timezone();\n"
    )
    assert not native.HELLO_QUERY.fullmatch(
        "SELECT displayName(), version(), revision(), timezone(), 1"
    )


def test_credentials_are_taken_from_headers_then_parameters() -> None:
    basic = "Basic " + base64.b64encode(b"a:b:c").decode()
    assert credentials({}, {}) == ("default", "")
    assert credentials({"user": "u", "password": "p"}, {}) == ("u", "p")
    assert credentials({"user": "u"}, {"authorization": basic}) == ("a", "b:c")
    assert credentials({}, {"x-clickhouse-user": "x", "authorization": basic}) == ("x", "")
    assert credentials({}, {"x-clickhouse-key": "k"}) == ("default", "k")
    for wrong in ("Basic %", "Bearer x", "Basic /w=="):
        assert credentials({"user": "default"}, {"authorization": wrong}) == ("", "")


def test_the_content_type_of_a_format() -> None:
    assert content_type("TSVWithNames").startswith("text/tab-separated-values")
    assert content_type("JSONCompactEachRow").startswith("application/x-ndjson")
    assert content_type("JSON").startswith("application/json")
    assert content_type("Native") == "application/octet-stream"
