"""The durable queue between orders and fulfilment: one SQLite file, safe against crashes.

A job is written in the checkout and worked on later, by another process. Whoever claims it has
`CLAIM_TIMEOUT_S` to finish it; after that, as after a crash, it can be claimed again. A job can
therefore run twice, and what it does must bear that.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from clew.shop import database

CLAIM_TIMEOUT_S = 30.0

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    order_id   TEXT PRIMARY KEY,
    user       TEXT NOT NULL,
    due_at     REAL NOT NULL,      -- not before; a claim or a failure moves it
    attempts   INTEGER NOT NULL DEFAULT 0,
    done_at    REAL
)
"""

_PUT = "INSERT OR IGNORE INTO jobs (order_id, user, due_at) VALUES (?, ?, ?)"

_CLAIM = """
UPDATE jobs SET due_at = ?, attempts = attempts + 1
WHERE order_id = (
    SELECT order_id FROM jobs WHERE done_at IS NULL AND due_at <= ? ORDER BY due_at LIMIT 1
)
RETURNING order_id, user, attempts
"""

_FINISH = "UPDATE jobs SET done_at = ? WHERE order_id = ?"

_RETRY = "UPDATE jobs SET due_at = ? WHERE order_id = ?"

_WAITING = "SELECT count(*) FROM jobs WHERE done_at IS NULL"


class Job(NamedTuple):
    """An order to be shipped; `attempts` counts this one."""

    order_id: str
    user: str
    attempts: int


class Queue:
    """One process's access to the queue. Each call is one transaction of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._execute("PRAGMA journal_mode = WAL")
        self._execute(_TABLE)

    def put(self, order_id: str, user: str, *, delay_s: float) -> None:
        """Add a job that is due in `delay_s` seconds; an order that has one keeps it."""
        self._execute(_PUT, order_id, user, time.time() + delay_s)

    def claim(self) -> Job | None:
        """Take the job that has been due for longest, or None if none is."""
        now = time.time()
        rows = self._execute(_CLAIM, now + CLAIM_TIMEOUT_S, now)
        return Job(*rows[0]) if rows else None

    def finish(self, job: Job) -> None:
        self._execute(_FINISH, time.time(), job.order_id)

    def retry(self, job: Job, *, delay_s: float) -> None:
        """Let a claimed job, which failed, be claimed again in `delay_s` seconds."""
        self._execute(_RETRY, time.time() + delay_s, job.order_id)

    def waiting(self) -> int:
        """Jobs that are not done, claimed or not."""
        return int(self._execute(_WAITING)[0][0])

    def _execute(self, statement: str, *values: str | float) -> list[tuple[str, str, int]]:
        connection: sqlite3.Connection = database.connect(self._path)
        try:
            with connection:
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()
