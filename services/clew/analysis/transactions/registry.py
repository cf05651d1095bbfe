"""The definitions in force. They are stored by revision, so that every node and every dashboard
sees the same ones.

If they come from a file, the file decides: it is read again whenever it changes.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clew.analysis import documents
from clew.analysis.documents import DocumentError
from clew.analysis.documents.files import DocumentFile
from clew.analysis.native_rows import native_rows
from clew.analysis.transactions.definitions import Definition, read_file
from clew.storage import queries
from clew.storage.errors import StorageError
from clew.storage.reader import Reader
from clew.storage.statements import Statements
from clew.storage.store import Store

logger = logging.getLogger(__name__)

API = "api"  # the origin of definitions that came over the API
REFRESH_AFTER = 3.0  # seconds after which a shared database is read again

COLUMNS = {
    "Revision": "UInt64",
    "Position": "UInt16",
    **dict.fromkeys(("Id", "Name", "Definition", "Origin"), "String"),
}


class RevisionConflict(StorageError):
    """The revision in force is not one of those that were to be replaced."""


@dataclass(frozen=True)
class Revision:
    """All definitions at a time. `number`: the time of the change in nanoseconds, 0 before the
    first one; `origin`: the file that the definitions come from, or API."""

    number: int = 0
    origin: str = API
    definitions: tuple[Definition, ...] = ()


class Registry:
    """Keeps the definitions in force at hand.

    With a `file`, the definitions in it are stored at once; raises DocumentError if the file cannot
    be used. In a shared database others may change the definitions: it is read again when somebody
    needs them and the last reading is older than REFRESH_AFTER."""

    def __init__(self, store: Store, file: Path | None = None) -> None:
        self.file = file
        self._store = store
        self._lock = threading.RLock()
        self._current = stored_revision(Reader(store))
        self._refreshed_at = time.monotonic()
        document = DocumentFile(file, "the definitions", self._load)
        self.reload_if_changed = document.reload_if_changed
        self.watching = document.watching

    def current(self) -> Revision:
        """The revision in force."""
        with self._lock:
            if self._store.shared and time.monotonic() - self._refreshed_at > REFRESH_AFTER:
                self._refresh()
            return self._current

    def definitions(self) -> Sequence[Definition]:
        """The definitions in force."""
        return self.current().definitions

    def replace(
        self, definitions: Sequence[Definition], expected: Sequence[int] | None = None
    ) -> Revision:
        """Replaces all definitions. Raises RevisionConflict if the revision in force is none of the
        `expected` ones. (Two nodes of one server that replace them in the same instant do not see
        each other: the later revision counts.)"""
        with self._lock:
            self._current = stored_revision(Reader(self._store))
            if expected is not None and self._current.number not in expected:
                raise RevisionConflict(f"the revision in force is {self._current.number}")
            self._store_revision(tuple(definitions), API)
            return self._current

    def _load(self, file: Path) -> None:
        with self._lock:
            self._store_revision(read_file(file), str(file))

    def _refresh(self) -> None:
        self._refreshed_at = time.monotonic()
        try:
            self._current = stored_revision(Reader(self._store))
        except StorageError as error:
            logger.warning("the definitions stay as they are: %s", error)

    def _store_revision(self, definitions: tuple[Definition, ...], origin: str) -> None:
        """Stores a revision if it differs from the one in force."""
        before = self._current
        if before.number and (before.definitions, before.origin) == (definitions, origin):
            return
        number = max(time.time_ns(), before.number + 1)
        rows = [
            (number, position, definition.id, definition.name, _stored_text(definition), origin)
            for position, definition in enumerate(definitions, 1)
        ]
        rows.insert(0, (number, 0, "", "", "", origin))
        Statements(self._store).insert_rows(native_rows("clew_definitions", COLUMNS, rows))
        self._current = Revision(number, origin, definitions)
        logger.info("%d definitions of business transactions from %s", len(definitions), origin)


def stored_revision(reader: Reader) -> Revision:
    """The revision in force in the database."""
    return revision_from_rows(reader.begin().rows(queries.DEFINITIONS))


def revision_from_rows(rows: Sequence[queries.DefinitionsRow]) -> Revision:
    """A revision from the rows of definitions.sql. A definition that cannot be read, such as one
    that a newer clew wrote, is left out and logged."""
    if not rows:
        return Revision()
    definitions: list[Definition] = []
    for row in rows:
        if row["id"]:
            text, source = row["definition"].encode(), f"stored definition {row['id']}"
            try:
                definitions.append(documents.read(text, "json", Definition, source))
            except DocumentError as error:
                logger.error("%s", error)
    return Revision(rows[0]["revision"], rows[0]["origin"], tuple(definitions))


def _stored_text(definition: Definition) -> str:
    return json.dumps(definition.document, ensure_ascii=False)
