"""How long rows are kept: a TTL on the time of their insertion, on base and side tables alike."""

from __future__ import annotations

from clew.storage.ingest import SIGNALS
from clew.storage.store import Store


def set_retention(store: Store, days: int) -> None:
    """Keep rows for `days` days after they were inserted; older ones go with the next merges.

    A delete by the event's own time would take a row with timestamp 0 while it is inserted."""
    tables = [
        name
        for signal in SIGNALS.values()
        for name in (*signal.tables, *(side.name for side in signal.sides))
    ]
    with store.client() as client:
        for table in tables:
            wanted = f"TTL InsertedAt + toIntervalDay({int(days)})"
            created = str(client.command(f"SHOW CREATE TABLE otel.{table}"))
            if wanted not in created:
                client.command(
                    f"ALTER TABLE otel.{table} MODIFY {wanted} "
                    "SETTINGS materialize_ttl_after_modify = 0"
                )
