"""The tables of an embedded database into a server's, with proof that they are equal.

Partition by partition, in the engine's own format, as they are: rows keep their segments and times,
side tables and what the settler made are copied like their base. So that they do not come twice,
the target has no views meanwhile; they hold no rows, and are made at the end.

A partition is compared by its rows and the sum of their hashes: one that is equal is left alone,
any other is dropped and sent again. So a run that was cut short anywhere is simply run once more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from clickhouse_connect.driver.client import Client

from clew.storage.cluster import Cluster
from clew.storage.errors import StorageError
from clew.storage.migrations import VIEW, known, migrate
from clew.storage.store import Store

AT_ONCE = 32 << 20  # bytes of an insert, about
MARK = "clew-move"
NOT_COPIED = ("clew_migrations", "clew_move")  # what was applied where, and this one's own
MOVING = """
CREATE TABLE IF NOT EXISTS otel.clew_move (Source String)
ENGINE = MergeTree
ORDER BY Source
"""
# On the server an insert may still run whose sender was killed.
KILL = "KILL QUERY{everywhere} WHERE Settings['log_comment'] = {{mark:String}} SYNC"
SETTINGS: dict[str, int | str] = {
    "log_comment": MARK,
    "optimize_on_insert": 0,
    "max_partitions_per_insert_block": 0,
    "throw_on_max_partitions_per_insert_block": 0,
}
ID = "SELECT uuid FROM system.tables WHERE database = 'otel' AND name = 'clew_migrations'"
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
class Sum:
    """Rows, and the sum of their hashes: whatever their order, and in whichever parts."""

    rows: int = 0
    hashes: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.rows + other.rows, (self.hashes + other.hashes) % (1 << 64))


@dataclass
class Moved:
    """A table on both sides, as far as it has been compared; rows `sent` by this run."""

    name: str
    source: Sum = Sum()
    target: Sum = Sum()
    sent: int = 0

    @property
    def equal(self) -> bool:
        return self.source == self.target


def move(
    source: Store, target: Store, told: Callable[[str], None] = lambda text: None
) -> list[Moved]:
    """Copy all tables; how they compare. Nobody else may write on either side.

    `told` is called with each partition that is done. Raises StorageError for a target that has
    rows of its own and is not equal already; nothing in it is changed then."""
    if not source.embedded or target.embedded:
        raise StorageError("move copies an embedded database to a ClickHouse server")
    migrate(source)
    with source.client() as ours, target.client() as theirs:
        everywhere = target.cluster.on_cluster
        theirs.command(KILL.format(everywhere=everywhere), parameters={"mark": MARK})
        copied = [each for each in ours.query(TABLES).result_rows if each[0] not in NOT_COPIED]
        copies = partial(_Copy, source, target.cluster, ours, theirs)
        if (has := _claim(theirs, target.cluster, str(ours.command(ID)))) is not None:
            tables = [copies(*each).compare(told) for each in copied]
            if not all(table.equal for table in tables):
                raise StorageError(
                    f"the target has rows already, such as {has}: move into a server whose "
                    "database otel is empty, before anything else writes to it"
                )
            return tables
        _take_views(theirs, target.cluster)
        migrate(target, views=False)
        tables = [copies(*each).run(told) for each in copied]
        migrate(target)
        if all(table.equal for table in tables):
            theirs.command(f"DROP TABLE otel.clew_move{everywhere} SYNC")
    return tables


def _claim(target: Client, cluster: Cluster, source: str) -> str | None:
    """The target is ours from here on: whatever differs in it was sent by us. Or else what it has
    that we did not send."""
    if int(str(target.command("EXISTS TABLE otel.clew_move"))):
        sources = target.query("SELECT Source FROM otel.clew_move").result_rows
        if sources == [(source,)]:
            return None
        if sources:
            raise StorageError("another database is being moved there: finish that, or empty it")
    for name, _ in target.query(TABLES).result_rows:
        rows = int(str(target.command(f"SELECT count() FROM otel.{name}")))
        if rows and name not in NOT_COPIED:
            return f"{rows} in otel.{name}"
    for sql in ("CREATE DATABASE IF NOT EXISTS otel", MOVING):
        for statement in cluster.statements(sql):
            target.command(statement)
    target.insert("otel.clew_move", [[source]], column_names=["Source"])
    return None


def _take_views(target: Client, cluster: Cluster) -> None:
    """Have the migrations make them again at the end."""
    views = [each for each in known() if each.kind == VIEW]
    for view in views:
        for statement in cluster.statements(f"DROP VIEW IF EXISTS otel.{view.name} SYNC"):
            target.command(statement)
    if int(str(target.command("EXISTS TABLE otel.clew_migrations"))):
        target.command(
            f"DELETE FROM {cluster.shard_table('clew_migrations')} "
            "WHERE has({views:Array(UInt32)}, Version) SETTINGS lightweight_deletes_sync = 2",
            parameters={"views": [view.version for view in views]},
        )


class _Copy:
    """One table."""

    def __init__(
        self,
        source: Store,
        cluster: Cluster,
        ours: Client,
        theirs: Client,
        name: str,
        engine: str,
    ) -> None:
        self._source = source
        self._stored = cluster.shard_table(name)
        self._ours = ours
        self._theirs = theirs
        self._table = Moved(name)
        columns = ours.query(COLUMNS, parameters={"table": name}).result_rows
        if columns != theirs.query(COLUMNS, parameters={"table": name}).result_rows:
            raise StorageError(f"otel.{name} has other columns on the target")
        self._columns = [column for column, _ in columns]
        hashed = ", ".join(_hashed(column, of) for column, of in columns)
        # Parts are merged whenever it suits either side: what is compared is what merging all of
        # them comes to.
        final = "" if engine == "MergeTree" else "FINAL"
        self._sum = (
            f"SELECT count(), sum(cityHash64({hashed})) FROM otel.{name} {final} "
            "WHERE _partition_id = {partition:String}"
        )

    def run(self, told: Callable[[str], None]) -> Moved:
        """Make it equal."""
        partitions, there = self._partitions(self._ours), self._partitions(self._theirs)
        for partition in there - partitions:
            self._drop(partition)
        for partition in sorted(partitions):
            source = self._of(self._ours, partition)
            target = self._of(self._theirs, partition) if partition in there else Sum()
            if target != source:
                if partition in there:
                    self._drop(partition)
                self._table.sent += self._send(partition)
                target = self._of(self._theirs, partition)
            self._compared(partition, source, target, told)
        return self._table

    def compare(self, told: Callable[[str], None]) -> Moved:
        for partition in sorted(self._partitions(self._ours) | self._partitions(self._theirs)):
            source = self._of(self._ours, partition)
            self._compared(partition, source, self._of(self._theirs, partition), told)
        return self._table

    def _compared(
        self, partition: str, source: Sum, target: Sum, told: Callable[[str], None]
    ) -> None:
        self._table.source += source
        self._table.target += target
        told(f"{self._table.name} {partition}: {source.rows} rows")

    def _partitions(self, client: Client) -> set[str]:
        rows = client.query(PARTITIONS.format(table=self._table.name)).result_rows
        return {partition for (partition,) in rows}

    def _of(self, client: Client, partition: str) -> Sum:
        (row,) = client.query(self._sum, parameters={"partition": partition}).result_rows
        return Sum(*map(int, row))

    def _drop(self, partition: str) -> None:
        self._theirs.command(
            f"ALTER TABLE {self._stored} DROP PARTITION ID {{partition:String}}",
            parameters={"partition": partition},
        )

    def _send(self, partition: str) -> int:
        sent = 0
        for blocks, rows in self._blocks(partition):
            self._theirs.raw_insert(
                f"otel.{self._table.name}", self._columns, blocks, SETTINGS, "Native"
            )
            sent += rows
        return sent

    def _blocks(self, partition: str) -> Iterator[tuple[bytes, int]]:
        """The partition's rows in pieces: each is whole blocks, one behind the other."""
        names = ", ".join(f"`{name}`" for name in self._columns)
        connection = self._source.connect()
        try:
            stream = connection.send_query(
                f"SELECT {names} FROM otel.{self._table.name} "
                "WHERE _partition_id = {partition:String} SETTINGS max_threads = 2",
                "Native",
                params={"partition": partition},
            )
            piece, rows = bytearray(), 0
            while (chunk := connection.streaming_fetch_result(stream)) is not None:
                if not chunk.rows_read():
                    break
                piece += chunk.bytes()
                rows += chunk.rows_read()
                if len(piece) >= AT_ONCE:
                    yield bytes(piece), rows
                    piece, rows = bytearray(), 0
            if piece:
                yield bytes(piece), rows
        except RuntimeError as error:
            raise StorageError(f"otel.{self._table.name}: {error}") from error
        finally:
            connection.close()


def _hashed(column: str, of: str) -> str:
    """What of a column's value does not depend on the order in which rows were merged."""
    if of.startswith("AggregateFunction("):
        return f"finalizeAggregation(`{column}`)"
    if re.match(r"SimpleAggregateFunction\(groupUniqArray", of):
        return f"arraySort(`{column}`)"
    if of.startswith("Nullable("):  # or the hash of the whole row would be NULL, and left out
        return f"isNull(`{column}`), ifNull(toString(`{column}`), '')"
    return f"`{column}`"
