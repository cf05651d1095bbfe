"""The answer to a driver's first question, in ClickHouse's native format.

A driver that sends `client_protocol_version` reads the answer to its first query as a block of that
revision of the native protocol, and all later answers as the revision that this one names. The
engine writes revision 0, in which nothing precedes a block, so the answer names revision 0.
"""

from __future__ import annotations

import re

from clew.storage.formats import encode_string

HELLO_QUERY = re.compile(
    r"\s*SELECT\s+displayName\(\)\s*,\s*version\(\)\s*,\s*revision\(\)\s*,\s*timezone\(\)\s*;?\s*",
    re.IGNORECASE,
)
NAMES = ("displayName()", "version()", "revision()", "timezone()")
BLOCK_INFO = bytes((1, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0))  # no overflow row, no bucket
BLOCK_INFO_REVISION = 50264  # the first revision that has it
SERIALIZATION_REVISION = 54454  # the first whose columns have a flag for custom serialization


def hello_block(version: str, timezone: str, revision: int) -> bytes:
    """The row as a block of the protocol's `revision`; its own column `revision()` says 0."""
    values = (_string("clew"), _string(version), bytes(4), _string(timezone))
    types = ("String", "String", "UInt32", "String")
    serialization = b"\0" if revision >= SERIALIZATION_REVISION else b""
    columns = b"".join(
        _string(name) + _string(type_name) + serialization + value
        for name, type_name, value in zip(NAMES, types, values, strict=True)
    )
    info = BLOCK_INFO if revision >= BLOCK_INFO_REVISION else b""
    return info + bytes((len(NAMES), 1)) + columns


def _string(text: str) -> bytes:
    return encode_string(text.encode())
