"""ClickHouse's formats: which of them an answer can be streamed in, and rows can be inserted in.

The engine returns a streamed answer in chunks, and writes every chunk as a whole document. Only
formats in which two documents, one after the other, are one document can be streamed.
"""

from __future__ import annotations

import re

# A document is rows and nothing else.
_STREAMED = """
CSV CustomSeparated JSONCompactEachRow JSONCompactStringsEachRow JSONEachRow JSONLines
JSONStringsEachRow LineAsString MsgPack NDJSON Native RawBLOB RowBinary TSKV TSV TSVRaw
TabSeparated TabSeparatedRaw
"""
STREAMED = frozenset(_STREAMED.split())
# A document is a header and rows: the header is removed from every chunk but the first.
STREAMED_WITH_HEADER = re.compile(
    r"(?:CSV|TSV|TSVRaw|TabSeparated|TabSeparatedRaw|JSONCompactEachRow|JSONCompactStringsEachRow"
    r"|RowBinary)WithNames(?:AndTypes)?"
)
INSERTABLE = re.compile(
    r"Native|RowBinary\w*|JSON(?!AsObject|AsString)\w*|NDJSON|BSONEachRow|(CSV|TSV|TabSeparated)\w*"
    r"|Values|Parquet|Arrow|ArrowStream|ORC|MsgPack|TSKV"
)


def chunk_header(chunk: bytes, format_name: str) -> bytes:
    """The header of a chunk in one of STREAMED_WITH_HEADER: one row of names, or, in formats
    ...AndTypes, a row of names and a row of types."""
    rows = 2 if format_name.endswith("AndTypes") else 1
    if format_name.startswith("RowBinary"):
        return chunk[: _binary_header_size(chunk, rows)]
    end, quoted = -1, False
    for _ in range(rows):
        while True:
            end = chunk.index(b"\n", end + 1)
            # Names in CSV are quoted, and may contain line breaks.
            quoted = format_name.startswith("CSV") and chunk.count(b'"', 0, end) % 2 == 1
            if not quoted:
                break
    return chunk[: end + 1]


def _binary_header_size(chunk: bytes, rows: int) -> int:
    columns, offset = _varint(chunk, 0)
    for _ in range(columns * rows):
        length, offset = _varint(chunk, offset)
        offset += length
    return offset


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """The LEB128 number at `offset`, and the offset after it."""
    value = shift = 0
    while True:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 0x80:
            return value, offset
