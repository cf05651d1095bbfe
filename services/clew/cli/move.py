"""`clew move`: copies an embedded database to a ClickHouse server."""

from __future__ import annotations

import contextlib
import logging

from clew.cli.opening import only_one
from clew.cli.settings import Settings, UsageError
from clew.storage import Cluster, MovedTable, Store
from clew.storage import move as move_tables

logger = logging.getLogger(__name__)


def move(settings: Settings, target: str) -> bool:
    """Copy the tables of a data directory on which no clew runs to the server at `target`, a DSN.

    Prints how the tables compare, and returns whether all are equal. Raises UsageError,
    StorageError."""
    if not settings.dsn.startswith("chdb:"):
        raise UsageError("move is from the embedded database of --data: leave --dsn out")
    if target.startswith("chdb:"):
        raise UsageError("move: the target is a server, clickhouse://user:password@host:8123/")
    if not settings.data.is_dir():
        raise UsageError(f"--data: there is no {settings.data}")
    with (
        only_one(settings.data),
        contextlib.closing(Store(settings.dsn, settings.memory_limit)) as source_store,
        contextlib.closing(Store(target, cluster=Cluster(settings.cluster))) as target_store,
    ):
        tables = move_tables(source_store, target_store, logger.info)
    _print(tables)
    spooled = [*settings.data.glob("spool/*/*")]
    if spooled:
        print(
            f"{len(spooled)} segments of the spool are not in the tables, or not for certain: "
            f"clew collect --data {settings.data} with the server as --dsn loads them into it, "
            "each exactly once"
        )
    return all(table.equal for table in tables)


def _print(tables: list[MovedTable]) -> None:
    row = "{:<36} {:>12} {:>20}   {:>12} {:>20}   {}".format
    print(row("table", "rows here", "checksum", "rows there", "checksum", ""))
    for table in tables:
        source, target = table.source, table.target
        equal = "equal" if table.equal else "DIFFERENT"
        print(row(table.name, source.rows, source.hashes, target.rows, target.hashes, equal))
