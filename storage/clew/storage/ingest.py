"""Loads segments of OTLP bytes into the tables, exactly once.

The engine decodes them: a segment is one valid export request. Its file is inserted into a landing
table, and views turn the request into rows (schema/004*.sql). A small segment is decoded in Python,
which costs less than to plan those views (clew.storage.rows).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client
from google.protobuf.message import DecodeError

from clew.storage.errors import InsertError, NestedValues, StorageError
from clew.storage.inserts import insert_requests, insert_rows, query_id
from clew.storage.kinds import METRIC_KINDS, kinds_in
from clew.storage.ledger import LATE_AFTER, LedgerRow, write_rows
from clew.storage.migrations import statement
from clew.storage.quoting import literal
from clew.storage.rows import Rows, decode
from clew.storage.store import Store

logger = logging.getLogger(__name__)

LONGEST_INSERT = 30.0  # seconds to wait for inserts of other processes
RUNNING_INSERTS = """
SELECT count() FROM system.processes
WHERE elapsed > {since:Float64} AND query_kind IN ('Insert', 'AsyncInsertFlush')
"""
# Parts that may have been written while the disk was full.
PARTS_SINCE = """
SELECT table, name FROM system.parts
WHERE database = 'otel' AND active AND modification_time >= toDateTime({since:UInt32})
"""
# A segment of up to so many bytes is decoded in Python. That pays up to twice this size
# (bench/segments.py), but other threads wait for Python meanwhile: 10 ms for this much.
DIRECT_BYTES = 256 << 10
KEYS_PER_STATEMENT = 1000  # a server accepts 128 KiB for a parameter


@dataclass(frozen=True)
class SideTable:
    """A table that a view fills from the base rows, and how to find the rows a segment touches.

    `key` is an expression over the side table, `base_key` the same over the base table. If the view
    reads another side table, that is its `source`, listed before it, and `source_key` the key over
    that one. `count` is the column whose sum is the number of base rows, if there is one."""

    name: str
    key: str
    base_key: str
    count: str = ""
    source: str = ""
    source_key: str = ""


@dataclass(frozen=True)
class Signal:
    """One of OTLP's signals, and its tables.

    `landings`: each landing table, and the base table that its view fills; `message`: the message
    in otlp.proto; `time`: the column of an item's own time; `derived`: the analysis tables."""

    name: str
    landings: Mapping[str, str]
    message: str
    time: str
    sides: tuple[SideTable, ...] = ()
    derived: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """The base tables."""
        return tuple(self.landings.values())


TRACES = Signal(
    "traces",
    {"clew_landing_traces": "otel_traces"},
    "Traces",
    "Timestamp",
    (
        SideTable("clew_traces", "TraceId", "TraceId", "SpanCount"),
        SideTable(
            "clew_operations_1m",
            "(ServiceName, Minute)",
            "(ServiceName, clew_minute(Timestamp))",
            "Count",
        ),
        # After clew_operations_1m, whose rebuilding adds rows to this one.
        SideTable(
            "clew_operations_1h",
            "(ServiceName, Hour)",
            "(ServiceName, toStartOfHour(clew_minute(Timestamp)))",
            "Count",
            source="clew_operations_1m",
            source_key="(ServiceName, toStartOfHour(Minute))",
        ),
        # After clew_operations_1m, as the one before.
        SideTable(
            "clew_watch_1m",
            "(ServiceName, Minute)",
            "(ServiceName, clew_minute(Timestamp))",
            "Count",
            source="clew_operations_1m",
            source_key="(ServiceName, Minute)",
        ),
        SideTable("clew_roots", "Segment", "Segment"),
        SideTable("clew_span_exceptions", "Segment", "Segment"),
    ),
    (
        "clew_settled",
        "clew_edges_1m",
        "clew_watch_1h",
        "clew_entry_services",
        "clew_attributes",
        "clew_occurrence_traces",
        "clew_occurrences",
    ),
)
LOGS = Signal(
    "logs",
    {"clew_landing_logs": "otel_logs"},
    "Logs",
    "Timestamp",
    (
        SideTable("clew_log_exceptions", "Segment", "Segment"),
        SideTable("clew_log_events", "Minute", "clew_minute(Timestamp)"),
        SideTable(
            "clew_log_templates",
            "(ServiceName, Hour)",
            "(ServiceName, toStartOfHour(clew_minute(Timestamp)))",
            "Count",
        ),
    ),
)
METRICS = Signal(
    "metrics",
    {f"clew_landing_metrics_{kind}": f"otel_metrics_{kind}" for kind in METRIC_KINDS},
    "Metrics",
    "TimeUnix",
)
SIGNALS = {signal.name: signal for signal in (TRACES, LOGS, METRICS)}


@dataclass(frozen=True)
class StoredItems:
    """The number of stored items of a service, and of those that are late: their own time is more
    than LATE_AFTER seconds from their time of receipt."""

    items: int
    late: int


class Ingest:
    """Loads segments and writes the ledger. Thread-safe.

    `received_at` is the time of a segment's first request, in seconds since 1970."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._full_since: float | None = None  # when the disk was seen to be full; seconds
        self._reopening = threading.Lock()
        self._whole_parts: set[tuple[str, str]] = set()  # of those since then: table and part

    def load(
        self, signal: Signal, path: Path, segment: int, items: int, received_at: float
    ) -> dict[str, StoredItems]:
        """Insert the segment in `path`, of whose id no row is stored yet, and count its rows.

        Returns the counts by service, only if all of its `items` are stored. Raises NestedValues
        when nothing was stored, since the segment contains arrays or maps: write them out as text
        first. Raises Unacceptable when the engine cannot decode the bytes, InsertError when it is
        unknown what was stored: `reload` the segment.
        """
        self._check_free_space(path)
        with self._store.client() as client:
            tables = self._insert(client, signal, path, segment, direct=True)
            self._check_free_space(path)
            stored = _count(client, signal, segment, received_at, tables)
        return _checked(items, segment, stored)

    def reload(
        self, signal: Signal, path: Path, segment: int, items: int, received_at: float
    ) -> dict[str, StoredItems]:
        """Load an ambiguous segment: all, some or none of it may be stored.

        The rows with its id are removed, the segment is inserted, and every side row that it
        touches is rebuilt from the base table. The caller loads nothing else meanwhile. An insert
        of another process in between is detected and raises InsertError. The call can be repeated
        after it failed, or was killed, at any point. Returns and raises as `load`.
        """
        try:
            stored = self._reload(signal, path, segment, received_at)
        finally:
            self._store.changes.add()
        return _checked(items, segment, stored)

    def _reload(
        self, signal: Signal, path: Path, segment: int, received_at: float
    ) -> dict[str, StoredItems]:
        with self._store.write_lock, self._store.client() as client:
            if not self._store.embedded:
                # An earlier attempt may still run, though its client is gone.
                client.command(
                    f"KILL QUERY{self._store.cluster.on_cluster} "
                    "WHERE initial_query_id = {id:String} "
                    "OR Settings['log_comment'] = {id:String} SYNC",
                    parameters={"id": query_id(segment)},
                )
            self._check_free_space(path)
            self._whole_parts = set()
            self._reopen_broken_tables()
            self._full_since = None
            if _count(client, signal, segment, received_at):
                for table in signal.tables:
                    self._delete(client, table, f"Segment = {segment}")
            self._insert(client, signal, path, segment)
            stored = _count(client, signal, segment, received_at)
            for side in signal.sides:
                self._rebuild_side_rows(client, signal, side, segment)
            if self._store.shared:
                self._check_sides(client, signal, segment)
        return stored

    def count(self, signal: Signal, segment: int, received_at: float) -> dict[str, StoredItems]:
        """The stored items of a segment, by service."""
        with self._store.client() as client:
            return _count(client, signal, segment, received_at)

    def write_ledger(self, rows: list[LedgerRow]) -> None:
        """Insert rows into the ledger. Idempotent."""
        write_rows(self._store, rows)

    def _check_free_space(self, path: Path) -> None:
        """Raises InsertError while the database's disk is nearly full.

        On a full disk the engine may report success and leave parts behind whose files are all
        empty, and a DELETE waits until there is space, and blocks every other statement meanwhile.
        """
        try:
            self._store.check_free_space(2 * path.stat().st_size)
        except StorageError as error:
            self._full_since = self._full_since or time.time()
            self._reopen_broken_tables()
            raise InsertError(str(error)) from error

    def _reopen_broken_tables(self) -> None:
        """Have the engine set aside the parts that it wrote while the disk was full and cannot
        read. It does so when it opens a table, without space, and takes up again the parts that a
        merge or a mutation had replaced by them. The segments of the others are ambiguous, and
        bring the rows again."""
        full_since = self._full_since  # another thread may end this state meanwhile
        if full_since is None:
            return
        with self._reopening, self._store.client() as client:
            since = int(full_since - LONGEST_INSERT)
            parts = client.query(PARTS_SINCE, parameters={"since": since}).result_rows
            broken = {table for table, part in parts if not self._is_whole(client, table, part)}
            for table in sorted(broken):
                logger.error("the disk was full: parts of %s are empty, and set aside", table)
                client.command(f"DETACH TABLE otel.{table} SYNC")
                client.command(f"ATTACH TABLE otel.{table}")
                self._store.changes.add()

    def _is_whole(self, client: Client, table: str, part: str) -> bool:
        if (table, part) not in self._whole_parts:
            is_whole = client.query(
                f"CHECK TABLE otel.{table} PART {literal(part)} "
                "SETTINGS check_query_single_value_result = 1"
            ).result_rows[0][0]
            if not int(is_whole):
                return False
            self._whole_parts.add((table, part))
        return True

    def _insert(
        self, client: Client, signal: Signal, path: Path, segment: int, *, direct: bool = False
    ) -> Sequence[str]:
        """Insert the segment; returns the tables that have its rows. With `direct`, a small one is
        decoded in Python and inserted into its base tables, not its landing tables."""
        if direct and (decoded := _decode_small(signal, path)) is not None:
            for rows in decoded:
                insert_rows(self._store, client, rows, path.parent, segment)
            return [rows.table for rows in decoded]
        landings = list(signal.landings)
        if signal is METRICS:
            kinds = kinds_in(path.read_bytes())
            landings = [f"clew_landing_metrics_{kind}" for kind in kinds]
        for number, landing in enumerate(landings):
            try:
                insert_requests(self._store, client, landing, signal.message, path, segment)
            except NestedValues:
                for inserted in landings[:number]:
                    self._delete(client, signal.landings[inserted], f"Segment = {segment}")
                self._store.changes.add(*signal.tables)
                raise
        return [signal.landings[landing] for landing in landings]

    def _rebuild_side_rows(
        self, client: Client, signal: Signal, side: SideTable, segment: int
    ) -> None:
        """Delete the side rows that the segment touches, and aggregate them again with the view's
        own SELECT."""
        for keys, parameters in self._touched_keys(client, signal, side, segment):
            self._delete(client, side.name, f"{side.key} IN ({keys})", parameters)
            client.command(
                f"INSERT INTO otel.{side.name} {_select_for_keys(signal, side, keys)}",
                parameters=parameters,
            )

    def _touched_keys(
        self, client: Client, signal: Signal, side: SideTable, segment: int
    ) -> list[tuple[str, dict[str, str]]]:
        """The keys of the side rows that the segment touches, as one or more pairs of an expression
        for IN and its parameters.

        On a cluster the keys are read first: each shard would run the subquery over its own rows,
        and each replica at another time."""
        base = signal.tables[0]
        select = f"SELECT {side.base_key} AS key FROM otel.{base} WHERE Segment = {segment}"
        lists = _key_lists(client, select) if self._store.cluster.name else [(select, "")]
        return [(keys, {"keys": text}) for keys, text in lists]

    def _check_sides(self, client: Client, signal: Signal, segment: int) -> None:
        """Raises InsertError when the rebuilt side rows do not add up: another process inserted
        rows between the DELETE and the INSERT, and its view inserted them as well. Every process
        that reloads checks this, so the last of them finds the difference and repeats it."""
        self._wait_for_inserts(client)
        for side in signal.sides:
            if not side.count:
                continue
            for keys, parameters in self._touched_keys(client, signal, side, segment):
                side_count, base_count = client.query(
                    f"SELECT (SELECT sum({side.count}) FROM otel.{side.name} "
                    f"WHERE {side.key} IN ({keys})), "
                    f"(SELECT sum({side.count}) FROM ({_select_for_keys(signal, side, keys)}))",
                    parameters=parameters,
                ).result_rows[0]
                if side_count != base_count:
                    raise InsertError(
                        f"segment {segment}: another process writes to {side.name} at the same time"
                    )

    def _wait_for_inserts(self, client: Client) -> None:
        """Wait for the inserts that are running: they may have written the base table only. Raises
        InsertError after LONGEST_INSERT."""
        start = time.monotonic()
        while time.monotonic() - start < LONGEST_INSERT:
            running = client.query(
                self._store.cluster.over_all_nodes(RUNNING_INSERTS),
                parameters={"since": time.monotonic() - start},
            ).result_rows[0][0]
            if not running:
                return
            time.sleep(0.05)
        raise InsertError(
            f"an insert of another process takes more than {LONGEST_INSERT:.0f} s: waiting for it"
        )

    def _delete(
        self, client: Client, table: str, condition: str, parameters: dict[str, str] | None = None
    ) -> None:
        client.command(
            f"DELETE FROM {self._store.cluster.shard_table(table)} WHERE {condition} "
            "SETTINGS lightweight_deletes_sync = 2",
            parameters=parameters,
        )


def _select_for_keys(signal: Signal, side: SideTable, keys: str) -> str:
    source, key = side.source or signal.tables[0], side.source_key or side.base_key
    return side_select(side, source, f"{key} IN ({keys})")


def _key_lists(client: Client, select: str) -> list[tuple[str, str]]:
    """The keys that a SELECT returns, in lists that fit into a statement: pairs of an expression
    with the parameter `keys`, and that parameter's value."""
    rows = client.query(
        "SELECT toTypeName(list), toString(list) FROM (SELECT groupArray(key) AS list FROM "
        "(SELECT key, rowNumberInAllBlocks() AS number "
        f"FROM (SELECT DISTINCT key FROM ({select}))) "
        f"GROUP BY intDiv(number, {KEYS_PER_STATEMENT}))"
    ).result_rows
    return [(f"CAST({{keys:String}}, '{type}')", text) for type, text in rows]


def _decode_small(signal: Signal, path: Path) -> list[Rows] | None:
    """The rows of a small segment; None if it is not small. Raises NestedValues."""
    if path.stat().st_size > DIRECT_BYTES:
        return None
    try:
        return decode(signal.name, path.read_bytes())
    except DecodeError:  # the engine may read it, and says what is wrong with it if not
        return None


def _count(
    client: Client,
    signal: Signal,
    segment: int,
    received_at: float,
    tables: Sequence[str] | None = None,
) -> dict[str, StoredItems]:
    """The stored items of a segment, by service. `tables`: those that it was inserted into, since
    reading a table takes 3 ms; by default all of the signal."""
    counts = " UNION ALL ".join(
        f"SELECT toString(ServiceName) AS service, {signal.time} NOT BETWEEN "
        "{from:DateTime64(3)} AND {to:DateTime64(3)} AS late "
        f"FROM otel.{table} WHERE Segment = {{segment:UInt64}}"
        for table in tables or signal.tables
    )
    rows = client.query(
        f"SELECT service, count(), countIf(late) FROM ({counts}) GROUP BY service",
        parameters={
            "segment": segment,
            "from": received_at - LATE_AFTER,
            "to": received_at + LATE_AFTER,
        },
    ).result_rows
    return {service: StoredItems(items, late) for service, items, late in rows}


def _checked(items: int, segment: int, stored: dict[str, StoredItems]) -> dict[str, StoredItems]:
    """`stored`, if all items of the segment are. Raises InsertError otherwise."""
    count = sum(service.items for service in stored.values())
    if count != items:
        raise InsertError(f"segment {segment}: {count} of {items} items stored")
    return stored


def side_select(side: SideTable, base: str, condition: str) -> str:
    """The SELECT of the side table's view, over the rows of `base` that meet the condition."""
    view = statement(f"{side.name}_view")
    select = view.partition(f"_view TO otel.{side.name} AS\n")[2]
    source = f"\nFROM otel.{base}\n"
    if select.count(source) != 1:
        raise AssertionError(f"the view of {side.name} reads otel.{base} in more than one place")
    return select.replace(
        source, f"\nFROM (SELECT * FROM otel.{base} WHERE {condition}) AS {base}\n"
    )
