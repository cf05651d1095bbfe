"""How far the watcher has come, and that it is the only one: its rows in clew_settler."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from clew.analysis import queries
from clew.storage.rows import Rows
from clew.storage.statements import Statements

ROW = "watcher"
BEGAN = "watcher began"
LEASE = 180.0  # seconds from the last minute on, after which another process may watch
COLUMNS = {
    "Name": "String",
    "Holder": "String",
    "Until": "Float64",
    "SettledUntil": "Float64",
    "Version": "UInt64",
}


class WatcherProgress:
    """`until`: minutes that end up to here are judged; `began_at`: since when this database is
    watched. Seconds since 1970. In a database that several processes share, one at a time holds
    the lease. All methods raise StorageError."""

    def __init__(self, statements: Statements, is_shared: bool, now: Callable[[], float]) -> None:
        self.until = 0.0
        self.began_at = 0.0
        self._statements = statements
        self._is_shared = is_shared
        self._now = now
        self._holder = secrets.token_hex(8)

    def hold(self) -> bool:
        """Whether this process may watch: nobody else has in the last minutes."""
        if not self._is_shared:
            return True
        row = self._rows().get(ROW)
        if row is not None and row["holder"] != self._holder and row["until"] > self._now():
            return False
        if row is not None and row["holder"] != self._holder:
            self.until = row["settled_until"]
            self._write(ROW, self.until)
        return True

    def begin(self, at: float) -> None:
        """Continue where the last watcher stopped; at `at`, where there was none."""
        rows = self._rows()
        if BEGAN not in rows:
            self._write(BEGAN, at)
        self.began_at = rows[BEGAN]["settled_until"] if BEGAN in rows else at
        self.until = rows[ROW]["settled_until"] if ROW in rows else self.began_at

    def advance(self, until: float) -> None:
        """The minutes up to here are judged."""
        self._write(ROW, until)
        self.until = until

    def _rows(self) -> dict[str, queries.SettleProgressRow]:
        return {row["name"]: row for row in self._statements.rows(queries.SETTLE_PROGRESS)}

    def _write(self, name: str, until: float) -> None:
        now = self._now()
        row = (name.encode(), self._holder.encode(), now + LEASE, until, int(now * 1e9))
        self._statements.insert_rows(Rows("clew_settler", COLUMNS, [row]))
