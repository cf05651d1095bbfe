"""Retention: how long rows are kept, and how much disk the tables may take."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from clew.storage.ingest import SIGNALS, TRACES, Signal, side_select
from clew.storage.store import Store

logger = logging.getLogger(__name__)

# Seconds between two checks: so many while the database is near its limit, at most so many, and
# no more than inserts at FILLING bytes a second need to reach it. A check reads all parts, 10 ms.
CHECK_EVERY, MAX_CHECK_EVERY = 30.0, 300.0
FILLING = 100e6
# The default share of the disk for the database: the spool may take a tenth of the disk, and a
# merge needs space for its result beside its sources.
DATABASE_SHARE = 0.8
# The database leaves 5 % of the disk free, where filesystems slow down and the spool must refuse
# requests, but 10 GiB at most: when other data has filled 95 % of a large disk, no day is dropped.
FREE_SHARE = 0.05
MAX_FREE = 10 << 30
ROLLUPS = "rollups"  # beside the signals, what has a retention of its own: these tables
HISTORY = "clew_watch_1h"  # small, and worth more the longer it is: no day of it makes room
ROLLUP_TABLES = ("clew_operations_1h", HISTORY)
WATCH_DAYS = 3  # of clew_watch_1m: the watcher looks back a day
BATCH_IDS = 1000  # ids in the parameter of one statement
DELETE = (
    "DELETE FROM otel.{table} WHERE has({{ids:Array(String)}}, TraceId) "
    "SETTINGS lightweight_deletes_sync = 2"
)


def set_retention(store: Store, days: Mapping[str, int]) -> None:
    """Set the TTL of all tables. `days`: by signal, and for ROLLUPS, how long rows are kept after
    their insert.

    Side tables are kept as long as their base table, rollups by the hour as long as ROLLUPS says,
    the ledger as long as the longest of all. The
    engine drops a part in the background once all its rows have expired, usually at most a day
    late, because a part holds rows of one day. Only the rows of clew_operations, which are all in
    one part, are deleted one by one.

    The TTL counts from InsertedAt: by the event's time, a row with timestamp 0 would expire during
    its insert."""
    cluster = store.cluster
    with store.client() as client:
        statements = _create_statements(client, store)
        for table, ttl in ttls(days).items():
            statement = statements[cluster.local_table(table)]
            shard_table = cluster.shard_table(table)
            if table == "clew_operations" and "ttl_only_drop_parts = 1" in statement:
                client.command(f"ALTER TABLE {shard_table} MODIFY SETTING ttl_only_drop_parts = 0")
            if ttl not in statement:
                client.command(
                    f"ALTER TABLE {shard_table} MODIFY {ttl} "
                    "SETTINGS materialize_ttl_after_modify = 0"
                )


def ttls(days: Mapping[str, int]) -> dict[str, str]:
    """The TTL clauses of all tables that have one, by table; `days` as for set_retention."""
    days_by_table = (
        {
            table: days[signal.name]
            for signal in SIGNALS.values()
            for table in (*signal_tables(signal), *signal.derived)
        }
        | dict.fromkeys(ROLLUP_TABLES, days[ROLLUPS])
        | {"clew_operations": days[TRACES.name], "clew_ledger": max(days.values())}
        | {"clew_watch_1m": min(WATCH_DAYS, days[TRACES.name])}
    )
    return {
        table: f"TTL InsertedAt + toIntervalDay({int(table_days)})"
        for table, table_days in days_by_table.items()
    }


def _create_statements(client: Client, store: Store) -> dict[str, str]:
    """The CREATE statements of all tables, by database and name: one statement, in place of 2.5 ms
    for each table."""
    rows = client.query(
        "SELECT concat(database, '.', name), create_table_query FROM system.tables "
        "WHERE has({databases:Array(String)}, database)",
        parameters={"databases": store.cluster.databases},
    ).result_rows
    return {name: statement for name, statement in rows}  # noqa: C416 - dict() of typed rows


def signal_tables(signal: Signal) -> tuple[str, ...]:
    """The signal's base tables, then its side tables."""
    return (*signal.tables, *(side.name for side in signal.sides))


@dataclass(frozen=True)
class Limit:
    """`size`: bytes that the tables may take on disk. `free`: bytes of the disk to leave free."""

    size: int
    free: int = 0


def default_limit(store: Store) -> Limit | None:
    """The default limit for the disk of the embedded engine; None for a server, whose disk is the
    concern of its operators."""
    if not store.embedded:
        return None
    with store.client() as client:
        total = int(str(client.command("SELECT max(total_space) FROM system.disks")))
    return Limit(int(total * DATABASE_SHARE), min(int(total * FREE_SHARE), MAX_FREE))


@dataclass(frozen=True)
class Eviction:
    """What `make_room` did: the ids of the dropped partitions, the ids of the traces that lost
    spans, and the bytes by which the database is still over its limit (0 or less: it is not)."""

    dropped_partitions: list[str]
    shortened_traces: list[str]
    excess: int


class Guard:
    """Keeps the database below its limit by dropping whole days, the oldest first: call `check`
    again after the seconds that it returns.

    `pause` stops inserts while it is entered. `report_shortened` is called with the ids of the
    traces that lost spans."""

    def __init__(
        self,
        store: Store,
        limit: Limit,
        pause: Callable[[], AbstractContextManager[object]],
        report_shortened: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._limit = limit
        self._pause = pause
        self._report_shortened = report_shortened
        self._is_logged = False

    def check(self) -> float:
        """Drop the oldest days while the database is over its limit. When only today is left and it
        still is, log that once. Returns the seconds until the next check."""
        eviction = make_room(self._store, self._limit, self._pause)
        self._report_shortened(eviction.shortened_traces)
        if eviction.excess > 0 and not self._is_logged:
            logger.error(
                "the database exceeds its limit, or the disk its free space, by %d MiB, and only "
                "today's rows could still be dropped: raise --database-limit, free disk space, or "
                "send less telemetry",
                -(-eviction.excess >> 20),
            )
        self._is_logged = eviction.excess > 0
        return min(max(CHECK_EVERY, -eviction.excess / FILLING), MAX_CHECK_EVERY)


def make_room(
    store: Store, limit: Limit, pause: Callable[[], AbstractContextManager[object]]
) -> Eviction:
    """Drop whole partitions of all tables but HISTORY until the database is within `limit`.

    The past is dropped first, its oldest day first, then days in the future. Today is never
    dropped: when the disk fills up, the spool refuses requests and clients send them again. A day
    that exceeds the limit needs a larger limit or less traffic; dropping it would remove exactly
    the rows that are being read."""
    dropped_partitions: list[str] = []
    shortened_traces: list[str] = []
    with store.client() as client:
        excess = _excess(client, limit)
        for partition, size in _partitions(client) if excess > 0 else ():
            if excess <= 0:
                break
            with pause():
                shortened_traces += _drop(client, partition)
            store.changes.add()
            excess -= size
            dropped_partitions.append(partition)
    return Eviction(dropped_partitions, shortened_traces, excess)


def _excess(client: Client, limit: Limit) -> int:
    """By how many bytes the database is too large. Inactive parts count as free, because the engine
    is about to remove them."""
    active, inactive, free = client.query(
        "SELECT sumIf(bytes_on_disk, active), sumIf(bytes_on_disk, NOT active), "
        "(SELECT min(unreserved_space) FROM system.disks) "
        "FROM system.parts WHERE database = 'otel'"
    ).result_rows[0]
    return max(int(active) - limit.size, limit.free - int(free) - int(inactive))


def _partitions(client: Client) -> list[tuple[str, int]]:
    """The ids and bytes of the partitions that may be dropped, in the order of dropping.

    An id is a date, yyyymmdd or a prefix of it; partitions with other ids are not dropped."""
    rows: Any = client.query(
        "SELECT partition_id, sum(bytes_on_disk), toString(toYYYYMMDD(now('UTC'))) "
        "FROM system.parts WHERE active AND database = 'otel' "
        "AND has({tables:Array(String)}, table) AND match(partition_id, '^[0-9]{6}') GROUP BY 1",
        parameters={
            "tables": [
                table
                for signal in SIGNALS.values()
                for table in (*signal_tables(signal), *signal.derived)
                if table not in ROLLUP_TABLES
            ]
        },
    ).result_rows
    past = sorted((id, size) for id, size, today in rows if id < today[: len(id)])
    future = sorted((id, size) for id, size, today in rows if id[:8] > today[: len(id)])
    return past + future[::-1]


def _drop(client: Client, partition: str) -> list[str]:
    """Drop the partition from every table; returns the ids of the traces that lost spans.

    Base tables come first, so that a check after a kill finds the remaining tables and drops the
    partition from them."""
    for signal in SIGNALS.values():
        for table in signal.tables:
            _drop_from(client, table, partition)
    shortened_traces = _rebuild_shortened_traces(client, partition)
    for signal in SIGNALS.values():
        for table in (*(side.name for side in signal.sides), *signal.derived):
            if table != HISTORY:
                _drop_from(client, table, partition)
    return shortened_traces


def _rebuild_shortened_traces(client: Client, partition: str) -> list[str]:
    """Update the rows of traces that lost spans with a partition; returns the traces' ids.

    A trace that runs past midnight may have one row of clew_traces for spans of two days: such rows
    are made again from the remaining spans. The rows of clew_settled, which describe the complete
    trace, are deleted until the settler makes new ones."""
    side = next(side for side in TRACES.sides if side.name == "clew_traces")
    rows = client.query(
        "SELECT DISTINCT TraceId FROM otel.clew_traces WHERE toDate(Start) < toDate(End) "
        "AND substring(toString(toYYYYMMDD(Start)), 1, {length:UInt8}) <= {id:String} "
        "AND {id:String} <= substring(toString(toYYYYMMDD(End)), 1, {length:UInt8})",
        parameters={"id": partition, "length": len(partition[:8])},
    ).result_rows
    ids = [id for (id,) in rows]
    for batch in _batches(ids):
        client.command(DELETE.format(table="clew_traces"), parameters=batch)
        remaining = side_select(side, TRACES.tables[0], "TraceId IN {ids:Array(String)}")
        client.command(f"INSERT INTO otel.clew_traces {remaining}", parameters=batch)
    shortened_traces = sorted({*ids, *_traces_across_midnight(client, partition)})
    for batch in _batches(shortened_traces):
        client.command(DELETE.format(table="clew_settled"), parameters=batch)
    return shortened_traces


def _traces_across_midnight(client: Client, partition: str) -> set[str]:
    """The ids of traces that have a row before and a row after one of the day's two midnights, both
    at most an hour from it."""
    if len(partition) != len("yyyymmdd"):
        return set()
    day = datetime.strptime(partition, "%Y%m%d").replace(tzinfo=UTC)
    ids: set[str] = set()
    for midnight in (day, day + timedelta(days=1)):
        hours = {"before": -1, "midnight": 0, "after": 1}
        times = {name: midnight + timedelta(hours=offset) for name, offset in hours.items()}
        rows = client.query(
            "SELECT DISTINCT TraceId FROM otel.clew_traces "
            "WHERE Start >= {midnight:DateTime64(9)} AND Start < {after:DateTime64(9)} "
            "AND TraceId IN (SELECT TraceId FROM otel.clew_traces "
            "WHERE Start >= {before:DateTime64(9)} AND Start < {midnight:DateTime64(9)})",
            parameters={name: f"{time:%Y-%m-%d %H:%M:%S}" for name, time in times.items()},
        ).result_rows
        ids |= {id for (id,) in rows}
    return ids


def _batches(ids: Sequence[str]) -> Iterator[dict[str, Sequence[str]]]:
    """The ids in batches of at most BATCH_IDS, each as the parameters of a statement."""
    for start in range(0, len(ids), BATCH_IDS):
        yield {"ids": ids[start : start + BATCH_IDS]}


def _drop_from(client: Client, table: str, partition: str) -> None:
    parameters = {"table": table, "partition": partition}
    rows, size = client.query(
        "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active "
        "AND database = 'otel' AND table = {table:String} AND partition_id = {partition:String}",
        parameters=parameters,
    ).result_rows[0]
    if not rows:
        return
    client.command(
        "INSERT INTO otel.clew_expired (Table, Partition, Rows, Bytes, Reason) "
        "SELECT {table:String}, {partition:String}, {rows:UInt64}, {bytes:UInt64}, 'size'",
        parameters=parameters | {"rows": int(rows), "bytes": int(size)},
    )
    client.command(f"ALTER TABLE otel.{table} DROP PARTITION ID '{partition}'")
    logger.info(
        "otel.%s: dropped partition %s (%d rows, %d MiB) to keep the database within its limit",
        *(table, partition, rows, int(size) >> 20),
    )
