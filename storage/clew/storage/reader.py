"""Reads: named queries (clew.storage.sql), run with bound parameters and within limits."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, overload

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

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
Forms = Mapping[str, str]  # by what stands behind `-- with`, the file for it

# Part of each statement: a session's settings would outlast it. readonly=1 also blocks the
# functions that reach outside, such as file() and url(). KILL QUERY finds it by the comment. Joins
# have the few rows on the right: where the engine judged that itself, it took the large side.
SETTINGS = """
SETTINGS
    readonly = 1,
    log_comment = '{tag}',
    max_execution_time = {seconds:.3f},
    max_memory_usage = {limits.memory},
    max_rows_to_read = {limits.rows_read},
    max_result_rows = {limits.rows},
    max_result_bytes = {limits.bytes},
    max_threads = 2,
    query_plan_join_swap_table = 'false',
    output_format_json_quote_64bit_integers = 0,
    output_format_json_quote_denormals = 0,
    output_format_json_named_tuples_as_objects = 1,
    output_format_json_validate_utf8 = 1
"""
TIMES = ", date_time_output_format = 'iso'"


@dataclass(frozen=True)
class Limits:
    """What one request may take: seconds in all, and of each of its statements bytes of memory,
    rows read, rows and bytes of the result."""

    seconds: float = 20.0
    memory: int = 2 << 30
    rows_read: int = 5_000_000_000
    rows: int = 1_000_000
    bytes: int = 1 << 30


# Of all requests, the statements that run beside the one their own thread runs: few, as cores are,
# and the engine takes two for a large statement.
BESIDE = ThreadPoolExecutor(2, thread_name_prefix="clew-read")


class LimitExceeded(StorageError):
    """A query took more time, rows or memory than a read may; a smaller window needs less.

    `retry`: the same may succeed later, since what others do has a part in it."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class Cancelled(StorageError):
    """Nobody waits for the answer any more."""


class Reader:
    """Runs queries. Start one `Reading` for each request."""

    def __init__(self, store: Store, limits: Limits | None = None) -> None:
        self.store = store
        self._limits = limits or Limits()

    def begin(self) -> Reading:
        return Reading(self.store, self._limits)

    def answers(self) -> bool:
        """Whether the database answers at all."""
        try:
            with self.store.client() as client:
                return str(client.command("SELECT 1")) == "1"
        except (ClickHouseError, StorageError):
            return False


class Reading:
    """The queries of one request, which share its time; `statements` are those that ran, ready to
    be run again. Several threads may ask at once."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._until = time.monotonic() + limits.seconds
        self._tag = secrets.token_hex(16)
        self._cancelled = False
        self._all: list[str] = []
        self._here = threading.local()

    @property
    def statements(self) -> list[str]:
        """Where the calling thread's statements go."""
        here: list[str] = getattr(self._here, "statements", self._all)
        return here

    @overload
    def together(self, a: Call[A], b: Call[B], /) -> tuple[A, B]: ...
    @overload
    def together(self, a: Call[A], b: Call[B], c: Call[C], /) -> tuple[A, B, C]: ...
    @overload
    def together(self, a: Call[A], b: Call[B], c: Call[C], d: Call[D], /) -> tuple[A, B, C, D]: ...
    @overload
    def together(
        self, a: Call[A], b: Call[B], c: Call[C], d: Call[D], e: Call[E], /
    ) -> tuple[A, B, C, D, E]: ...
    @overload
    def together(
        self, a: Call[A], b: Call[B], c: Call[C], d: Call[D], e: Call[E], f: Call[F], /
    ) -> tuple[A, B, C, D, E, F]: ...
    @overload
    def together(self, *calls: Call[A]) -> Sequence[A]: ...

    def together(self, *calls: Call[Any]) -> Sequence[Any]:
        """What each of the calls returns. They run at the same time as far as threads are free, and
        the calling thread takes part, so calls may do the same again. Their statements stand in the
        calls' order; of several errors the first call's is raised, once nothing runs any more."""
        ours = self.statements
        branches: list[list[str]] = [[] for _ in calls]
        futures: list[Future[Any]] = [
            BESIDE.submit(self._apart, call, branch)
            for call, branch in zip(calls[1:], branches[1:], strict=True)
        ]
        done = [_outcome(partial(self._apart, calls[0], branches[0]))] if calls else []
        for call, branch, future in zip(calls[1:], branches[1:], futures, strict=True):
            # What nobody has begun with is done here.
            if future.cancel():
                done.append(_outcome(partial(self._apart, call, branch)))
            else:
                done.append(_outcome(future.result))
        ours.extend(statement for branch in branches for statement in branch)
        return tuple(outcome() for outcome in done)

    def _apart(self, call: Callable[[], Any], branch: list[str]) -> Any:
        outer = getattr(self._here, "statements", None)
        self._here.statements = branch
        try:
            return call()
        finally:
            if outer is None:
                del self._here.statements
            else:
                self._here.statements = outer

    def rows(
        self, query: Query[RowT], filters: str = "", forms: Forms | None = None, **parameters: Any
    ) -> list[RowT]:
        """The rows of a query, each a dict by column.

        Raises LimitExceeded when the query is past the limits, Cancelled after `cancel`,
        StorageError when it fails."""
        sql = sql_of(query.package, query.name, **(forms or {})).replace("/*filters*/", filters)
        return [json.loads(line) for line in self._read(query.name, sql, parameters).splitlines()]

    def text(self, query: Query[Any], **parameters: Any) -> bytes:
        """The rows of a query as lines of JSON, times as RFC 3339. Raises as `rows`."""
        return self._read(query.name, sql_of(query.package, query.name), parameters, TIMES)

    def _read(self, query: str, sql: str, parameters: dict[str, Any], settings: str = "") -> bytes:
        self.statements.append(spelled_out(sql, parameters))
        settings = self._settings(query) + settings
        with self._store.client() as client:
            try:
                return client.raw_query(sql + settings, parameters=parameters, fmt="JSONEachRow")
            except ClickHouseError as error:
                raise self._failed(query, str(error)) from error

    def cancel(self) -> None:
        """End what is running, at its time limit at the latest, and begin nothing more."""
        self._cancelled = True
        with suppress(ClickHouseError, StorageError), self._store.client() as client:
            client.raw_query(self._store.cluster.kill, parameters={"tag": self._tag})

    def _settings(self, query: str) -> str:
        left = self._until - time.monotonic()
        if self._cancelled:
            raise Cancelled(query)
        if left <= 0:
            raise LimitExceeded(self._out_of_time(query), retry=True)
        # Zero would mean: for ever.
        return SETTINGS.format(tag=self._tag, seconds=max(left, 0.001), limits=self._limits)

    def _failed(self, query: str, text: str) -> StorageError:
        limits, line = self._limits, text.splitlines()[0]
        if self._cancelled:
            return Cancelled(query)
        if "Code: 159." in text:  # TIMEOUT_EXCEEDED
            return LimitExceeded(self._out_of_time(query), retry=True)
        if "Code: 241." in text:  # MEMORY_LIMIT_EXCEEDED, of this query or of all together
            alone = "Query memory limit" in text
            needs = f"{query} needs more than {limits.memory >> 20} MiB of memory"
            return LimitExceeded(needs if alone else f"{query}: {line}", retry=not alone)
        if "Code: 158." in text:  # TOO_MANY_ROWS
            return LimitExceeded(f"{query} reads more than {limits.rows_read:,} rows", retry=False)
        if "Code: 396." in text:  # TOO_MANY_ROWS_OR_BYTES
            most = f"{limits.rows:,} rows or {limits.bytes >> 20} MiB"
            return LimitExceeded(f"{query} returns more than {most}", retry=False)
        return StorageError(f"{query}: {text}")

    def _out_of_time(self, query: str) -> str:
        return f"it takes more than {self._limits.seconds:g} s; {query} was running"


def _outcome(call: Callable[[], Any]) -> Callable[[], Any]:
    """Calls it now; the function returned returns what it returned, or raises what it raised."""
    future: Future[Any] = Future()
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)
    return future.result


def spelled_out(sql: str, parameters: Mapping[str, Any]) -> str:
    """The statement with its parameters as literals: for people to read, and to run."""

    def cast(placeholder: re.Match[str]) -> str:
        return f"CAST({literal(parameters[placeholder[1]])}, {literal(placeholder[2])})"

    return re.sub(r"\{(\w+):([^{}]+)\}", cast, sql).strip()
