"""What in the text of a statement is often slow, by sqlglot (the extra clew[advice])."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from typing import Any

MAX_LENGTH = 2000  # characters of a statement that is parsed; longer ones were cut

sqlglot: Any = None
with suppress(ImportError):
    sqlglot = import_module("sqlglot")
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


@lru_cache(1024)
def hints(statement: str) -> str:
    """Sentences for people, each after a space; empty without a hint, or without sqlglot."""
    if sqlglot is None or len(statement) >= MAX_LENGTH:
        return ""
    try:
        tree = sqlglot.parse_one(statement)
    except (sqlglot.errors.SqlglotError, RecursionError):
        return ""
    return "".join(f" {hint}" for hint in _hints(tree))


def _hints(tree: Any) -> Iterator[str]:
    sql = sqlglot.expressions
    if not isinstance(tree, sql.Select):
        return
    if any(isinstance(column, sql.Star) for column in tree.expressions):
        yield "It reads all columns: name those that are needed."
    where = tree.args.get("where")
    if where is None and tree.args.get("limit") is None and tree.args.get("group") is None:
        yield "It has neither WHERE nor LIMIT: it reads the whole table."
    if where is not None:
        for like in where.find_all(sql.Like, sql.ILike):
            if isinstance(like.expression, sql.Literal) and like.expression.this.startswith("%"):
                yield "A pattern that begins with % cannot use an ordinary index."
                break
        for equality in where.find_all(sql.EQ):
            if isinstance(equality.this, sql.Func) and equality.this.find(sql.Column):
                yield "A function around a column keeps an index on that column from being used."
                break
    offset = tree.args.get("offset")
    if offset is not None:
        yield "OFFSET reads and drops the rows before it: continue after the last key instead."
