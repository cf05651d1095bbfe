"""The outbox: what is to be told to whom, stored before it is sent.

A row is written for each transition and receiver, under a key that is the same whenever that
transition is told to that receiver. So a row that is written again after a crash is the same row,
and one that was sent is not sent again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from clew.analysis import queries
from clew.analysis.alerts.notifications import Notification
from clew.analysis.alerts.states import Transition
from clew.storage.rows import Rows
from clew.storage.statements import Statements

MAX_WAITING = 10_000  # messages that one look reads; more are left to the next

COLUMNS = {
    "Key": "String",
    "Receiver": "String",
    "Alert": "String",
    "Transition": "String",
    "CreatedAt": "Float64",
    "Notification": "String",
    "State": "String",
    "Attempts": "UInt16",
    "DueAt": "Float64",
    "Batch": "String",
    "Error": "String",
    "Version": "UInt64",
}


@dataclass(frozen=True)
class OutboxEntry:
    """One notification for one receiver. Times are seconds since 1970.

    `due_at`: when it is to be tried next; `batch`: the key of the summary that it goes out in, ''
    if it goes alone; `error`: why the last attempt failed."""

    receiver: str
    notification: Notification
    created_at: float
    state: Literal["waiting", "sent", "dropped"] = "waiting"
    attempts: int = 0
    due_at: float = 0.0
    batch: str = ""
    error: str = ""
    version: int = 1

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.notification.key(self.receiver)

    def delivered(self) -> OutboxEntry:
        """The entry after its receiver has taken it."""
        return replace(self, state="sent", error="", **self._tried())

    def failed(self, error: str, due_at: float) -> OutboxEntry:
        """The entry after an attempt that failed."""
        return replace(self, error=error, due_at=due_at, **self._tried())

    def dropped(self, error: str) -> OutboxEntry:
        """The entry when no further attempt is made."""
        return replace(self, state="dropped", error=error, **self._tried())

    def in_batch(self, key: str) -> OutboxEntry:
        """The entry as a part of a summary."""
        return replace(self, batch=key, version=self.version + 1)

    def _tried(self) -> dict[str, Any]:
        return {"attempts": self.attempts + 1, "version": self.version + 1}


class Outbox:
    """Reads and writes the outbox. All methods raise StorageError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def put(self, entries: Iterable[OutboxEntry]) -> None:
        """Store entries: new ones, or what became of them."""
        self._statements.insert_rows(Rows("clew_outbox", COLUMNS, list(map(_row, entries))))

    def waiting(self) -> list[OutboxEntry]:
        """The entries that are to be sent, the oldest first."""
        rows = self._statements.rows(queries.OUTBOX_WAITING, limit=MAX_WAITING)
        return list(map(_entry, rows))


def _row(entry: OutboxEntry) -> tuple[Any, ...]:
    document = json.dumps(asdict(entry.notification), ensure_ascii=False)
    texts = {
        "Key": entry.key,
        "Receiver": entry.receiver,
        "Alert": entry.notification.alert,
        "Transition": entry.notification.transition,
        "Notification": document,
        "State": entry.state,
        "Batch": entry.batch,
        "Error": entry.error,
    }
    row: dict[str, Any] = {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    row |= {
        "CreatedAt": entry.created_at,
        "Attempts": min(entry.attempts, 65_535),
        "DueAt": entry.due_at,
        "Version": entry.version,
    }
    return tuple(row[name] for name in COLUMNS)


def _entry(row: queries.OutboxWaitingRow) -> OutboxEntry:
    fields = json.loads(row["notification"])
    fields["transition"] = Transition(fields["transition"])
    fields["examples"] = tuple(fields["examples"])
    return OutboxEntry(
        receiver=row["receiver"],
        notification=Notification(**fields),
        created_at=row["created_at"],
        attempts=row["attempts"],
        due_at=row["due_at"],
        batch=row["batch"],
        version=row["version"],
    )
