"""Copies the tables of an embedded database to a server, and proves that they are equal.

Tables are copied partition by partition in the engine's Native format, without a change: rows keep
their segment and their times, and side tables and the settler's tables are copied like base tables.
The views of the target, which would write the side rows a second time, are dropped first and
created at the end; they hold no rows.

Two partitions are compared by their number of rows and the sum of the rows' hashes. An equal
partition is left as it is, any other is dropped and sent again. So a run that was killed at any
point is simply repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from clickhouse_connect.driver.client import Client

from clew.storage.cluster import Cluster
from clew.storage.errors import StorageError
from clew.storage.migrations import VIEW, known_migrations, migrate
from clew.storage.store import Store

INSERT_BYTES = 32 << 20  # of one insert, approximately
LOG_COMMENT = "clew-move"
EXCLUDED_TABLES = ("clew_migrations", "clew_move")  # they describe their own database
MOVE_TABLE = """
CREATE TABLE IF NOT EXISTS otel.clew_move (Source String)
ENGINE = MergeTree
ORDER BY Source
"""
# An insert of a killed run may still be running on the server.
KILL = "KILL QUERY{on_cluster} WHERE Settings['log_comment'] = {{log_comment:String}} SYNC"
SETTINGS: dict[str, int | str] = {
    "log_comment": LOG_COMMENT,
    "optimize_on_insert": 0,
    "max_partitions_per_insert_block": 0,
    "throw_on_max_partitions_per_insert_block": 0,
}
DATABASE_ID = "SELECT uuid FROM system.tables WHERE database = 'otel' AND name = 'clew_migrations'"
TABLES = """
SELECT name, engine FROM system.tables
WHERE database = 'otel' AND (engine LIKE '%MergeTree' OR engine = 'Distributed') ORDER BY name
"""
COLUMNS = """
SELECT name, type FROM system.columns
WHERE database = 'otel' AND table = {table:String} AND default_kind NOT IN ('ALIAS', 'MATERIALIZED')
ORDER BY position
"""
PARTITIONS = "SELECT DISTINCT _partition_id FROM otel.{table}"


@dataclass(frozen=True)
class Checksum:
    """The number of rows and the sum of their hashes modulo 2^64. It depends neither on the order
    of the rows nor on their parts."""

    rows: int = 0
    hashes: int = 0

    def __add__(self, other: Checksum) -> Checksum:
        return Checksum(self.rows + other.rows, (self.hashes + other.hashes) % (1 << 64))


@dataclass
class MovedTable:
    """The checksums of a table in the source and in the target, and how many rows this run sent."""

    name: str
    source: Checksum = Checksum()
    target: Checksum = Checksum()
    sent_rows: int = 0

    @property
    def equal(self) -> bool:
        return self.source == self.target


def move(
    source: Store, target: Store, report: Callable[[str], None] = lambda line: None
) -> list[MovedTable]:
    """Copy all tables; returns their checksums on both sides. No other client may write to either
    database meanwhile.

    `report` is called with a line for each partition that is done. Raises StorageError when the
    target has rows of its own and is not equal to the source; then the target is not changed."""
    if not source.embedded or target.embedded:
        raise StorageError("move copies an embedded database to a ClickHouse server")
    migrate(source)
    with source.client() as source_client, target.client() as target_client:
        on_cluster = target.cluster.on_cluster
        target_client.command(
            KILL.format(on_cluster=on_cluster), parameters={"log_comment": LOG_COMMENT}
        )
        tables = [
            (name, engine)
            for name, engine in source_client.query(TABLES).result_rows
            if name not in EXCLUDED_TABLES
        ]
        table_copy = partial(_TableCopy, source, target.cluster, source_client, target_client)
        database_id = str(source_client.command(DATABASE_ID))
        if (rows := _claim_target(target_client, target.cluster, database_id)) is not None:
            compared = [table_copy(*table).compare(report) for table in tables]
            if not all(table.equal for table in compared):
                raise StorageError(
                    f"the target has rows already ({rows}): move into a server whose database otel "
                    "is empty, before anything else writes to it"
                )
            return compared
        _drop_views(target_client, target.cluster)
        migrate(target, views=False)
        moved = [table_copy(*table).run(report) for table in tables]
        migrate(target)
        if all(table.equal for table in moved):
            target_client.command(f"DROP TABLE otel.clew_move{on_cluster} SYNC")
    return moved


def _claim_target(target: Client, cluster: Cluster, database_id: str) -> str | None:
    """Note in the target that the database with this id is being moved into it, and return None: a
    difference in it then comes from an unfinished move. Or return a description of the rows that
    the target has from elsewhere."""
    if int(str(target.command("EXISTS TABLE otel.clew_move"))):
        sources = target.query("SELECT Source FROM otel.clew_move").result_rows
        if sources == [(database_id,)]:
            return None
        if sources:
            raise StorageError(
                "another database is being moved into the target: finish that move, or empty the "
                "target"
            )
    for name, _ in target.query(TABLES).result_rows:
        rows = int(str(target.command(f"SELECT count() FROM otel.{name}")))
        if rows and name not in EXCLUDED_TABLES:
            return f"{rows} in otel.{name}"
    for sql in ("CREATE DATABASE IF NOT EXISTS otel", MOVE_TABLE):
        for statement in cluster.statements(sql):
            target.command(statement)
    target.insert("otel.clew_move", [[database_id]], column_names=["Source"])
    return None


def _drop_views(target: Client, cluster: Cluster) -> None:
    """Drop the views, and forget their migrations so that `migrate` creates them again."""
    views = [migration for migration in known_migrations() if migration.kind == VIEW]
    for view in views:
        for statement in cluster.statements(f"DROP VIEW IF EXISTS otel.{view.name} SYNC"):
            target.command(statement)
    if int(str(target.command("EXISTS TABLE otel.clew_migrations"))):
        target.command(
            f"DELETE FROM {cluster.shard_table('clew_migrations')} "
            "WHERE has({views:Array(UInt32)}, Version) SETTINGS lightweight_deletes_sync = 2",
            parameters={"views": [view.version for view in views]},
        )


class _TableCopy:
    """Copies or compares one table."""

    def __init__(
        self,
        source: Store,
        cluster: Cluster,
        source_client: Client,
        target_client: Client,
        name: str,
        engine: str,
    ) -> None:
        self._source = source
        self._shard_table = cluster.shard_table(name)
        self._source_client = source_client
        self._target_client = target_client
        self._table = MovedTable(name)
        columns = source_client.query(COLUMNS, parameters={"table": name}).result_rows
        if columns != target_client.query(COLUMNS, parameters={"table": name}).result_rows:
            raise StorageError(f"otel.{name} has other columns on the target")
        self._columns = [column for column, _ in columns]
        hashed = ", ".join(_hashed_expression(column, type_) for column, type_ in columns)
        # Either side merges its parts at any time, so the compared rows are those that remain when
        # all parts are merged.
        final = "" if engine == "MergeTree" else "FINAL"
        self._checksum_query = (
            f"SELECT count(), sum(cityHash64({hashed})) FROM otel.{name} {final} "
            "WHERE _partition_id = {partition:String}"
        )

    def run(self, report: Callable[[str], None]) -> MovedTable:
        """Make the target's table equal to the source's."""
        partitions = self._partitions(self._source_client)
        target_partitions = self._partitions(self._target_client)
        for partition in target_partitions - partitions:
            self._drop(partition)
        for partition in sorted(partitions):
            source = self._checksum(self._source_client, partition)
            target = Checksum()
            if partition in target_partitions:
                target = self._checksum(self._target_client, partition)
            if target != source:
                if partition in target_partitions:
                    self._drop(partition)
                self._table.sent_rows += self._send(partition)
                target = self._checksum(self._target_client, partition)
            self._add(partition, source, target, report)
        return self._table

    def compare(self, report: Callable[[str], None]) -> MovedTable:
        """Compare all partitions of both sides, and change nothing."""
        partitions = self._partitions(self._source_client) | self._partitions(self._target_client)
        for partition in sorted(partitions):
            source = self._checksum(self._source_client, partition)
            target = self._checksum(self._target_client, partition)
            self._add(partition, source, target, report)
        return self._table

    def _add(
        self, partition: str, source: Checksum, target: Checksum, report: Callable[[str], None]
    ) -> None:
        self._table.source += source
        self._table.target += target
        report(f"{self._table.name} {partition}: {source.rows} rows")

    def _partitions(self, client: Client) -> set[str]:
        rows = client.query(PARTITIONS.format(table=self._table.name)).result_rows
        return {partition for (partition,) in rows}

    def _checksum(self, client: Client, partition: str) -> Checksum:
        (row,) = client.query(self._checksum_query, parameters={"partition": partition}).result_rows
        return Checksum(*map(int, row))

    def _drop(self, partition: str) -> None:
        self._target_client.command(
            f"ALTER TABLE {self._shard_table} DROP PARTITION ID {{partition:String}}",
            parameters={"partition": partition},
        )

    def _send(self, partition: str) -> int:
        """Send all rows of a partition; returns how many."""
        sent_rows = 0
        for blocks, rows in self._blocks(partition):
            self._target_client.raw_insert(
                f"otel.{self._table.name}", self._columns, blocks, SETTINGS, "Native"
            )
            sent_rows += rows
        return sent_rows

    def _blocks(self, partition: str) -> Iterator[tuple[bytes, int]]:
        """The partition's rows in batches of whole blocks in Native format, with the number of rows
        in each batch."""
        names = ", ".join(f"`{name}`" for name in self._columns)
        connection = self._source.connect()
        try:
            stream = connection.send_query(
                f"SELECT {names} FROM otel.{self._table.name} "
                "WHERE _partition_id = {partition:String} SETTINGS max_threads = 2",
                "Native",
                params={"partition": partition},
            )
            batch, rows = bytearray(), 0
            while (chunk := connection.streaming_fetch_result(stream)) is not None:
                if not chunk.rows_read():
                    break
                batch += chunk.bytes()
                rows += chunk.rows_read()
                if len(batch) >= INSERT_BYTES:
                    yield bytes(batch), rows
                    batch, rows = bytearray(), 0
            if batch:
                yield bytes(batch), rows
        except RuntimeError as error:
            raise StorageError(f"otel.{self._table.name}: {error}") from error
        finally:
            connection.close()


def _hashed_expression(column: str, type_: str) -> str:
    """An expression of a column's value that does not depend on the order in which rows were
    merged."""
    if type_.startswith("AggregateFunction("):
        return f"finalizeAggregation(`{column}`)"
    if re.match(r"SimpleAggregateFunction\(groupUniqArray", type_):
        return f"arraySort(`{column}`)"
    if type_.startswith("Nullable("):  # a NULL would make the hash of the whole row NULL
        return f"isNull(`{column}`), ifNull(toString(`{column}`), '')"
    return f"`{column}`"
