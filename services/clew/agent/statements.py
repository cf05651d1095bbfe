"""Statements without their literals, which are what users typed: the statement is kept, each
literal becomes `?`."""

from __future__ import annotations

import re
from functools import lru_cache

# A backslash escapes a quote in these, in the others only in E'...'.
_BACKSLASH = ("mysql", "mariadb", "clickhouse", "bigquery", "spark", "hive", "databricks")
# A literal may stand in double quotes in these; elsewhere they hold a name.
_DOUBLE_QUOTED = ("mysql", "mariadb", "bigquery", "spark", "hive", "databricks")

_COMMENT = r"--[^\r\n]*|/\*.*?(?:\*/|\Z)"
_DOLLAR_QUOTED = r"\$(?P<tag>[A-Za-z_]\w*)?\$.*?(?:\$(?(tag)(?P=tag))\$|\Z)"
_ORACLE = (
    r"\b[nN]?[qQ]'(?:\[.*?(?:\]'|\Z)|\{.*?(?:\}'|\Z)|\(.*?(?:\)'|\Z)|<.*?(?:>'|\Z)"
    r"|(?P<mark>[^\s\w]).*?(?:(?P=mark)'|\Z))"
)
_ESCAPED = r"(?:\b[eEnNxXbBrR]|\b[uU]&|\b_\w+\s?)?'(?:[^'\\]|''|\\.)*(?:'|\Z)"
_E_STRING = r"\b[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z)"
_PLAIN = r"(?:\b[nNxXbB]|\b[uU]&)?'(?:[^']|'')*(?:'|\Z)"
# Where a backslash may or may not escape the quote, everything from there on is a literal.
_AMBIGUOUS = r"(?:\b[nNxXbB]|\b[uU]&)?'(?:[^'\\]|''|\\[^'])*\\'.*\Z"
_NUMBER = r"(?<![\w$@:?#.])[+]?(?:0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?!\w)"
_QUOTED_NAME = r"`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\""
_BACKTICKED = r"`(?:[^`]|``)*`"
_DOUBLE = r"\"(?:[^\"\\]|\"\"|\\.)*(?:\"|\Z)"
_QUOTED_IN_COMMENT = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")


@lru_cache(maxsize=64)
def _tokens(system: str) -> re.Pattern[str]:
    """Comments, names and literals of a system's SQL, in this order of groups."""
    is_mysql_like = any(name in system for name in _DOUBLE_QUOTED)
    names = _BACKTICKED if is_mysql_like or not system else _QUOTED_NAME
    if any(name in system for name in _BACKSLASH):
        strings = _ESCAPED
    elif system:
        strings = f"{_E_STRING}|{_PLAIN}"
    else:
        strings = f"{_E_STRING}|{_AMBIGUOUS}|{_PLAIN}"
    if is_mysql_like or not system:
        strings = f"{strings}|{_DOUBLE}"
    if "microsoft" in system or "mssql" in system:
        names = rf"{names}|\[[^\]]*\]"
    comment = _COMMENT if not is_mysql_like else rf"{_COMMENT}|\#[^\r\n]*"
    literal = f"{_ORACLE}|{_DOLLAR_QUOTED}|{strings}|{_NUMBER}"
    return re.compile(f"(?P<comment>{comment})|(?P<name>{names})|(?P<literal>{literal})", re.DOTALL)


def redact_sql(statement: str, system: str = "") -> str:
    """The statement with `?` for strings and numbers. `system`: as in db.system.name; without it,
    what may be a literal is one."""
    return _tokens(system.lower()).sub(_replace, statement)


def _replace(match: re.Match[str]) -> str:
    if match["literal"] is not None:
        return "?"
    if match["comment"] is not None:
        return _QUOTED_IN_COMMENT.sub("?", match["comment"])
    return match[0]


_DOCUMENT_LITERAL = re.compile(
    r"(?P<string>\"(?:[^\"\\]|\\.)*(?:\"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z))(?P<colon>\s*:)?"
    r"|(?<![\w\"'$.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w)"
)


def redact_documents(statement: str) -> str:
    """A statement of JSON or the like with `?` for its values; names are kept."""
    return _DOCUMENT_LITERAL.sub(lambda match: match[0] if match["colon"] else "?", statement)


_START = re.compile(
    r"^\s*(?:SELECT\s.{0,4000}?\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s)"
    r"|(?-i:\b(?:SELECT\s[^;]{0,4000}?\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s))",
    re.IGNORECASE | re.DOTALL,
)
_IN_ERRORS = re.compile(
    r"\[SQL: (?P<sql>.{0,20000}?)\](?=\s*(?:\n|\[parameters|\(Background|\Z))", re.DOTALL
)
_PARAMETERS = re.compile(r"\[parameters: .{0,20000}?\](?=\s*(?:\n|\(Background|\Z))", re.DOTALL)
_KEY_DETAIL = re.compile(r"(Key \([^)]*\)=)\([^\n]*?\)(?= |$)", re.MULTILINE)
_DUPLICATE = re.compile(r"(Duplicate entry )'[^\n]*?'(?= for key)")
_PLACE = re.compile(r"(LINE \d+: )([^\n]*)")


def redact_embedded_sql(text: str) -> str:
    """Text, such as a log line or the message of a database's error, with `?` for the literals of
    the statement in it. What follows a statement is taken for its end."""
    text = _PARAMETERS.sub("[parameters: ?]", text)
    if _IN_ERRORS.search(text):
        return _KEY_DETAIL.sub(
            r"\1(?)", _IN_ERRORS.sub(lambda match: f"[SQL: {redact_sql(match['sql'])}]", text)
        )
    text = _KEY_DETAIL.sub(r"\1(?)", text)
    text = _DUPLICATE.sub(r"\1?", text)
    text = _PLACE.sub(lambda match: f"{match[1]}{redact_sql(match[2])}", text)
    if start := _START.search(text):
        return text[: start.start()] + redact_sql(text[start.start() :])
    return text
