"""The ledger's rows: what became of every item that was received (schema/0050_clew_ledger.sql)."""

from __future__ import annotations

from dataclasses import dataclass

from clew.storage.inserts import insert_block
from clew.storage.rows import Rows
from clew.storage.store import Store

RECEIVED = "received"
STORED = "stored"
PENDING = "pending"  # in the spool, not in the tables: reported, but never written to the table
MENDED = "mended"  # beside the equation: these items are among the received too
REDACTED = "redacted"  # likewise
UNREADABLE = "unreadable"
REFUSED = "refused"
ALIVE = "alive"

LATE_AFTER = 3600  # seconds between an item's own time and its time of receipt


@dataclass(frozen=True)
class LedgerRow:
    """What became of `items` items of a segment. `fate` is a constant above, or the reason of a
    rejection. `received_at` is in seconds since 1970. `late` of the items are late."""

    received_at: float
    signal: str
    segment: int
    service: str
    fate: str
    items: int
    late: int = 0


COLUMNS = {
    "ReceivedAt": "DateTime64(3)",
    "Signal": "String",
    "Segment": "UInt64",
    **dict.fromkeys(("ServiceName", "Fate"), "String"),
    **dict.fromkeys(("Items", "Late"), "UInt64"),
}


def write_rows(store: Store, rows: list[LedgerRow]) -> None:
    """Insert the rows into the ledger. Idempotent: writing a row again changes nothing. Raises
    StorageError while the disk is nearly full."""
    store.check_free_space()
    values = [
        (
            int(row.received_at * 1000),
            row.signal.encode(),
            row.segment,
            row.service.encode(),
            row.fate.encode(),
            row.items,
            row.late,
        )
        for row in rows
    ]
    if values:
        with store.client() as client:
            block = Rows("clew_ledger", COLUMNS, values)
            insert_block(store, client, block, {"async_insert": 0}, store.directory)
