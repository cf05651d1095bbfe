"""The one answer that is not the engine's own: who is there, in a driver's first words.

A driver that says `client_protocol_version` reads this answer as that revision of the native
protocol, whatever it is, and every later one as the revision that this answer names. The engine
writes revision 0, where blocks have nothing in front, so that is what it is told.
"""

from __future__ import annotations

import re

HELLO = re.compile(
    r"\s*SELECT\s+displayName\(\)\s*,\s*version\(\)\s*,\s*revision\(\)\s*,\s*timezone\(\)\s*;?\s*",
    re.IGNORECASE,
)
NAMES = ("displayName()", "version()", "revision()", "timezone()")
BLOCK_INFO = bytes((1, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0))  # no overflow, no bucket
WITH_BLOCK_INFO = 50264  # the first revision that has it
WITH_SERIALIZATION = 54454  # the first that says, of each column, whether its form is unusual


def hello(version: str, timezone: str, revision: int) -> bytes:
    """The row as a block of that revision, which says that what follows is of revision 0."""
    values = (_string("clew"), _string(version), bytes(4), _string(timezone))
    types = ("String", "String", "UInt32", "String")
    usual = b"\0" if revision >= WITH_SERIALIZATION else b""
    columns = b"".join(
        _string(name) + _string(of) + usual + value
        for name, of, value in zip(NAMES, types, values, strict=True)
    )
    info = BLOCK_INFO if revision >= WITH_BLOCK_INFO else b""
    return info + bytes((len(NAMES), 1)) + columns


def _string(text: str) -> bytes:
    data = text.encode()
    length, prefix = len(data), b""
    while length >= 0x80:
        prefix += bytes((length & 0x7F | 0x80,))
        length >>= 7
    return prefix + bytes((length,)) + data
