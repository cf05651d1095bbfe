"""Statements of somebody else, run by the embedded engine within a role's rights and within limits.

A session is one connection to the engine and serves one statement: nothing of it is left for the
next. What it may do is the engine's business (clew.storage.rights), as is the statement's syntax
(clew.storage.examination).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.storage.errors import EngineError, StorageError
from clew.storage.examination import DENIED, OWNING, READING, check_setting, examine
from clew.storage.ingest import INSERT_SETTINGS, SIGNALS, Ingest, Stored
from clew.storage.ledger import RECEIVED, STORED, LedgerRow
from clew.storage.rights import (
    BODIES,
    EXPORTER_TABLES,
    FIXED,
    OWN,
    OWN_FIXED,
    OWN_KILL,
    OWN_MARK,
    OWN_PROFILE,
    OWN_ROWS,
    OWN_USUAL,
    PROFILE,
    READ,
    SCHEMA,
    bounds,
)
from clew.storage.store import DATABASE, Store

NO_SUCH_COLUMN, UNKNOWN_FORMAT, NO_SPACE, CANCELLED, UNKNOWN = 16, 73, 243, 394, 1002
SEGMENT = "Segment"
WAIT = "wait_end_of_query"  # a server's, of HTTP

# Formats in which two answers, one behind the other, are one answer: as long as it takes, chunk by
# chunk. The engine writes each chunk as a document of its own; in these, a chunk is rows and
# nothing else, or begins with a header that is left out of all but the first.
_STREAMED = """
CSV CustomSeparated JSONCompactEachRow JSONCompactStringsEachRow JSONEachRow JSONLines
JSONStringsEachRow LineAsString MsgPack NDJSON Native RawBLOB RowBinary TSKV TSV TSVRaw
TabSeparated TabSeparatedRaw
"""
STREAMED = frozenset(_STREAMED.split())
HEADED = re.compile(
    r"(?:CSV|TSV|TSVRaw|TabSeparated|TabSeparatedRaw|JSONCompactEachRow|JSONCompactStringsEachRow"
    r"|RowBinary)WithNames(?:AndTypes)?"
)
MOST_AT_ONCE = 256 << 20  # bytes of an answer in any other format: it is in the memory as a whole

INPUT_FORMATS = re.compile(
    r"Native|RowBinary\w*|JSON(?!AsObject|AsString)\w*|NDJSON|BSONEachRow|(CSV|TSV|TabSeparated)\w*"
    r"|Values|Parquet|Arrow|ArrowStream|ORC|MsgPack|TSKV"
)

SEGMENTS = "ProtobufSingle"  # another clew's, with a schema that is a text
KILL_OWN = f"KILL QUERY WHERE Settings['{OWN_MARK}'] = {{tag:String}} ASYNC"
KILLING = "KillQueryQuery"

ABOUT = "SELECT version(), timezone()"
COLUMNS = """
SELECT name, type, default_kind FROM system.columns
WHERE database = 'otel' AND table = {table:String} ORDER BY position
"""


@dataclass
class Summary:
    """What a statement took so far."""

    read_rows: int = 0
    read_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, result: Any) -> None:
        self.read_rows += result.storage_rows_read()
        self.read_bytes += result.storage_bytes_read()
        self.result_rows += result.rows_read()
        self.result_bytes += result.bytes_read()


@dataclass(frozen=True)
class Insert:
    """`columns` is empty when the statement names none: the exporter's are meant."""

    table: str
    columns: tuple[str, ...]
    format: str


class Sessions:
    """Opens sessions in an embedded engine. `inserted` is told of which signal rows came in."""

    def __init__(self, store: Store, inserted: Callable[[str], None] = lambda signal: None) -> None:
        if store.directory is None:
            raise ValueError("a server has sessions of its own")
        self.store = store
        self.bounds = bounds(store.memory)
        self._inserted = inserted
        self._bodies = store.directory / BODIES
        self._bodies.mkdir(mode=0o700, exist_ok=True)
        for left in self._bodies.iterdir():
            left.unlink()
        with store.client() as client:
            ((self.version, self.timezone),) = client.query(ABOUT).result_rows

    @contextmanager
    def reading(
        self,
        sql: str,
        *,
        role: str = READ,
        database: str = DATABASE,
        settings: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> Iterator[Session]:
        """A session in which `sql` can be run, or EngineError for what may not be asked."""
        with self._connected(role) as session:
            session.prepare(sql, database, settings or {}, parameters or {})
            yield session

    def insert_own(
        self,
        insert: Insert,
        body: Iterable[bytes],
        settings: Mapping[str, str],
        wanted: Callable[[], bool],
    ) -> None:
        """Put another clew's rows into a table, as they are: segments and ledger are its own.

        Nothing is stored when they are not `wanted` any more once it is their turn. Raises
        EngineError; some rows may be stored then, as with a server."""
        if insert.format != SEGMENTS and not INPUT_FORMATS.fullmatch(insert.format):
            raise EngineError(UNKNOWN_FORMAT, f"Unknown format {insert.format}. (UNKNOWN_FORMAT)")
        with self._written(body) as path, self._connected(OWN) as session:
            session.insert_own(insert, path, self._schema(settings), wanted)
        self.wrote(insert.table)

    def wrote(self, table: str) -> None:
        """Another clew put rows into a table."""
        for signal in SIGNALS.values():
            if table in signal.landings or table in signal.tables:
                self._inserted(signal.name)

    def _schema(self, settings: Mapping[str, str]) -> dict[str, str]:
        """The settings, with the schema in a file: from a text the engine makes one where it was
        started. Of one schema there is one file, for the engine keeps what it has read."""
        text = settings.get(SCHEMA[0], "")
        kept = {name: value for name, value in settings.items() if name not in SCHEMA}
        if not text:
            return kept
        if settings.get(SCHEMA[1]) != "string":
            raise EngineError(DENIED, "Not enough privileges: a schema is a text. (ACCESS_DENIED)")
        message = settings.get(SCHEMA[2], "")
        path = self._bodies / f"{hashlib.sha256(text.encode()).hexdigest()}.proto"
        try:
            if not path.exists():
                new = path.with_suffix(f".{secrets.token_hex(8)}")
                new.write_text(text, encoding="utf-8")
                new.rename(path)
        except OSError as error:
            raise EngineError(NO_SPACE, f"{error.strerror}. (NOT_ENOUGH_SPACE)") from error
        return kept | {SCHEMA[0]: f"{path}:{message}"}

    def insert(
        self,
        insert: Insert,
        body: Iterable[bytes],
        segment: int,
        *,
        role: str,
        settings: Mapping[str, str] | None = None,
    ) -> dict[str, Stored]:
        """Put rows into one of the exporter's tables, and into the ledger; how many, by service.

        Raises EngineError; some rows may be stored then, and they are in the ledger as well."""
        if insert.table not in EXPORTER_TABLES:
            raise EngineError(
                DENIED,
                f"Not enough privileges. To execute this query, it's necessary to have the grant "
                f"INSERT ON otel.{insert.table}. (ACCESS_DENIED)",
            )
        if not INPUT_FORMATS.fullmatch(insert.format):
            raise EngineError(UNKNOWN_FORMAT, f"Unknown format {insert.format}. (UNKNOWN_FORMAT)")
        with self._written(body) as path:
            if not path.stat().st_size:
                return {}
            return self._insert(insert, path, segment, role, settings or {})

    @contextmanager
    def _written(self, body: Iterable[bytes]) -> Iterator[Path]:
        path = self._bodies / secrets.token_hex(16)
        try:
            with path.open("xb") as file:
                file.writelines(body)
            yield path
        except OSError as error:
            raise EngineError(NO_SPACE, f"{error.strerror}. (NOT_ENOUGH_SPACE)") from error
        finally:
            path.unlink(missing_ok=True)

    def _insert(
        self, insert: Insert, path: Path, segment: int, role: str, settings: Mapping[str, str]
    ) -> dict[str, Stored]:
        signal, began = SIGNALS[EXPORTER_TABLES[insert.table]], time.time()
        ingest = Ingest(self.store)
        stored: dict[str, Stored] = {}
        with self.store.writing:
            try:
                with self._connected(role) as session:
                    session.insert(insert, path, segment, settings)
            finally:
                stored = ingest.count(signal, segment, began)
                if stored:
                    ingest.enter(_ledger_rows(signal.name, segment, began, stored))
                    self._inserted(signal.name)
        return stored

    @contextmanager
    def _connected(self, role: str) -> Iterator[Session]:
        if role == OWN:
            self.store.shared = True
        connection = self.store.connect()
        try:
            yield Session(self, connection, role)
        finally:
            connection.close()


class Session:
    """One connection to the engine, for one statement. `cancel` may come from another thread."""

    def __init__(self, sessions: Sessions, connection: Any, role: str) -> None:
        self._sessions = sessions
        self._connection = connection
        self._role = role
        self._rules = OWNING if role == OWN else READING
        self._bounds = {} if role == OWN else sessions.bounds
        self._tag = secrets.token_hex(16)
        self._sql = ""
        self._streams = False
        self._limits: dict[str, str] = {}
        self._parameters: dict[str, str] = {}
        self.format = ""
        self.kind = ""  # of a statement that does more than read
        self.summary = Summary()

    def prepare(
        self,
        sql: str,
        database: str,
        settings: Mapping[str, str],
        parameters: Mapping[str, str],
    ) -> None:
        """Raises EngineError for what may not be asked. `format` is that of the FORMAT clause."""
        kind = self._connection.classify_query(sql)
        # Asked before any of the client's settings are set: they would change these answers.
        statement = examine(sql, self._ask, self._bounds, parameters, self._rules)
        # Some settings of another clew's make more of a SELECT, in this one's eyes.
        reads = self._rules is OWNING or "READ_ONLY" in str(kind["query_class"])
        if kind["statement_count"] != 1 or not reads:
            raise EngineError(
                DENIED, "Not enough privileges: this is more than to read. (ACCESS_DENIED)"
            )
        checked = self._checked(settings)
        self._sql, self._parameters = sql, dict(parameters)
        self.format, self._streams, self.kind = statement.format, statement.rows, statement.kind
        self._run(f"USE {_identifier(database)}")
        self._begin(checked, OWN_KILL if self.kind == KILLING else "")

    def read(self, default_format: str) -> Iterator[bytes]:
        """The answer, in chunks. Raises EngineError."""
        form = self.format or default_format
        if self._streams and form in STREAMED:
            yield from self._stream(form)
        elif self._streams and HEADED.fullmatch(form):
            yield from self._without_headers(form)
        else:
            yield self._whole(form)

    def insert(self, insert: Insert, body: Path, segment: int, settings: Mapping[str, str]) -> None:
        """Put the rows in the file `body` into the table. Raises EngineError."""
        checked = self._checked(settings)
        columns = self._columns(insert)
        names = ", ".join(map(_identifier, columns))
        types = ", ".join(f"{_identifier(name)} {of}" for name, of in columns.items())
        own = {name: str(value) for name, value in INSERT_SETTINGS.items() if name != WAIT}
        self._begin(checked | own | {"readonly": "0"})
        self._run(
            f"INSERT INTO otel.{insert.table} ({names}, Segment) SELECT {names}, {segment} "
            f"FROM file({_literal(str(body))}, '{insert.format}', {_literal(types)}, 'none')"
        )

    def write(self, wanted: Callable[[], bool]) -> None:
        """Run another clew's statement that does more than read; not when it is not `wanted` any
        more once it is its turn. Raises EngineError."""
        turn = nullcontext() if self.kind == KILLING else self._sessions.store.writing
        with turn:
            self._check_wanted(wanted)
            with _said():
                self._connection.query(self._sql, "Null", params=self._parameters)

    def insert_own(
        self,
        insert: Insert,
        body: Path,
        settings: Mapping[str, str],
        wanted: Callable[[], bool],
    ) -> None:
        """Put another clew's rows in the file `body` into the table. Raises EngineError."""
        schema = {name: value for name, value in settings.items() if name in SCHEMA}
        rest = {name: value for name, value in settings.items() if name not in SCHEMA}
        columns = f" ({', '.join(map(_identifier, insert.columns))})" if insert.columns else ""
        with self._sessions.store.writing:
            self._check_wanted(wanted)
            self._set(schema)
            self._begin(self._checked(rest), OWN_ROWS)
            self._run(
                f"INSERT INTO otel.{_identifier(insert.table)}{columns} "
                f"FROM INFILE {_literal(str(body))} FORMAT {insert.format}"
            )

    def cancel(self) -> None:
        """End what is running."""
        kill = self._sessions.store.cluster.kill if self._rules is READING else KILL_OWN
        with suppress(StorageError, ClickHouseError), self._sessions.store.client() as client:
            client.raw_query(kill, parameters={"tag": self._tag})

    def _checked(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {
            name: check_setting(name, value, self._ask, self._bounds, self._rules)
            for name, value in settings.items()
        }

    def _check_wanted(self, wanted: Callable[[], bool]) -> None:
        if not wanted():
            raise EngineError(CANCELLED, "The client has gone. (QUERY_WAS_CANCELLED)")

    def _begin(self, settings: Mapping[str, str], role: str = "") -> None:
        """Set what is to hold, and give up the rights to set anything else."""
        if self._rules is OWNING:
            self._set(OWN_USUAL | OWN_FIXED | {OWN_MARK: self._tag} | dict(settings))
            self._run(f"SET ROLE {role or self._role}")
            self._run(f"SET profile = '{OWN_PROFILE}'")
            return
        usual = {name: str(bound.usual) for name, bound in self._sessions.bounds.items()}
        self._limits = usual | {name: value for name, value in settings.items() if name in usual}
        fixed = FIXED | {"log_comment": self._tag}
        self._set(fixed | dict(settings) | self._limits)
        self._run(f"SET ROLE {self._role}")
        self._run(f"SET profile = '{PROFILE}'")

    def _columns(self, insert: Insert) -> dict[str, str]:
        """Of the columns that are named, or of the exporter's, the types."""
        lines = self._ask(COLUMNS, {"table": insert.table}).splitlines()
        known = {name: (of, kind) for name, of, kind in (line.split("\t") for line in lines)}
        for name in insert.columns:
            if name not in known or known[name][1] in ("MATERIALIZED", "ALIAS") or name == SEGMENT:
                raise EngineError(
                    NO_SUCH_COLUMN,
                    f"No such column {name} in table otel.{insert.table}. "
                    "(NO_SUCH_COLUMN_IN_TABLE)",
                )
        chosen = insert.columns or [name for name, (_, kind) in known.items() if not kind]
        return {name: known[name][0] for name in chosen}

    def _stream(self, form: str) -> Iterator[bytes]:
        connection = self._connection
        with _said():
            stream = connection.send_query(self._sql, form, params=self._parameters)
        try:
            while True:
                with _said():
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

    def _without_headers(self, form: str) -> Iterator[bytes]:
        header = None
        for chunk in self._stream(form):
            yield chunk if header is None else chunk.removeprefix(header)
            header = header_of(chunk, form) if header is None else header
        if header is None:  # no rows: the stream had not even a header
            yield self._whole(form)

    def _whole(self, form: str) -> bytes:
        if self._limits:
            most = min(int(self._limits["max_result_bytes"]), MOST_AT_ONCE)
            self._set({"max_result_bytes": str(most)})
        with _said():
            result = self._connection.query(self._sql, form, params=self._parameters)
        self.summary.add(result)
        return bytes(result.bytes())

    def _ask(self, sql: str, parameters: Mapping[str, str]) -> str:
        with _said():
            result = self._connection.query(
                sql, "TSVRaw", params={name: escaped(value) for name, value in parameters.items()}
            )
        return bytes(result.bytes()).decode("utf-8", "surrogateescape").removesuffix("\n")

    def _run(self, sql: str) -> None:
        with _said():
            self._connection.query(sql, "Null")

    def _set(self, settings: Mapping[str, str]) -> None:
        if not settings:
            return
        values = (f"{name} = {_literal(value)}" for name, value in settings.items())
        self._run(f"SET {', '.join(values)}")


def header_of(chunk: bytes, form: str) -> bytes:
    """What each chunk of a format with names begins with: one row of names, or two with types."""
    rows = 2 if form.endswith("AndTypes") else 1
    if form.startswith("RowBinary"):
        return chunk[: _end_of_binary_header(chunk, rows)]
    end, quoted = -1, False
    for _ in range(rows):
        while True:
            end = chunk.index(b"\n", end + 1)
            # Names in CSV stand in quotes, and may have line breaks.
            quoted = form.startswith("CSV") and chunk.count(b'"', 0, end) % 2 == 1
            if not quoted:
                break
    return chunk[: end + 1]


def _end_of_binary_header(chunk: bytes, rows: int) -> int:
    columns, at = _varint(chunk, 0)
    for _ in range(columns * rows):
        length, at = _varint(chunk, at)
        at += length
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def escaped(text: str) -> str:
    """A parameter's value as the engine takes it: escaped like a field of TSV."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _ledger_rows(
    signal: str, segment: int, began: float, stored: Mapping[str, Stored]
) -> list[LedgerRow]:
    total = sum(each.items for each in stored.values())
    rows = [LedgerRow(began, signal, segment, "", RECEIVED, total)]
    rows += [
        LedgerRow(began, signal, segment, service, STORED, each.items, each.late)
        for service, each in stored.items()
    ]
    return rows


@contextmanager
def _said() -> Iterator[None]:
    """What the engine says, as EngineError."""
    try:
        yield
    except RuntimeError as error:
        raise _engine_error(str(error)) from None


def _engine_error(text: str) -> EngineError:
    """The innermost error of a text in which each layer has wrapped the one below."""
    parts = re.split(r"Code: (\d+)\. DB::Exception: ", text)
    if len(parts) < 3:
        return EngineError(UNKNOWN, text)
    said = re.sub(r"( \(version [^()]*\)\.?| \([A-Z0-9_]+\)\.?)+\s*$", "", parts[-1].rstrip())
    names = re.findall(r"\(([A-Z][A-Z0-9_]+)\)", parts[-1])
    said = re.sub(r"(/[^\s:'\"]*)/" + BODIES + r"/[0-9a-f]+", "the request's body", said)
    return EngineError(int(parts[-2]), f"{said} ({names[-1]})" if names else said)


def _identifier(name: str) -> str:
    escaped_name = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped_name}`"


def _literal(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"
