"""Runs named queries (clew.storage.sql) for reads: bound parameters, read-only, within limits."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, overload

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.storage.changes import StatementCache
from clew.storage.errors import StorageError
from clew.storage.quoting import literal
from clew.storage.sql import Query, RowT, sql_of
from clew.storage.store import Store

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
Call = Callable[[], A]
Statement = tuple[str, Mapping[str, Any]]  # a statement and its parameters
Forms = Mapping[str, str]  # for a name after `-- with`, the file to use

# The settings are part of each statement, because a session's settings would outlast it. readonly=1
# also blocks functions that reach outside the engine, such as file() and url(). KILL QUERY finds a
# statement by its comment. Joins have their few rows on the right; when the engine chooses the
# side itself (query_plan_join_swap_table), it takes the large one.
SETTINGS = """
SETTINGS
    readonly = 1,
    log_comment = '{tag}',
    max_execution_time = {seconds:.3f},
    max_memory_usage = {limits.memory},
    max_rows_to_read = {rows_read},
    max_result_rows = {limits.rows},
    max_result_bytes = {limits.bytes},
    max_threads = {threads},
    query_plan_join_swap_table = 'false',
    output_format_json_quote_64bit_integers = 0,
    output_format_json_quote_denormals = 0,
    output_format_json_named_tuples_as_objects = 1,
    output_format_json_validate_utf8 = 1
"""
# Of rows that are sent as they are.
TEXT_SETTINGS = """,
    date_time_output_format = 'iso',
    output_format_json_skip_null_value_in_named_tuples = 1
"""


@dataclass(frozen=True)
class Limits:
    """Limits of one request: `seconds` for all its statements; for each statement bytes of memory,
    rows read, and rows and bytes of its result."""

    seconds: float = 20.0
    memory: int = 2 << 30
    rows_read: int = 5_000_000_000
    rows: int = 1_000_000
    bytes: int = 1 << 30


THREADS = 2  # of the engine, for one statement
# Runs statements of all requests beside the one that a request's own thread runs. Few threads, as
# there are few cores, and the engine uses two for a large statement.
PARALLEL_READS = ThreadPoolExecutor(2, thread_name_prefix="clew-read")


class LimitExceeded(StorageError):
    """A query exceeded a limit of time, rows or memory. A smaller window needs less.

    `retry`: the same request may succeed later, because the load of others contributed."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class TooManyRows(LimitExceeded):
    """A query would read more rows than it may: the engine says so before it reads any."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry=False)


class Cancelled(StorageError):
    """The client has disconnected."""


class Reader:
    """Runs queries: one `Reading` for each request. `cache`: of answers that would be the same
    again; only where no other process writes to the tables."""

    def __init__(
        self, store: Store, limits: Limits | None = None, cache: StatementCache | None = None
    ) -> None:
        self.store = store
        self._limits = limits or Limits()
        self._cache = cache

    def begin(self, *, cached: bool = True) -> Reading:
        """`cached`: whether answers may come from the cache."""
        return Reading(self.store, self._limits, self._cache if cached else None)

    def answers(self) -> bool:
        """Whether the database answers at all."""
        try:
            with self.store.client() as client:
                return str(client.command("SELECT 1")) == "1"
        except (ClickHouseError, StorageError):
            return False


class Reading:
    """Runs the queries of one request, which share its time. Threads may call it concurrently.

    `threads`: of the engine, for a statement. One takes a twentieth less of CPU time, and no more
    time where several statements run beside one another."""

    def __init__(self, store: Store, limits: Limits, cache: StatementCache | None = None) -> None:
        self._store = store
        self._limits = limits
        self._cache = cache
        self.threads = THREADS
        self._until = time.monotonic() + limits.seconds
        self._tag = secrets.token_hex(16)
        self._cancelled = False
        self._statements: list[Statement] = []
        self._branch = threading.local()  # `statements`: the list of the thread's branch

    @property
    def statements(self) -> list[str]:
        """The statements that ran, ready to be run again. Within `in_parallel`, those of the
        calling branch."""
        return [with_literals(sql, parameters) for sql, parameters in self._ran]

    @property
    def _ran(self) -> list[Statement]:
        statements: list[Statement] = getattr(self._branch, "statements", self._statements)
        return statements

    @overload
    def in_parallel(self, a: Call[A], b: Call[B], /) -> tuple[A, B]: ...
    @overload
    def in_parallel(self, a: Call[A], b: Call[B], c: Call[C], /) -> tuple[A, B, C]: ...
    @overload
    def in_parallel(
        self, a: Call[A], b: Call[B], c: Call[C], d: Call[D], /
    ) -> tuple[A, B, C, D]: ...
    @overload
    def in_parallel(
        self, a: Call[A], b: Call[B], c: Call[C], d: Call[D], e: Call[E], /
    ) -> tuple[A, B, C, D, E]: ...
    @overload
    def in_parallel(
        self, a: Call[A], b: Call[B], c: Call[C], d: Call[D], e: Call[E], f: Call[F], /
    ) -> tuple[A, B, C, D, E, F]: ...
    @overload
    def in_parallel(self, *calls: Call[A]) -> Sequence[A]: ...

    def in_parallel(self, *calls: Call[Any]) -> Sequence[Any]:
        """The results of the calls, which run at the same time as far as threads are free. The
        calling thread runs calls too, so calls may be nested. Statements are listed in the order
        of the calls. When several calls raise, the first call's error is raised, after all of
        them have ended."""
        statements = self._ran
        branches: list[list[Statement]] = [[] for _ in calls]
        futures: list[Future[Any]] = [
            PARALLEL_READS.submit(self._run_branch, call, branch)
            for call, branch in zip(calls[1:], branches[1:], strict=True)
        ]
        outcomes = [_outcome(partial(self._run_branch, calls[0], branches[0]))] if calls else []
        for call, branch, future in zip(calls[1:], branches[1:], futures, strict=True):
            # A call that no thread has started runs here.
            if future.cancel():
                outcomes.append(_outcome(partial(self._run_branch, call, branch)))
            else:
                outcomes.append(_outcome(future.result))
        statements.extend(statement for branch in branches for statement in branch)
        return tuple(outcome() for outcome in outcomes)

    def _run_branch(self, call: Callable[[], Any], branch: list[Statement]) -> Any:
        outer = getattr(self._branch, "statements", None)
        self._branch.statements = branch
        try:
            return call()
        finally:
            if outer is None:
                del self._branch.statements
            else:
                self._branch.statements = outer

    def rows(
        self,
        query: Query[RowT],
        filters: str = "",
        forms: Forms | None = None,
        rows_read: int | None = None,
        **parameters: Any,
    ) -> list[RowT]:
        """The rows of a query, as dicts by column. `filters`: a fragment from
        clew.storage.filters, in the place of `/*filters*/`. `rows_read`: that it may read at most.

        Raises LimitExceeded when the query exceeds a limit, Cancelled after `cancel`, StorageError
        when it fails."""
        sql = sql_of(query.package, query.name, **(forms or {})).replace("/*filters*/", filters)
        text = self._read(query.name, sql, parameters, rows_read=rows_read)
        return [json.loads(line) for line in text.splitlines()]

    def text(self, query: Query[Any], **parameters: Any) -> bytes:
        """The rows of a query as lines of JSON: times as RFC 3339, and without the members of named
        tuples that are NULL. Raises the same as `rows`."""
        return self._read(query.name, sql_of(query.package, query.name), parameters, TEXT_SETTINGS)

    def columns(
        self,
        query: Query[Any],
        forms: Forms | None = None,
        rows_read: int | None = None,
        **parameters: Any,
    ) -> dict[str, Sequence[Any]]:
        """The rows of a query as columns by name (none if there are no rows), for many rows of few
        numbers and texts: 100,000 rows of 10 columns take half of the CPU time that JSON takes. The
        columns must be numbers or text in UTF-8, or arrays of these, and are not to be changed. The
        engine uses one thread, which is the least CPU time. Raises the same as `rows`."""
        sql = sql_of(query.package, query.name, **(forms or {}))

        def read() -> tuple[dict[str, Sequence[Any]], int]:
            with self._statement(query.name, sql, parameters, 1, rows_read) as (client, settings):
                result = client.query(sql + settings, parameters=parameters, column_oriented=True)
                columns = dict(zip(result.column_names, result.result_columns, strict=True))
                return columns, 64 * sum(map(_length, columns.values()))

        return self._cached(f"columns {rows_read}", sql, parameters, read)

    def _read(
        self,
        query: str,
        sql: str,
        parameters: dict[str, Any],
        settings: str = "",
        rows_read: int | None = None,
    ) -> bytes:
        def read() -> tuple[bytes, int]:
            text = self._read_now(query, sql, parameters, settings, rows_read)
            return text, len(text)

        return self._cached(f"{settings}{rows_read}", sql, parameters, read)

    def _cached(
        self, form: str, sql: str, parameters: dict[str, Any], read: Callable[[], tuple[A, int]]
    ) -> A:
        """An answer from the cache, or what `read` returns with its size in bytes."""
        version = self._cache.version(sql) if self._cache else None
        if self._cache is None or version is None:
            return read()[0]
        key = f"{sql}{form}{sorted(parameters.items())}"
        answer: A | None = self._cache.get(key, version)
        if answer is None:
            answer, size = read()
            self._cache.put(key, version, answer, size)
        else:
            self._ran.append((sql, parameters))
        return answer

    def _read_now(
        self,
        query: str,
        sql: str,
        parameters: dict[str, Any],
        settings: str,
        rows_read: int | None,
    ) -> bytes:
        with self._statement(query, sql, parameters, rows_read=rows_read) as (client, limits):
            text = sql + limits + settings
            return client.raw_query(text, parameters=parameters, fmt="JSONEachRow")

    @contextmanager
    def _statement(
        self,
        query: str,
        sql: str,
        parameters: dict[str, Any],
        threads: int | None = None,
        rows_read: int | None = None,
    ) -> Iterator[tuple[Client, str]]:
        """A client for a statement, and the statement's settings."""
        self._ran.append((sql, parameters))
        settings = self._settings(
            query, threads or self.threads, rows_read or self._limits.rows_read
        )
        with self._store.client() as client:
            try:
                yield client, settings
            except ClickHouseError as error:
                raise self._failed(query, str(error)) from error

    def cancel(self) -> None:
        """End the running statements (at their time limit at the latest) and start no more. For
        another thread."""
        self._cancelled = True
        with suppress(ClickHouseError, StorageError), self._store.client() as client:
            client.raw_query(self._store.cluster.kill, parameters={"tag": self._tag})

    def _settings(self, query: str, threads: int, rows_read: int) -> str:
        seconds_left = self._until - time.monotonic()
        if self._cancelled:
            raise Cancelled(query)
        if seconds_left <= 0:
            raise LimitExceeded(self._out_of_time(query), retry=True)
        # Zero would mean no limit.
        seconds = max(seconds_left, 0.001)
        limits = self._limits
        return SETTINGS.format(
            tag=self._tag, seconds=seconds, limits=limits, rows_read=rows_read, threads=threads
        )

    def _failed(self, query: str, text: str) -> StorageError:
        limits, line = self._limits, text.splitlines()[0]
        if self._cancelled:
            return Cancelled(query)
        if "Code: 159." in text:  # TIMEOUT_EXCEEDED
            self._until = time.monotonic()  # the engine may have stopped a moment early
            return LimitExceeded(self._out_of_time(query), retry=True)
        if "Code: 241." in text:  # MEMORY_LIMIT_EXCEEDED, of this query or of the whole engine
            if "Query memory limit" not in text:
                return LimitExceeded(f"{query}: {line}", retry=True)
            memory = f"{limits.memory >> 20} MiB of memory"
            return LimitExceeded(f"{query} needs more than {memory}", retry=False)
        if "Code: 158." in text:  # TOO_MANY_ROWS
            return TooManyRows(f"{query} reads more than {limits.rows_read:,} rows")
        if "Code: 396." in text:  # TOO_MANY_ROWS_OR_BYTES
            limit = f"{limits.rows:,} rows or {limits.bytes >> 20} MiB"
            return LimitExceeded(f"{query} returns more than {limit}", retry=False)
        return StorageError(f"{query}: {text}")

    def _out_of_time(self, query: str) -> str:
        return f"it takes more than {self._limits.seconds:g} s, last in {query}"


def _length(column: Sequence[Any]) -> int:
    """How many values there are in a column, of numbers and texts or of lists of these."""
    return sum(map(len, column)) if column and isinstance(column[0], list) else len(column)


def _outcome(call: Callable[[], Any]) -> Callable[[], Any]:
    """Calls it now. The function returned gives its result, or raises its error."""
    future: Future[Any] = Future()
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)
    return future.result


def with_literals(sql: str, parameters: Mapping[str, Any]) -> str:
    """The statement with its parameters as literals, for a person to read and to run."""

    def cast(placeholder: re.Match[str]) -> str:
        return f"CAST({literal(parameters[placeholder[1]])}, {literal(placeholder[2])})"

    return re.sub(r"\{(\w+):([^{}]+)\}", cast, sql).strip()
