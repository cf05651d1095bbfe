"""ClickHouse's formats: which of them an answer can be streamed in, and rows can be inserted in;
and rows in its Native format.

The engine returns a streamed answer in chunks, and writes every chunk as a whole document. Only
formats in which two documents, one after the other, are one document can be streamed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

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


# Types of numbers, and their codes in `struct`. Times are numbers: seconds, milli- or nanoseconds.
_NUMBERS = {
    "Bool": "?", "UInt8": "B", "UInt16": "H", "UInt32": "I", "UInt64": "Q", "Int32": "i",
    "Int64": "q", "Float64": "d", "DateTime": "I", "DateTime64(3)": "Q", "DateTime64(9)": "Q",
}  # fmt: skip
MAP = "Map(String, String)"
Map = tuple[int, bytes, bytes]  # the number of its entries; their keys and their values, encoded


def native_block(columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows, at least one, as a block in the Native format, of revision 0.

    `columns` are the types by name, in the order of a row's values. Values are numbers (unsigned in
    a DateTime64: its bits are what counts), bytes for a String, lists for an Array, tuples for a
    Tuple of simple types, None or a number for a Nullable number, and a Map."""
    values = list(zip(*rows, strict=True))
    parts = [encode_varint(len(columns)), encode_varint(len(values[0]))]
    for (name, kind), column in zip(columns.items(), values, strict=True):
        parts += (encode_string(name.encode()), encode_string(kind.encode()))
        parts.append(_encode_column(kind, column))
    return b"".join(parts)


def encode_string(text: bytes) -> bytes:
    """A String: the bytes behind their number."""
    return encode_varint(len(text)) + text


def encode_varint(value: int) -> bytes:
    """A LEB128 number."""
    if value < 0x80:
        return _SMALL_VARINTS[value]
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


_SMALL_VARINTS = [bytes((value,)) for value in range(0x80)]


def _encode_column(kind: str, values: Sequence[Any]) -> bytes:
    if code := _NUMBERS.get(kind):
        return struct.pack(f"<{len(values)}{code}", *values)
    if kind == "String":
        return b"".join(map(encode_string, values))
    if kind == MAP:
        ends, keys, texts = accumulate(entry[0] for entry in values), [], []
        for _, encoded_keys, encoded_texts in values:
            keys.append(encoded_keys)
            texts.append(encoded_texts)
        return struct.pack(f"<{len(values)}Q", *ends) + b"".join((*keys, *texts))
    if kind.startswith("Nullable("):
        inner = kind.removeprefix("Nullable(").removesuffix(")")
        are_null = bytes(value is None for value in values)
        return are_null + _encode_column(inner, [value or 0 for value in values])
    if kind.startswith("Tuple("):
        kinds = kind.removeprefix("Tuple(").removesuffix(")").split(", ")
        elements = zip(*values, strict=True) if values else ((),) * len(kinds)
        return b"".join(map(_encode_column, kinds, elements))
    inner = kind.removeprefix("Array(").removesuffix(")")
    ends = accumulate(map(len, values))
    return struct.pack(f"<{len(values)}Q", *ends) + _encode_column(
        inner, list(chain.from_iterable(values))
    )


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """The LEB128 number at `offset`, and the offset after it."""
    value = shift = 0
    while True:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 0x80:
            return value, offset
