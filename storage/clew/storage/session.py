"""One client's statement in the embedded engine, under a role and resource limits.

A session is one connection to the engine and runs one statement: nothing is kept for the next. The
engine enforces the role's rights (clew.storage.rights); the statement's syntax is checked before it
runs (clew.storage.examination).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.storage.errors import EngineError, ErrorCode, StorageError, refusal
from clew.storage.examination import PEER_RULES, READ_RULES, check_setting, examine
from clew.storage.formats import STREAMED, STREAMED_WITH_HEADER, chunk_header
from clew.storage.inserts import INSERT_SETTINGS
from clew.storage.quoting import assignments, identifier, literal, parameter_value
from clew.storage.rights import (
    BODIES,
    FIXED_SETTINGS,
    PEER,
    PEER_DEFAULTS,
    PEER_FIXED_SETTINGS,
    PEER_INSERT,
    PEER_KILL,
    PEER_PROFILE,
    PEER_TAG,
    PROFILE,
    SCHEMA_SETTINGS,
    Bound,
)
from clew.storage.store import Store

SEGMENT = "Segment"  # the column of the exporter's tables that names an insert
MAX_WHOLE_ANSWER = 256 << 20  # bytes of an answer that cannot be streamed: it is held in memory
KILL_KIND = "KillQueryQuery"
KILL_PEER_STATEMENT = f"KILL QUERY WHERE Settings['{PEER_TAG}'] = {{tag:String}} ASYNC"
COLUMNS = """
SELECT name, type, default_kind FROM system.columns
WHERE database = 'otel' AND table = {table:String} ORDER BY position
"""


@dataclass
class Summary:
    """What a statement has read, returned and written so far: rows and bytes. `began` is the time
    of `time.monotonic` at which it started."""

    read_rows: int = 0
    read_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, result: Any) -> None:
        """Count one result, or one chunk of a result, of the embedded engine."""
        self.read_rows += result.storage_rows_read()
        self.read_bytes += result.storage_bytes_read()
        self.result_rows += result.rows_read()
        self.result_bytes += result.bytes_read()


@dataclass(frozen=True)
class Insert:
    """Where rows go to, and their format. Without `columns` they have the exporter's columns."""

    table: str
    columns: tuple[str, ...]
    format: str


class Session:
    """One connection to the engine, for one statement. `cancel` may be called by another thread.

    format      the format of the statement's FORMAT clause; empty without one
    write_kind  the statement's kind when it writes, else empty
    summary     what it has read and returned so far
    """

    def __init__(
        self, store: Store, bounds: Mapping[str, Bound], connection: Any, role: str
    ) -> None:
        self._store = store
        self._connection = connection
        self._role = role
        self._is_peer = role == PEER
        self._rules = PEER_RULES if self._is_peer else READ_RULES
        self._bounds = {} if self._is_peer else bounds
        self._tag = secrets.token_hex(16)
        self._sql = ""
        self._is_select = False
        self._limits: dict[str, str] = {}
        self._parameters: dict[str, str] = {}
        self.format = ""
        self.write_kind = ""
        self.summary = Summary()

    def prepare(
        self,
        sql: str,
        database: str,
        settings: Mapping[str, str],
        parameters: Mapping[str, str],
    ) -> None:
        """Check the statement and its settings, and restrict the connection's rights. Raises
        EngineError for what may not be run."""
        classes = self._connection.classify_query(sql)
        # Before any of the client's settings are in force: they could change what the engine says.
        statement = examine(sql, self._query, self._bounds, parameters, self._rules)
        # With some of a peer's settings the engine classifies a SELECT as more than reading.
        reads = self._is_peer or "READ_ONLY" in str(classes["query_class"])
        if classes["statement_count"] != 1 or not reads:
            raise refusal(
                ErrorCode.ACCESS_DENIED, "Not enough privileges: the statement does more than read."
            )
        checked = self._check_settings(settings)
        self._sql, self._parameters = sql, dict(parameters)
        self._is_select = statement.is_select
        self.format, self.write_kind = statement.format, statement.write_kind
        self._execute(f"USE {identifier(database)}")
        self.restrict(checked, PEER_KILL if self.write_kind == KILL_KIND else "")

    def read(self, default_format: str) -> Iterator[bytes]:
        """Run the prepared statement. Yields the answer in chunks. Raises EngineError."""
        format_name = self.format or default_format
        if self._is_select and format_name in STREAMED:
            yield from self._stream(format_name)
        elif self._is_select and STREAMED_WITH_HEADER.fullmatch(format_name):
            yield from self._stream_with_header(format_name)
        else:
            yield self._read_whole(format_name)

    def insert(self, insert: Insert, body: Path, segment: int, settings: Mapping[str, str]) -> None:
        """Insert the rows in the file `body`, as the rows of one segment. Raises EngineError."""
        checked = self._check_settings(settings)
        types = self._column_types(insert)
        names = ", ".join(map(identifier, types))
        structure = ", ".join(f"{identifier(name)} {kind}" for name, kind in types.items())
        fixed = {name: str(value) for name, value in INSERT_SETTINGS.items()}
        self.restrict(checked | fixed | {"readonly": "0"})
        with self._changing():
            self._execute(
                f"INSERT INTO otel.{insert.table} ({names}, {SEGMENT}) SELECT {names}, {segment} "
                f"FROM file({literal(str(body))}, '{insert.format}', {literal(structure)}, 'none')"
            )

    def write(self, is_connected: Callable[[], bool]) -> None:
        """Run a peer's prepared statement that writes, one at a time. Raises EngineError, also when
        the peer is no longer connected once its turn has come."""
        turn = nullcontext() if self.write_kind == KILL_KIND else self._store.write_lock
        with turn:
            _check_connected(is_connected)
            with _engine_errors(), self._changing():
                self._connection.query(self._sql, "Null", params=self._parameters)

    def insert_peer_rows(
        self,
        insert: Insert,
        body: Path,
        settings: Mapping[str, str],
        is_connected: Callable[[], bool],
    ) -> None:
        """Insert a peer's rows in the file `body`, unchanged. Raises EngineError, also when the
        peer is no longer connected once its turn has come."""
        schema = {name: value for name, value in settings.items() if name in SCHEMA_SETTINGS}
        others = {name: value for name, value in settings.items() if name not in SCHEMA_SETTINGS}
        columns = f" ({', '.join(map(identifier, insert.columns))})" if insert.columns else ""
        with self._store.write_lock, self._changing():
            _check_connected(is_connected)
            self._set(schema)
            self.restrict(self._check_settings(others), PEER_INSERT)
            self._execute(
                f"INSERT INTO otel.{identifier(insert.table)}{columns} "
                f"FROM INFILE {literal(str(body))} FORMAT {insert.format}"
            )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._store.changes.add()

    def cancel(self) -> None:
        """Kill the statement if it is running."""
        kill = KILL_PEER_STATEMENT if self._is_peer else self._store.cluster.kill
        with suppress(StorageError, ClickHouseError), self._store.client() as client:
            client.raw_query(kill, parameters={"tag": self._tag})

    def restrict(self, settings: Mapping[str, str], role: str = "") -> None:
        """Apply settings, then give up every right except those of the role, and the right to
        change settings beyond the profile's list."""
        if self._is_peer:
            self._set(PEER_DEFAULTS | PEER_FIXED_SETTINGS | {PEER_TAG: self._tag} | dict(settings))
            self._execute(f"SET ROLE {role or self._role}")
            self._execute(f"SET profile = '{PEER_PROFILE}'")
            return
        defaults = {name: str(bound.default) for name, bound in self._bounds.items()}
        self._limits = defaults | {
            name: value for name, value in settings.items() if name in defaults
        }
        self._set(FIXED_SETTINGS | {"log_comment": self._tag} | dict(settings) | self._limits)
        self._execute(f"SET ROLE {self._role}")
        self._execute(f"SET profile = '{PROFILE}'")

    def _check_settings(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {
            name: check_setting(name, value, self._query, self._bounds, self._rules)
            for name, value in settings.items()
        }

    def _column_types(self, insert: Insert) -> dict[str, str]:
        """The types of the columns to insert, by name: those that `insert` names, or all of the
        exporter's."""
        lines = self._query(COLUMNS, {"table": insert.table}).splitlines()
        known = {
            name: (kind, default) for name, kind, default in (row.split("\t") for row in lines)
        }
        for name in insert.columns:
            computed = name in known and known[name][1] in ("MATERIALIZED", "ALIAS")
            if name not in known or computed or name == SEGMENT:
                raise refusal(
                    ErrorCode.NO_SUCH_COLUMN_IN_TABLE,
                    f"No such column {name} in table otel.{insert.table}.",
                )
        # clew's own columns have defaults; the exporter's have none.
        names = insert.columns or [name for name, (_, default) in known.items() if not default]
        return {name: known[name][0] for name in names}

    def _stream(self, format_name: str) -> Iterator[bytes]:
        connection = self._connection
        with _engine_errors():
            stream = connection.send_query(self._sql, format_name, params=self._parameters)
        try:
            while True:
                with _engine_errors():
                    chunk = connection.streaming_fetch_result(stream)
                if chunk is None or chunk.rows_read() == 0:
                    stream = None
                    return
                self.summary.add(chunk)
                yield chunk.bytes()
        finally:
            if stream is not None:
                with suppress(RuntimeError):
                    connection.streaming_cancel_query(stream)

    def _stream_with_header(self, format_name: str) -> Iterator[bytes]:
        header = None
        for chunk in self._stream(format_name):
            yield chunk if header is None else chunk.removeprefix(header)
            header = chunk_header(chunk, format_name) if header is None else header
        if header is None:  # an answer without rows is streamed without its header
            yield self._read_whole(format_name)

    def _read_whole(self, format_name: str) -> bytes:
        if self._limits:
            maximum = min(int(self._limits["max_result_bytes"]), MAX_WHOLE_ANSWER)
            self._set({"max_result_bytes": str(maximum)})
        with _engine_errors():
            result = self._connection.query(self._sql, format_name, params=self._parameters)
        self.summary.add(result)
        return bytes(result.bytes())

    def _query(self, sql: str, parameters: Mapping[str, str]) -> str:
        """The answer of a statement of clew's own, as unescaped TSV without its last line break."""
        values = {name: parameter_value(value) for name, value in parameters.items()}
        with _engine_errors():
            result = self._connection.query(sql, "TSVRaw", params=values)
        return bytes(result.bytes()).decode("utf-8", "surrogateescape").removesuffix("\n")

    def _execute(self, sql: str) -> None:
        with _engine_errors():
            self._connection.query(sql, "Null")

    def _set(self, settings: Mapping[str, str]) -> None:
        if not settings:
            return
        self._execute(f"SET {assignments(settings)}")


def _check_connected(is_connected: Callable[[], bool]) -> None:
    if not is_connected():
        raise refusal(ErrorCode.QUERY_WAS_CANCELLED, "The client has disconnected.")


@contextmanager
def _engine_errors() -> Iterator[None]:
    """Raises the embedded engine's RuntimeError as EngineError."""
    try:
        yield
    except RuntimeError as error:
        raise _engine_error(str(error)) from None


def _engine_error(text: str) -> EngineError:
    """The innermost error of a text in which each layer has wrapped the one below."""
    parts = re.split(r"Code: (\d+)\. DB::Exception: ", text)
    if len(parts) < 3:
        return EngineError(ErrorCode.UNKNOWN_EXCEPTION, text)
    message = re.sub(r"( \(version [^()]*\)\.?| \([A-Z0-9_]+\)\.?)+\s*$", "", parts[-1].rstrip())
    names = re.findall(r"\(([A-Z][A-Z0-9_]+)\)", parts[-1])
    message = re.sub(r"(/[^\s:'\"]*)/" + BODIES + r"/[0-9a-f]+", "the request's body", message)
    return EngineError(int(parts[-2]), f"{message} ({names[-1]})" if names else message)
