"""The ledger's rows: what became of every item that was received (schema/0050_clew_ledger.sql)."""

from __future__ import annotations

from dataclasses import dataclass

from clew.storage.store import Store

RECEIVED = "received"
STORED = "stored"
PENDING = "pending"  # in the spool, not in the tables: reported, but never written to the table
MENDED = "mended"  # beside the equation: these items are among the received too
REDACTED = "redacted"  # likewise
UNREADABLE = "unreadable"
REFUSED = "refused"
ALIVE = "alive"

ROWS_PER_INSERT = 300  # a server accepts 128 KiB for a parameter
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


INSERT = """
INSERT INTO otel.clew_ledger (ReceivedAt, Signal, Segment, ServiceName, Fate, Items, Late)
SELECT fromUnixTimestamp64Milli(row.1), row.2, row.3, row.4, row.5, row.6, row.7
FROM
(
    SELECT arrayJoin(
        {rows:Array(Tuple(Int64, String, UInt64, String, String, UInt64, UInt64))}) AS row
)
"""


def write_rows(store: Store, rows: list[LedgerRow]) -> None:
    """Insert the rows into the ledger. Idempotent: writing a row again changes nothing. Raises
    StorageError while the disk is nearly full."""
    store.check_free_space()
    values = [
        (
            int(row.received_at * 1000),
            row.signal,
            row.segment,
            row.service,
            row.fate,
            row.items,
            row.late,
        )
        for row in rows
    ]
    with store.client() as client:
        for first in range(0, len(values), ROWS_PER_INSERT):
            batch = values[first : first + ROWS_PER_INSERT]
            # Not as a command: a command has its parameters in the URL.
            client.raw_query(INSERT, parameters={"rows": batch})
