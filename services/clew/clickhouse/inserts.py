"""Where an INSERT's statement ends and its rows begin.

The statement that is run is not this text: it is written anew from the table, the columns and the
format that are found here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from clew.storage import EngineError, Insert

SYNTAX_ERROR, NOT_IMPLEMENTED = 62, 48
MOST_HEAD = 256 << 10  # bytes of a statement, rows apart

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
class Found:
    """An INSERT: what into, its own settings, and how many bytes of the text are statement."""

    insert: Insert
    database: str
    settings: dict[str, str]
    length: int


def is_insert(text: bytes) -> bool:
    return _INSERT.match(text[:MOST_HEAD]) is not None


def has_rows(text: bytes) -> bool:
    """Whether its rows come with it, and not from a SELECT."""
    head = _HEAD.match(text[:MOST_HEAD])
    return head is not None and b"SELECT" not in (head["settings"] or b"").upper()


def find(text: bytes, default_format: str) -> Found:
    """The INSERT at the start of `text`. Raises EngineError for one that has no rows of its own."""
    head = _HEAD.match(text[:MOST_HEAD])
    if head is None:
        raise EngineError(
            NOT_IMPLEMENTED,
            "Only INSERT INTO table (columns) FORMAT name, or VALUES, with its rows in the request "
            "can be run here. (NOT_IMPLEMENTED)",
        )
    *database, table = _names(head["table"])
    columns = _split(head["columns"] or b"")
    form = (head["format"] or b"Values").decode()
    rows = _BEFORE_ROWS.match(text, head.end()) if head["format"] else None
    return Found(
        Insert(table, tuple(columns), form),
        database[0] if database else "",
        _settings(head["settings"] or b""),
        rows.end() if rows else head.end(),
    )


def _split(text: bytes) -> list[str]:
    return [".".join(_names(each)) for each in re.findall(_COLUMN, text)]


def _names(text: bytes) -> list[str]:
    return [_unquoted(each) for each in re.findall(_NAME, text)]


def _unquoted(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] in '`"' else text


def _settings(text: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text.rstrip()):
        setting = _SETTING.match(text, at)
        if setting is None:
            raise EngineError(SYNTAX_ERROR, "Syntax error in the SETTINGS. (SYNTAX_ERROR)")
        value = setting[3] if setting[2] is None else re.sub(rb"\\(.)", rb"\1", setting[2])
        found[setting[1].decode()] = value.decode("utf-8", "replace")
        at = setting.end()
    return found
