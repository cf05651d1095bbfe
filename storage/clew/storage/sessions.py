"""Runs clients' SQL in the embedded engine: sessions, and inserts whose rows come with a request.

The rows of an insert are written to a file that the engine reads. Rows of a client become a segment
of their own and are entered in the ledger; a peer's rows are stored unchanged, since segments and
ledger are the peer's own.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clew.storage.errors import EngineError, ErrorCode, refusal
from clew.storage.formats import INSERTABLE
from clew.storage.ingest import SIGNALS, Ingest, StoredItems
from clew.storage.ledger import RECEIVED, STORED, LedgerRow
from clew.storage.rights import BODIES, EXPORTER_TABLES, PEER, READ, SCHEMA_SETTINGS, bounds
from clew.storage.session import Insert, Session
from clew.storage.store import DATABASE, Store

SEGMENT_FORMAT = "ProtobufSingle"  # of a peer's segments, whose schema is sent as a setting
VERSION = "SELECT version(), timezone()"


class Sessions:
    """Opens sessions in an embedded engine. `on_insert` is called with a signal's name when rows of
    it were inserted. `version` and `timezone` are the engine's.

    Raises ValueError for the store of a server, which has sessions of its own."""

    def __init__(
        self, store: Store, on_insert: Callable[[str], None] = lambda signal: None
    ) -> None:
        if store.directory is None:
            raise ValueError("a server has sessions of its own")
        self.store = store
        self.bounds = bounds(store.memory)
        self._on_insert = on_insert
        self._bodies = store.directory / BODIES
        self._bodies.mkdir(mode=0o700, exist_ok=True)
        for leftover in self._bodies.iterdir():
            leftover.unlink()
        with store.client() as client:
            ((self.version, self.timezone),) = client.query(VERSION).result_rows

    @contextmanager
    def open(
        self,
        sql: str,
        *,
        role: str = READ,
        database: str = DATABASE,
        settings: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> Iterator[Session]:
        """A session in which `sql` is prepared. Raises EngineError for what may not be run."""
        with self.connect(role) as session:
            session.prepare(sql, database, settings or {}, parameters or {})
            yield session

    @contextmanager
    def connect(self, role: str) -> Iterator[Session]:
        """A session without a statement, which has every right until it is restricted."""
        if role == PEER:
            self.store.shared = True
        connection = self.store.connect()
        try:
            yield Session(self.store, self.bounds, connection, role)
        finally:
            connection.close()

    def insert(
        self,
        insert: Insert,
        body: Iterable[bytes],
        segment: int,
        *,
        role: str,
        settings: Mapping[str, str] | None = None,
    ) -> dict[str, StoredItems]:
        """Insert the rows in `body` into one of the exporter's tables, and enter them in the ledger
        as segment `segment`. Returns how many were stored, by service.

        Raises EngineError; some rows may be stored then, and they are in the ledger as well."""
        if insert.table not in EXPORTER_TABLES:
            raise refusal(
                ErrorCode.ACCESS_DENIED,
                f"Not enough privileges. To execute this query, it's necessary to have the grant "
                f"INSERT ON otel.{insert.table}.",
            )
        if not INSERTABLE.fullmatch(insert.format):
            raise _unknown_format(insert.format)
        with self._body_file(body) as path:
            if not path.stat().st_size:
                return {}
            return self._insert(insert, path, segment, role, settings or {})

    def insert_peer_rows(
        self,
        insert: Insert,
        body: Iterable[bytes],
        settings: Mapping[str, str],
        is_connected: Callable[[], bool],
    ) -> None:
        """Insert a peer's rows into a table, unchanged.

        Nothing is stored when the peer is no longer connected once its turn has come. Raises
        EngineError; some rows may be stored then, as with a server."""
        if insert.format != SEGMENT_FORMAT and not INSERTABLE.fullmatch(insert.format):
            raise _unknown_format(insert.format)
        with self._body_file(body) as path, self.connect(PEER) as session:
            session.insert_peer_rows(insert, path, self._with_schema_file(settings), is_connected)
        for signal in SIGNALS.values():
            if insert.table in signal.landings or insert.table in signal.tables:
                self._on_insert(signal.name)

    def _with_schema_file(self, settings: Mapping[str, str]) -> dict[str, str]:
        """The settings, with a schema that is given as a text put into a file: the engine would
        write a file in the working directory. There is one file for each schema, since the engine
        caches what it has read."""
        schema, source, message = (settings.get(name, "") for name in SCHEMA_SETTINGS)
        others = {name: value for name, value in settings.items() if name not in SCHEMA_SETTINGS}
        if not schema:
            return others
        if source != "string":
            raise refusal(ErrorCode.ACCESS_DENIED, "Not enough privileges: a schema is a text.")
        path = self._bodies / f"{hashlib.sha256(schema.encode()).hexdigest()}.proto"
        try:
            if not path.exists():
                new = path.with_suffix(f".{secrets.token_hex(8)}")
                new.write_text(schema, encoding="utf-8")
                new.rename(path)
        except OSError as error:
            raise _no_space(error) from error
        return others | {SCHEMA_SETTINGS[0]: f"{path}:{message}"}

    @contextmanager
    def _body_file(self, body: Iterable[bytes]) -> Iterator[Path]:
        path = self._bodies / secrets.token_hex(16)
        try:
            with path.open("xb") as file:
                file.writelines(body)
            yield path
        except OSError as error:
            raise _no_space(error) from error
        finally:
            path.unlink(missing_ok=True)

    def _insert(
        self, insert: Insert, path: Path, segment: int, role: str, settings: Mapping[str, str]
    ) -> dict[str, StoredItems]:
        signal, received_at = SIGNALS[EXPORTER_TABLES[insert.table]], time.time()
        ingest = Ingest(self.store)
        stored: dict[str, StoredItems] = {}
        with self.store.write_lock:
            try:
                with self.connect(role) as session:
                    session.insert(insert, path, segment, settings)
            finally:
                stored = ingest.count(signal, segment, received_at)
                if stored:
                    ingest.write_ledger(_ledger_rows(signal.name, segment, received_at, stored))
                    self._on_insert(signal.name)
        return stored


def _ledger_rows(
    signal: str, segment: int, received_at: float, stored: Mapping[str, StoredItems]
) -> list[LedgerRow]:
    total = sum(count.items for count in stored.values())
    rows = [LedgerRow(received_at, signal, segment, "", RECEIVED, total)]
    rows += [
        LedgerRow(received_at, signal, segment, service, STORED, count.items, count.late)
        for service, count in stored.items()
    ]
    return rows


def _unknown_format(name: str) -> EngineError:
    return refusal(ErrorCode.UNKNOWN_FORMAT, f"Unknown format {name}.")


def _no_space(error: OSError) -> EngineError:
    return refusal(ErrorCode.NOT_ENOUGH_SPACE, f"{error.strerror}.")
