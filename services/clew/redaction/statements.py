"""Statements without their literals, which are what users typed: the statement is kept, each
literal becomes `?`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

# A backslash escapes a quote in these, in the others only in E'...'.
_BACKSLASH = ("mysql", "mariadb", "clickhouse", "bigquery", "spark", "hive", "databricks")
# Double quotes hold a name in these, as in the standard; elsewhere, it may be a literal.
_QUOTED_NAMES = (
    *("postgresql", "redshift", "cockroachdb", "sqlite", "oracle", "sql_server", "mssql", "db2"),
    *("clickhouse", "cassandra", "snowflake", "trino", "duckdb", "firebird", "h2", "hsqldb"),
    *("teradata", "vertica", "derby", "sap", "hana", "other_sql"),
)

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
    has_quoted_names = any(name in system for name in _QUOTED_NAMES)
    names = _QUOTED_NAME if has_quoted_names else _BACKTICKED
    if any(name in system for name in _BACKSLASH):
        strings = _ESCAPED
    elif has_quoted_names:
        strings = f"{_E_STRING}|{_PLAIN}"
    else:
        strings = f"{_E_STRING}|{_AMBIGUOUS}|{_PLAIN}"
    if not has_quoted_names:
        strings = f"{strings}|{_DOUBLE}"
    if "microsoft" in system or "mssql" in system:
        names = rf"{names}|\[[^\]]*\]"
    has_hash_comments = "mysql" in system or "mariadb" in system
    comment = _COMMENT if not has_hash_comments else rf"{_COMMENT}|\#[^\r\n]*"
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


# In capitals anywhere, otherwise at the start of the text. A SELECT is one if FROM follows.
_VERB = re.compile(
    r"^\s*(?:SELECT|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM)\s"
    r"|(?-i:\b(?:SELECT|INSERT\s+INTO|UPDATE\s+\S{1,200}\s+SET|DELETE\s+FROM)\s)",
    re.IGNORECASE,
)
_FROM = re.compile(r"\sFROM\s", re.IGNORECASE)
_ERROR_PART_END = re.compile(r"\](?=\s*(?:\[parameters|\(Background|\Z)|[ \t]*\n)")
_KEY_DETAIL = re.compile(
    r"(Key \([^)\n]{0,500}\)=)\([^\n]{0,2000}?\)(?= already| is | conflicts|\.|$)", re.MULTILINE
)
_DUPLICATE = re.compile(r"(Duplicate entry )'[^\n]{0,1000}?'(?= for key)")
_PLACE = re.compile(r"(LINE \d+: )([^\n]*)")


def redact_embedded_sql(text: str) -> str:
    """Text, such as a log line or the message of a database's error, with `?` for the literals of
    the statement in it. What follows a statement is taken for its end."""
    text = _redact_part(text, "[parameters: ", lambda _values: "?")
    text = _KEY_DETAIL.sub(r"\1(?)", text)
    text = _DUPLICATE.sub(r"\1?", text)
    if "[SQL: " in text:
        return _redact_part(text, "[SQL: ", redact_sql)
    text = _PLACE.sub(lambda match: f"{match[1]}{redact_sql(match[2])}", text)
    verb = _VERB.search(text)
    if verb is None or (
        verb[0].strip().upper() == "SELECT" and not _FROM.search(text, verb.end() - 1)
    ):
        return text
    return text[: verb.start()] + redact_sql(text[verb.start() :])


def _redact_part(text: str, start: str, redact: Callable[[str], str]) -> str:
    """The text with other insides of its parts from `start` to a closing bracket, which SQLAlchemy
    writes into the messages of its errors. A part that is cut off goes to the end."""
    head, is_there, rest = text.partition(start)
    parts = [head]
    while is_there:
        end = _ERROR_PART_END.search(rest)
        inside = rest[: end.start()] if end else rest
        head, is_there, rest = (rest[end.start() :] if end else "").partition(start)
        parts += (start, redact(inside), head)
    return "".join(parts)
