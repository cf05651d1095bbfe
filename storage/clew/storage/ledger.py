"""The ledger's rows: what became of everything that was received (schema/0050_clew_ledger.sql)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from clew.storage.store import Store

RECEIVED = "received"
STORED = "stored"
PENDING = "pending"  # on the disk, not yet in the tables: never a row, only an answer
UNREADABLE = "unreadable"
REFUSED = "refused"
ALIVE = "alive"

LATE_AFTER = 3600  # seconds between an item's own time and its receipt


@dataclass(frozen=True)
class LedgerRow:
    """So many `items` of a segment met that `fate`: one of the words above, or a rejection's
    reason. `received_at`: seconds since 1970."""

    received_at: float
    signal: str
    segment: int
    service: str
    fate: str
    items: int
    late: int = 0


COLUMNS = ("ReceivedAt", "Signal", "Segment", "ServiceName", "Fate", "Items", "Late")


def enter(store: Store, rows: list[LedgerRow]) -> None:
    """Put the rows into the ledger; to enter a row again changes nothing.

    Not as a parameter: a server takes 128 KiB for one, and after an hour without it there are more
    rows than that."""
    values = [
        (
            datetime.fromtimestamp(int(row.received_at * 1000) / 1000, UTC),
            row.signal,
            row.segment,
            row.service,
            row.fate,
            row.items,
            row.late,
        )
        for row in rows
    ]
    if values:
        with store.client() as client:
            client.insert("otel.clew_ledger", values, column_names=COLUMNS)
