"""Protobuf's wire format, as far as OTLP needs it.

The encoders put bytes together and make no objects of messages: what is the same in many spans and
log records is encoded once, and protobuf need not be imported into the service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

_SMALL = tuple(bytes((number,)) for number in range(128))
_DOUBLE = Struct("<d")
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1


def varint(number: int) -> bytes:
    """An integer of 64 bits; a negative one as its two's complement."""
    if 0 <= number < 128:
        return _SMALL[number]
    if number < 0:
        number += 1 << 64
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def sized(content: bytes) -> bytes:
    """Bytes after their length: a text, bytes or a message, behind the tag of its field."""
    length = len(content)
    if length < 128:
        return _SMALL[length] + content
    if length < 16384:
        return bytes((length & 127 | 128, length >> 7)) + content
    return varint(length) + content


def utf8(text: str) -> bytes:
    """The text, with `?` for what UTF-8 does not have: the halves of surrogate pairs."""
    return text.encode("utf-8", "replace")


def any_value(value: Any) -> bytes:
    """The message AnyValue. Raises ValueError for an integer of more than 64 bits, TypeError for
    what OTLP has no type for."""
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, str):
        return b"\x0a" + sized(utf8(value))
    if isinstance(value, int):
        if not _LOWEST <= value <= _HIGHEST:
            raise ValueError("an integer of more than 64 bits")
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE.pack(value)
    if isinstance(value, bytes):
        return b"\x3a" + sized(value)
    if isinstance(value, Sequence):
        return b"\x2a" + sized(b"".join([b"\x0a" + sized(any_value(item)) for item in value]))
    if isinstance(value, Mapping):
        pairs = [b"\x0a" + key_value(str(key), item) for key, item in value.items()]
        return b"\x32" + sized(b"".join(pairs))
    raise TypeError(f"no value of an attribute: {type(value)}")


def key_value(key: str, value: Any) -> bytes:
    """The message KeyValue after its length. Raises as any_value does."""
    return sized(b"\x0a" + sized(utf8(key)) + b"\x12" + sized(any_value(value)))
