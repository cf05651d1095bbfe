"""The ledger's rows: what became of everything that was received (schema/0050_clew_ledger.sql)."""

from __future__ import annotations

from dataclasses import dataclass

from clew.storage.store import Store

RECEIVED = "received"
STORED = "stored"
PENDING = "pending"  # on the disk, not yet in the tables: never a row, only an answer
UNREADABLE = "unreadable"
REFUSED = "refused"
ALIVE = "alive"

AT_ONCE = 300  # rows: a server takes 128 KiB for a parameter, and is behind after it was away
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


ENTER = """
INSERT INTO otel.clew_ledger (ReceivedAt, Signal, Segment, ServiceName, Fate, Items, Late)
SELECT fromUnixTimestamp64Milli(row.1), row.2, row.3, row.4, row.5, row.6, row.7
FROM
(
    SELECT arrayJoin(
        {rows:Array(Tuple(Int64, String, UInt64, String, String, UInt64, UInt64))}) AS row
)
"""


def enter(store: Store, rows: list[LedgerRow]) -> None:
    """Put the rows into the ledger; to enter a row again changes nothing."""
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
        for first in range(0, len(values), AT_ONCE):
            # Not as a command: those have their parameters in the URL.
            client.raw_query(ENTER, parameters={"rows": values[first : first + AT_ONCE]})
