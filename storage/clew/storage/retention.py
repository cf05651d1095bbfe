"""How long rows are kept, and how much disk they may take."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from clew.storage.ingest import SIGNALS, TRACES, Signal, select_of
from clew.storage.store import Store

logger = logging.getLogger(__name__)

CHECK_EVERY = 30.0  # seconds; at 100 MB/s of inserts, 3 GB
# What the database may take of its disk unless told otherwise: the spool has a tenth for itself,
# and a merge needs room for its result beside its sources. It never fills the last 5 %, where
# filesystems slow down and the spool has to refuse; of a large disk that others have filled to
# 95 %, 10 GiB do, and no day has to go for their sake.
SHARE_OF_DISK = 0.8
KEPT_FREE = 0.05
KEPT_FREE_AT_MOST = 10 << 30
DELETE = (
    "DELETE FROM otel.{table} WHERE has({{ids:Array(String)}}, TraceId) "
    "SETTINGS lightweight_deletes_sync = 2"
)


def set_retention(store: Store, days: Mapping[str, int]) -> None:
    """Keep rows of each signal for so many days after they were inserted; side tables like their
    base, the ledger as long as the longest. A part goes as a whole, in the background, once every
    row in it is that old: as a rule a day late at most, as a part holds rows of one day. Names of
    operations lie in one part, and go one by one.

    A delete by the event's own time would take a row with timestamp 0 while it is inserted."""
    kept = {
        table: days[signal.name]
        for signal in SIGNALS.values()
        for table in (*tables_of(signal), *signal.derived)
    } | {"clew_operations": days[TRACES.name], "clew_ledger": max(days.values())}
    with store.client() as client:
        for table, for_days in kept.items():
            wanted = f"TTL InsertedAt + toIntervalDay({int(for_days)})"
            created = str(client.command(f"SHOW CREATE TABLE {store.cluster.local_table(table)}"))
            stored = store.cluster.shard_table(table)
            if table == "clew_operations" and "ttl_only_drop_parts = 1" in created:
                client.command(f"ALTER TABLE {stored} MODIFY SETTING ttl_only_drop_parts = 0")
            if wanted not in created:
                client.command(
                    f"ALTER TABLE {stored} MODIFY {wanted} "
                    "SETTINGS materialize_ttl_after_modify = 0"
                )


def tables_of(signal: Signal) -> tuple[str, ...]:
    """The signal's base tables, then its side tables."""
    return (*signal.tables, *(side.name for side in signal.sides))


@dataclass(frozen=True)
class Limit:
    """Bytes that the tables may take; `free`: bytes of the disk to be left free besides."""

    size: int
    free: int = 0


def default_limit(store: Store) -> Limit | None:
    """From the disk of the embedded engine. A server's disk is not clew's to judge: None."""
    if not store.embedded:
        return None
    with store.client() as client:
        total = int(str(client.command("SELECT max(total_space) FROM system.disks")))
    return Limit(int(total * SHARE_OF_DISK), min(int(total * KEPT_FREE), KEPT_FREE_AT_MOST))


@dataclass(frozen=True)
class Room:
    """The partitions that were dropped, the traces that lost a part with them, and the bytes by
    which that was not enough."""

    dropped: list[str]
    shortened: list[str]
    excess: int


class Guard:
    """Keeps the database below its limit by dropping whole days, the oldest first: call `check`
    every CHECK_EVERY seconds.

    `paused` holds up what inserts, for as long as it is entered; `shortened` is called with the ids
    of traces that lost a part."""

    def __init__(
        self,
        store: Store,
        limit: Limit,
        paused: Callable[[], AbstractContextManager[object]],
        shortened: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._limit = limit
        self._paused = paused
        self._shortened = shortened
        self._reported = False

    def check(self) -> None:
        """Drop what is too much; log once when only today is left and it is still too much."""
        room = make_room(self._store, self._limit, self._paused)
        self._shortened(room.shortened)
        if room.excess > 0 and not self._reported:
            logger.error(
                "the database is %d MiB over its limit, or the disk that much too full, and only "
                "today is left to drop: raise --database-limit, make room, or have services send "
                "less",
                -(-room.excess >> 20),
            )
        self._reported = room.excess > 0


def make_room(
    store: Store, limit: Limit, paused: Callable[[], AbstractContextManager[object]]
) -> Room:
    """Drop whole partitions over all tables until the database is within `limit`.

    The past goes oldest first, then what claims to be from the future. Today stays even when it
    alone is too much: if the disk fills, clients are told to try again. A day that is too large
    needs a larger limit or less traffic, not a database that forgets the hour it is asked about."""
    dropped: list[str] = []
    shortened: list[str] = []
    with store.client() as client:
        excess = _excess(client, limit)
        for partition, size in _partitions(client):
            if excess <= 0:
                break
            with paused():
                shortened += _drop(client, partition)
            excess -= size
            dropped.append(partition)
    return Room(dropped, shortened, excess)


def _excess(client: Client, limit: Limit) -> int:
    """By how many bytes the database is too large. Parts that are inactive are as good as gone."""
    active, inactive = client.query(
        "SELECT sumIf(bytes_on_disk, active), sumIf(bytes_on_disk, NOT active) "
        "FROM system.parts WHERE database = 'otel'"
    ).result_rows[0]
    free = int(str(client.command("SELECT min(unreserved_space) FROM system.disks")))
    return max(int(active) - limit.size, limit.free - free - int(inactive))


def _partitions(client: Client) -> list[tuple[str, int]]:
    """The partitions that may go and their bytes, in the order in which they go.

    Their ids are read as dates (yyyymmdd, or what begins like it); others are left alone."""
    rows: Any = client.query(
        "SELECT partition_id, sum(bytes_on_disk), toString(toYYYYMMDD(now('UTC'))) "
        "FROM system.parts WHERE active AND database = 'otel' "
        "AND has({tables:Array(String)}, table) AND match(partition_id, '^[0-9]{6}') GROUP BY 1",
        parameters={
            "tables": [
                table
                for signal in SIGNALS.values()
                for table in (*tables_of(signal), *signal.derived)
            ]
        },
    ).result_rows
    past = sorted((id, size) for id, size, today in rows if id < today[: len(id)])
    future = sorted((id, size) for id, size, today in rows if id[:8] > today[: len(id)])
    return past + future[::-1]


def _drop(client: Client, partition: str) -> list[str]:
    """The partition out of every table, bases first: killed anywhere, what is left of it is found
    again by the next look. The traces that lost a part of them."""
    for signal in SIGNALS.values():
        for table in signal.tables:
            _drop_from(client, table, partition)
    shortened = _shorten(client, partition)
    for signal in SIGNALS.values():
        for table in (*(side.name for side in signal.sides), *signal.derived):
            _drop_from(client, table, partition)
    return shortened


def _shorten(client: Client, partition: str) -> list[str]:
    """A trace that runs past midnight may have a side row in one day for spans in two: make such
    rows again from the spans that are left. What a trace was when it was whole is not said of it
    any more, until it is settled again. The traces that lost a part."""
    side = next(side for side in TRACES.sides if side.name == "clew_traces")
    rows = client.query(
        "SELECT DISTINCT TraceId FROM otel.clew_traces WHERE toDate(Start) < toDate(End) "
        "AND substring(toString(toYYYYMMDD(Start)), 1, {length:UInt8}) <= {id:String} "
        "AND {id:String} <= substring(toString(toYYYYMMDD(End)), 1, {length:UInt8})",
        parameters={"id": partition, "length": len(partition[:8])},
    ).result_rows
    ids = [id for (id,) in rows]
    for some in _in_thousands(ids):
        client.command(DELETE.format(table="clew_traces"), parameters=some)
        left = select_of(side, TRACES.tables[0], "TraceId IN {ids:Array(String)}")
        client.command(f"INSERT INTO otel.clew_traces {left}", parameters=some)
    shortened = sorted({*ids, *_in_two_days(client, partition)})
    for some in _in_thousands(shortened):
        client.command(DELETE.format(table="clew_settled"), parameters=some)
    return shortened


def _in_two_days(client: Client, partition: str) -> set[str]:
    """Traces with rows of their own on either side of one of the day's midnights, an hour from it
    at the most."""
    if len(partition) != len("yyyymmdd"):
        return set()
    day = datetime.strptime(partition, "%Y%m%d").replace(tzinfo=UTC)
    found: set[str] = set()
    for midnight in (day, day + timedelta(days=1)):
        hours = {"before": -1, "midnight": 0, "after": 1}
        at = {name: midnight + timedelta(hours=number) for name, number in hours.items()}
        rows = client.query(
            "SELECT DISTINCT TraceId FROM otel.clew_traces "
            "WHERE Start >= {midnight:DateTime64(9)} AND Start < {after:DateTime64(9)} "
            "AND TraceId IN (SELECT TraceId FROM otel.clew_traces "
            "WHERE Start >= {before:DateTime64(9)} AND Start < {midnight:DateTime64(9)})",
            parameters={name: f"{time:%Y-%m-%d %H:%M:%S}" for name, time in at.items()},
        ).result_rows
        found |= {id for (id,) in rows}
    return found


def _in_thousands(ids: Sequence[str]) -> Iterator[dict[str, Sequence[str]]]:
    """The ids as statements take them."""
    for first in range(0, len(ids), 1000):
        yield {"ids": ids[first : first + 1000]}


def _drop_from(client: Client, table: str, partition: str) -> None:
    of = {"table": table, "partition": partition}
    rows, size = client.query(
        "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active "
        "AND database = 'otel' AND table = {table:String} AND partition_id = {partition:String}",
        parameters=of,
    ).result_rows[0]
    if not rows:
        return
    client.command(
        "INSERT INTO otel.clew_expired (Table, Partition, Rows, Bytes, Reason) "
        "SELECT {table:String}, {partition:String}, {rows:UInt64}, {bytes:UInt64}, 'size'",
        parameters=of | {"rows": int(rows), "bytes": int(size)},
    )
    client.command(f"ALTER TABLE otel.{table} DROP PARTITION ID '{partition}'")
    logger.info(
        "otel.%s: dropped partition %s, %d rows, %d MiB, to keep to the database's limit",
        *(table, partition, rows, int(size) >> 20),
    )
