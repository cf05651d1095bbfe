"""Parses the head of an INSERT: everything before its rows.

The text of the head is never run. The statement that is run is written anew from the table, the
columns and the format that are parsed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from clew.storage import ErrorCode, Insert, refusal

MAX_HEAD = 256 << 10  # bytes of a statement without its rows

_SPACE = rb"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*"
_NAME = rb"(?:[A-Za-z_]\w*|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\")"
_INSERT = re.compile(_SPACE + rb"INSERT\b", re.IGNORECASE | re.DOTALL)
_COLUMN = rb"%b(?:\s*\.\s*%b)?" % (_NAME, _NAME)
_HEAD = re.compile(
    rb"%(s)bINSERT\s%(s)b(?:INTO\s%(s)b)?(?:TABLE\s%(s)b)?"
    rb"(?P<table>%(n)b(?:\s*\.\s*%(n)b)?)%(s)b"
    rb"(?:\((?P<columns>%(s)b%(c)b%(s)b(?:,%(s)b%(c)b%(s)b)*)\)%(s)b)?"
    rb"(?:SETTINGS\s(?P<settings>[^'\"`]*?(?:'(?:[^'\\]|\\.)*'[^'\"`]*?)*)(?=FORMAT\b|VALUES\b))?"
    rb"(?:VALUES\b|FORMAT\s%(s)b(?P<format>\w+))" % {b"s": _SPACE, b"n": _NAME, b"c": _COLUMN},
    re.IGNORECASE | re.DOTALL,
)
_SETTING = re.compile(rb"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([\w.+-]+))\s*(?:,|\Z)")
_BEFORE_ROWS = re.compile(rb"[ \t\f]*(?:\r?\n)?")


@dataclass(frozen=True)
class InsertHead:
    """An INSERT without its rows.

    insert    table, columns and format
    database  the one that the table is named with; empty without one
    settings  of its SETTINGS clause
    length    bytes of the text that come before the rows
    """

    insert: Insert
    database: str
    settings: dict[str, str]
    length: int


def is_insert(text: bytes) -> bool:
    """Whether a statement begins like an INSERT."""
    return _INSERT.match(text[:MAX_HEAD]) is not None


def has_rows(text: bytes) -> bool:
    """Whether an INSERT's rows are sent with it, and are not those of a SELECT."""
    head = _HEAD.match(text[:MAX_HEAD])
    return head is not None and b"SELECT" not in (head["settings"] or b"").upper()


def parse_head(text: bytes) -> InsertHead:
    """The head of the INSERT at the start of `text`. Raises EngineError for one without rows of its
    own, or with SETTINGS that cannot be read."""
    head = _HEAD.match(text[:MAX_HEAD])
    if head is None:
        raise refusal(
            ErrorCode.NOT_IMPLEMENTED,
            "Only INSERT INTO table (columns) FORMAT name, or VALUES, with its rows in the request "
            "can be run here.",
        )
    *database, table = _names(head["table"])
    columns = (".".join(_names(name)) for name in re.findall(_COLUMN, head["columns"] or b""))
    format_name = (head["format"] or b"Values").decode()
    before_rows = _BEFORE_ROWS.match(text, head.end()) if head["format"] else None
    return InsertHead(
        Insert(table, tuple(columns), format_name),
        database[0] if database else "",
        _settings(head["settings"] or b""),
        before_rows.end() if before_rows else head.end(),
    )


def _names(text: bytes) -> list[str]:
    return [_unquote(name) for name in re.findall(_NAME, text)]


def _unquote(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] in '`"' else text


def _settings(text: bytes) -> dict[str, str]:
    settings: dict[str, str] = {}
    offset = 0
    while offset < len(text.rstrip()):
        setting = _SETTING.match(text, offset)
        if setting is None:
            raise refusal(ErrorCode.SYNTAX_ERROR, "Syntax error in the SETTINGS.")
        value = setting[3] if setting[2] is None else re.sub(rb"\\(.)", rb"\1", setting[2])
        settings[setting[1].decode()] = value.decode("utf-8", "replace")
        offset = setting.end()
    return settings
