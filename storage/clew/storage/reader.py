"""The named queries of queries/*.sql, run with bound parameters and within limits.

A query is one SELECT with server-side parameters (`{name:Type}`). Two things are put together from
files: `-- with NAME` in its first line puts queries/NAME.sql, which holds common table expressions,
in front of it; and `/*filters*/` gives way to a fragment from clew.storage.filters, whose values
are parameters too. Nothing from outside is ever written into SQL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.storage.errors import StorageError
from clew.storage.store import Store

Row = dict[str, Any]

# Part of each statement: a session's settings would outlast it. readonly=1 also blocks the
# functions that reach outside, such as file() and url().
SETTINGS = """
SETTINGS
    readonly = 1,
    max_execution_time = 20,
    max_memory_usage = 2147483648,
    max_rows_to_read = 5000000000,
    max_result_rows = 1000000,
    max_result_bytes = 1073741824,
    max_threads = 2,
    output_format_json_quote_64bit_integers = 0,
    output_format_json_quote_denormals = 0,
    output_format_json_named_tuples_as_objects = 1,
    output_format_json_validate_utf8 = 1
"""
# TIMEOUT_EXCEEDED, MEMORY_LIMIT_EXCEEDED, TOO_MANY_ROWS, TOO_MANY_ROWS_OR_BYTES
LIMIT_CODES = ("Code: 159.", "Code: 241.", "Code: 158.", "Code: 396.")


class LimitExceeded(StorageError):
    """A query took more time, rows or memory than a read may; a smaller window needs less."""


class Reader:
    """Runs queries. Start one `Reading` for each request."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def begin(self) -> Reading:
        return Reading(self.store)

    def answers(self) -> bool:
        """Whether the database answers at all."""
        try:
            with self.store.client() as client:
                return str(client.command("SELECT 1")) == "1"
        except (ClickHouseError, StorageError):
            return False


class Reading:
    """The queries of one request; `statements` are those that ran, ready to be run again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.statements: list[str] = []

    def rows(self, query: str, filters: str = "", **parameters: Any) -> list[Row]:
        """The rows of queries/`query`.sql, each a dict by column.

        Raises LimitExceeded when the query is past the limits, StorageError when it fails."""
        sql = sql_of(query).replace("/*filters*/", filters)
        self.statements.append(spelled_out(sql, parameters))
        with self._store.client() as client:
            try:
                answer = client.raw_query(sql + SETTINGS, parameters=parameters, fmt="JSONEachRow")
            except ClickHouseError as error:
                if any(code in str(error) for code in LIMIT_CODES):
                    raise LimitExceeded(f"{query}: {str(error).splitlines()[0]}") from error
                raise StorageError(f"{query}: {error}") from error
        return [json.loads(line) for line in answer.splitlines()]


@cache
def sql_of(query: str) -> str:
    """The text of queries/`query`.sql, with what it stands on."""
    text = files("clew.storage").joinpath("queries", f"{query}.sql").read_text(encoding="utf-8")
    included = re.match(r"-- with (\w+)\n", text)
    return f"{sql_of(included[1])}{text[included.end() :]}" if included else text


def spelled_out(sql: str, parameters: Mapping[str, Any]) -> str:
    """The statement with its parameters as literals: to be read, and run, by a person."""

    def literal(match: re.Match[str]) -> str:
        return f"CAST({_literal(parameters[match[1]])}, {_literal(match[2])})"

    return re.sub(r"\{(\w+):([^{}]+)\}", literal, sql).strip()


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))})"
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
