"""Inserts in ClickHouse's compressed blocks: their checksums are verified, as the engine does it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew.clickhouse import Application, blocks
from clew.storage import Sessions, Store
from support.keys import authenticator

ROW = b'{"TraceId":"%s","SpanId":"s","ServiceName":"web","Timestamp":"2026-11-22 10:00:00"}\n'
ROWS = b"".join(ROW % str(number).encode() for number in range(100))
INSERT = "INSERT INTO otel_traces FORMAT JSONEachRow"
METHODS = {"LZ4": blocks.LZ4, "ZSTD": blocks.ZSTD}


class Port:
    """The ClickHouse port in this process, for a client that may write."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.app = Application(
            Sessions(store), iter(range(1, 100)).__next__, authenticator(writer={"ingest"})
        )

    def insert(self, body: bytes, **parameters: Any) -> httpx.Response:
        async def post() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(
                transport=transport, base_url="http://clew", auth=("writer", "writer")
            ) as client:
                query = {"query": INSERT, "decompress": 1, **parameters}
                return await client.post("/", content=body, params=query)

        return asyncio.run(post())

    def counts(self) -> tuple[int, int]:
        """Spans, and rows of the ledger."""
        with self.store.client() as client:
            sql = "SELECT (SELECT count() FROM otel.otel_traces), (SELECT count() FROM otel.clew_ledger)"
            spans, entries = client.query(sql).result_rows[0]
        return spans, entries


@pytest.fixture
def port(store: Store) -> Port:
    return Port(store)


def packed(method: int) -> bytes:
    """The rows in two blocks."""
    middle = len(ROWS) // 2
    return b"".join(blocks.compress_block(part, method) for part in (ROWS[:middle], ROWS[middle:]))


def flip(data: bytes, byte: int, bit: int = 0) -> bytes:
    return data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :]


@pytest.mark.parametrize("method", METHODS)
def test_blocks_with_right_checksums_are_stored(port: Port, method: str) -> None:
    answer = port.insert(packed(METHODS[method]))
    assert (answer.status_code, answer.content) == (200, b"")
    assert port.counts() == (100, 2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "byte",
    [0, 15, 16, 21, 25, -1],
    ids=["checksum", "checksum's end", "method", "data's size", "data", "last block's data"],
)
def test_a_block_with_a_flipped_bit_is_refused_and_nothing_is_stored(
    port: Port, method: str, byte: int
) -> None:
    whole = packed(METHODS[method])
    answer = port.insert(flip(whole, byte % len(whole)))
    assert answer.status_code == 500  # as a server answers this error
    assert answer.headers["x-clickhouse-exception-code"] == "40"
    assert re.fullmatch(
        r"Code: 40\. DB::Exception: Checksum doesn't match: corrupted data\. "
        r"Reference: [0-9a-f]{32}\. Actual: [0-9a-f]{32}\. Size of compressed block: \d+\. "
        r"\(CHECKSUM_DOESNT_MATCH\) \(version [\d.]+ \(chDB\)\)\n",
        answer.text,
    )
    assert port.counts() == (0, 0)


def test_a_client_may_turn_verification_off(port: Port) -> None:
    damaged = flip(packed(blocks.LZ4), 0)
    off = {"http_native_compression_disable_checksumming_on_decompress": 1}
    assert port.insert(damaged, **off).status_code == 200
    assert port.counts() == (100, 2)


# The engine compresses the columns of its tables in the same blocks: it is the reference for them.


@pytest.fixture
def column(store: Store) -> Any:
    """Makes a table with one column of strings and a codec. Returns the column's file."""
    assert store.directory is not None
    directory = store.directory

    def make(codec: str, rows: int) -> Path:
        with store.client() as client:
            client.command("DROP TABLE IF EXISTS default.compressed SYNC")
            client.command(
                f"CREATE TABLE default.compressed (a UInt64 CODEC({codec})) "
                "ENGINE = MergeTree ORDER BY tuple() SETTINGS min_bytes_for_wide_part = 0"
            )
            client.command(
                "INSERT INTO default.compressed SELECT cityHash64(number) FROM numbers({rows:UInt64})",
                parameters={"rows": rows},
            )
            part = client.command(
                "SELECT path FROM system.parts WHERE table = 'compressed' AND active"
            )
        return directory / str(part) / "a.bin"

    yield make
    with store.client() as client:
        client.command("DROP TABLE IF EXISTS default.compressed SYNC")


@pytest.mark.parametrize("codec", ["LZ4", "ZSTD", "NONE"])
def test_blocks_that_the_engine_wrote_have_right_checksums(
    store: Store, column: Callable[[str, int], Path], codec: str
) -> None:
    plain = blocks.decompress_blocks(column(codec, 100_000).read_bytes(), 1 << 20)
    assert len(plain) == 8 * 100_000
    with store.client() as client:
        values = client.query("SELECT a FROM default.compressed LIMIT 3").result_columns[0]
    assert plain[:24] == b"".join(value.to_bytes(8, "little") for value in values)


def test_the_engine_writes_the_error_in_the_same_form(
    store: Store, column: Callable[[str, int], Path]
) -> None:
    file = column("LZ4", 1000)  # a small block: the engine looks for the one bit that explains it
    damaged = flip(flip(file.read_bytes(), 100), 101)
    file.write_bytes(damaged)
    connection = store.connect()
    with pytest.raises(RuntimeError) as engine:
        connection.query("SELECT sum(a) FROM default.compressed", "Null")
    connection.close()
    with pytest.raises(blocks.ChecksumError) as ours:
        blocks.decompress_blocks(damaged, 1 << 20)
    assert f"Code: 40. DB::Exception: {ours.value}: While reading" in str(engine.value)
