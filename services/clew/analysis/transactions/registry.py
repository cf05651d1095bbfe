"""The definitions in force: stored by revision, so that every node and dashboard sees the same.

Where they come from a file, the file is the truth, and read again when it changes.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.analysis.transactions.definitions import Definition, DefinitionError, read, read_file
from clew.storage.errors import StorageError
from clew.storage.reader import Reader, Row
from clew.storage.store import Store

logger = logging.getLogger(__name__)

API = "api"  # the origin of definitions that came over the API
LOOK_EVERY = 1.0  # seconds between two looks at the file
ASK_AFTER = 3.0  # seconds after which a server is asked for a newer revision

COLUMNS = ("Revision", "Position", "Id", "Name", "Definition", "Origin")


class Outdated(StorageError):
    """The definitions are of another revision than the one that was to be replaced."""


@dataclass(frozen=True)
class Revision:
    """Definitions, and since when they hold: nanoseconds, 0 before there were any."""

    number: int = 0
    origin: str = API
    definitions: tuple[Definition, ...] = ()


class Registry:
    """The definitions in force, kept at hand. With a `file`, those in it are stored at once; raises
    DefinitionError when it cannot be used.

    An embedded database is changed by this process alone, unless it is another clew's server; one
    that others change is asked again, by whoever wants to know, when the answer is older than
    ASK_AFTER."""

    def __init__(self, store: Store, file: Path | None = None) -> None:
        self.file = file
        self._store = store
        self._lock = threading.RLock()
        self._current = stored(Reader(store))
        self._asked = time.monotonic()
        self._seen = file and _stamp(file)
        if file is not None:
            self._write(read_file(file), str(file))

    def current(self) -> Revision:
        """The revision in force."""
        with self._lock:
            if self._store.shared and time.monotonic() - self._asked > ASK_AFTER:
                self._ask()
            return self._current

    def definitions(self) -> Sequence[Definition]:
        """The definitions in force."""
        return self.current().definitions

    def replace(
        self, definitions: Sequence[Definition], expected: Sequence[int] | None = None
    ) -> Revision:
        """Put other definitions in the place of all. Raises Outdated when they are of none of the
        `expected` revisions. (Of two nodes of one server that do so in the same instant, neither
        sees the other, and the later one counts.)"""
        with self._lock:
            self._current = stored(Reader(self._store))
            if expected is not None and self._current.number not in expected:
                raise Outdated(f"the definitions are of revision {self._current.number} by now")
            self._write(tuple(definitions), API)
            return self._current

    def look_again(self) -> None:
        """Read the file if it has changed; one that cannot be used leaves the definitions as they
        were."""
        if self.file is None or (stamp := _stamp(self.file)) == self._seen:
            return
        self._seen = stamp
        try:
            with self._lock:
                self._write(read_file(self.file), str(self.file))
        except DefinitionError as error:
            logger.error("%s\nthe definitions stay as they were", error)
        except StorageError as error:
            self._seen = None
            logger.error("the definitions cannot be stored for now: %s", error)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the file while the block runs."""
        if self.file is None:
            yield
            return
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(LOOK_EVERY):
                self.look_again()

        thread = threading.Thread(target=look, name="definitions", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _ask(self) -> None:
        self._asked = time.monotonic()
        try:
            self._current = stored(Reader(self._store))
        except StorageError as error:
            logger.warning("the definitions stay as they were: %s", error)

    def _write(self, definitions: tuple[Definition, ...], origin: str) -> None:
        """Store a revision, if it differs from the one in force."""
        before = self._current
        if before.number and (before.definitions, before.origin) == (definitions, origin):
            return
        number = max(time.time_ns(), before.number + 1)
        rows = [
            (number, position, each.id, each.name, _text_of(each), origin)
            for position, each in enumerate(definitions, 1)
        ]
        with self._store.client() as client:
            try:
                client.insert(
                    "clew_definitions",
                    [(number, 0, "", "", "", origin), *rows],
                    column_names=COLUMNS,
                    database="otel",
                )
            except ClickHouseError as error:
                raise StorageError(f"the definitions are not stored: {error}") from error
        self._current = Revision(number, origin, definitions)
        logger.info("%d definitions of business transactions from %s", len(rows), origin)


def stored(reader: Reader) -> Revision:
    """The revision in force, from the database."""
    return of_rows(reader.begin().rows("definitions"))


def of_rows(rows: Sequence[Row]) -> Revision:
    """From the rows of queries/definitions.sql. A definition that this clew cannot read, as a newer
    one may have written, is left out and logged."""
    if not rows:
        return Revision()
    definitions: list[Definition] = []
    for row in rows:
        if row["id"]:
            document = f'{{"transactions":[{row["definition"]}]}}'
            try:
                definitions += read(document.encode(), "json", f"stored definition {row['id']}")
            except DefinitionError as error:
                logger.error("%s", error)
    return Revision(rows[0]["revision"], rows[0]["origin"], tuple(definitions))


def _text_of(definition: Definition) -> str:
    return json.dumps(definition.document, ensure_ascii=False)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
