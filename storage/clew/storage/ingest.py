"""Segments of OTLP bytes into the tables, exactly once.

The engine decodes: a segment is itself one valid export request, inserted as it lies on the disk
into a Null table of the request's shape, and views take it apart (schema/004*.sql).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.storage.errors import InsertError, NestedValues, Unacceptable
from clew.storage.kinds import KINDS, kinds_in
from clew.storage.ledger import LATE_AFTER, LedgerRow, enter
from clew.storage.migrations import statement
from clew.storage.quoting import assignments, literal
from clew.storage.store import Store

# What ClickHouse answers when it cannot make sense of what it is given: parsing, converting,
# arguments out of range, throwIf, and Protobuf's own.
CODES_OF_BAD_DATA = frozenset(
    (6, 26, 27, 32, 33, 36, 38, 41, 43, 53, 69, 70, 72, 117, 128, 131, 190, 321, 349, 395, 407)
) | frozenset(range(432, 446))

LONGEST_INSERT = 30.0  # seconds that somebody else's is waited for
UNDER_WAY = """
SELECT count() FROM system.processes
WHERE elapsed > {since:Float64} AND query_kind IN ('Insert', 'AsyncInsertFlush')
"""
ROOM = 16 << 20  # bytes of the disk that settling leaves alone
KEYS_AT_ONCE = 1000  # in a statement; a server takes 128 KiB for a parameter

OTLP_PROTO = files("clew.storage").joinpath("otlp.proto")

INSERT_SETTINGS: dict[str, int | str] = {
    # Rows of any age are kept: a batch that spans more days than the default of 100 is no error.
    "throw_on_max_partitions_per_insert_block": 0,
    "max_partitions_per_insert_block": 0,
    "async_insert": 0,
    # Indexes on attributes are made by the first merge, not on insert: for the 39 strings of a span
    # with its resource they cost a quarter of the insert, and parts not yet merged are small.
    "exclude_materialize_skip_indexes_on_insert": ", ".join(
        f"idx_{owner}attr_{part}"
        for owner in ("", "res_", "span_", "scope_", "log_")
        for part in ("key", "value")
    ),
}


@dataclass(frozen=True)
class SideTable:
    """A table that a view keeps from the base rows, and how to find a segment's share of it.

    key: the side table's columns; base_key: the same as expressions over the base table. A view may
    read a side table in turn, its `source`, which comes before it; source_key is over that one.
    `count` is the column that adds up to the base rows, where one does."""

    name: str
    key: str
    base_key: str
    count: str = ""
    source: str = ""
    source_key: str = ""


@dataclass(frozen=True)
class Signal:
    """One of OTLP's signals: where its requests go and where its items end up."""

    name: str
    landings: Mapping[str, str]  # where requests go, and the table that its view fills
    message: str
    time: str  # the column that holds an item's own time
    sides: tuple[SideTable, ...] = ()
    derived: tuple[str, ...] = ()  # what the settler makes of it, and makes again

    @property
    def tables(self) -> tuple[str, ...]:
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
        # Making clew_operations_1m again adds to this one, so it comes behind.
        SideTable(
            "clew_operations_1h",
            "(ServiceName, Hour)",
            "(ServiceName, toStartOfHour(clew_minute(Timestamp)))",
            "Count",
            source="clew_operations_1m",
            source_key="(ServiceName, toStartOfHour(Minute))",
        ),
        SideTable("clew_span_exceptions", "Segment", "Segment"),
    ),
    (
        "clew_settled",
        "clew_edges_1m",
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
    (SideTable("clew_log_exceptions", "Segment", "Segment"),),
)
METRICS = Signal(
    "metrics",
    {f"clew_landing_metrics_{kind}": f"otel_metrics_{kind}" for kind in KINDS},
    "Metrics",
    "TimeUnix",
)
SIGNALS = {signal.name: signal for signal in (TRACES, LOGS, METRICS)}


@dataclass(frozen=True)
class Stored:
    """How many items of a service are stored, and how many of them are late: their own time is more
    than LATE_AFTER off the time they were received at."""

    items: int
    late: int


class Ingest:
    """What the loader needs of storage. One instance serves any number of threads.

    `began` is when a segment's first request was received, in seconds since 1970."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(
        self, signal: Signal, path: Path, segment: int, items: int, began: float
    ) -> dict[str, Stored]:
        """Insert the segment in `path`, of whose id no row is stored yet, and count its rows.

        Returns the counts by service, only if all of its `items` are stored. Raises NestedValues
        when nothing was stored, since the segment contains arrays or maps: write them out as text
        first. Raises Unacceptable when the engine cannot decode the bytes, InsertError when it is
        unknown what was stored: `reload` the segment.
        """
        with self._store.client() as client:
            self._insert(client, signal, path, segment)
            return _all_of(items, segment, _count(client, signal, segment, began))

    def reload(
        self, signal: Signal, path: Path, segment: int, items: int, began: float
    ) -> dict[str, Stored]:
        """Load an ambiguous segment: all, some or none of it may be stored.

        The rows with its id are removed, the segment is inserted, and every side row that it
        touches is rebuilt from the base table. The caller loads nothing else meanwhile. An insert
        of another process in between is detected and raises InsertError. The call can be repeated
        after it failed, or was killed, at any point. Returns and raises as `load`.
        """
        with self._store.write_lock, self._store.client() as client:
            if not self._store.embedded:
                # Nobody may be waiting for it any more, and yet it may go on.
                client.command(
                    f"KILL QUERY{self._store.cluster.on_cluster} "
                    "WHERE initial_query_id = {id:String} "
                    "OR Settings['log_comment'] = {id:String} SYNC",
                    parameters={"id": _query_id(segment)},
                )
            self._check_room(path)
            if _count(client, signal, segment, began):
                for table in signal.tables:
                    self._delete(client, table, f"Segment = {segment}")
            self._insert(client, signal, path, segment)
            stored = _count(client, signal, segment, began)
            for side in signal.sides:
                self._make_again(client, signal, side, segment)
            if self._store.shared:
                self._check_sides(client, signal, segment)
        return _all_of(items, segment, stored)

    def count(self, signal: Signal, segment: int, began: float) -> dict[str, Stored]:
        """How much of a segment is stored, by service."""
        with self._store.client() as client:
            return _count(client, signal, segment, began)

    def enter(self, rows: list[LedgerRow]) -> None:
        """Put rows into the ledger; to enter a row again changes nothing."""
        enter(self._store, rows)

    def _check_room(self, path: Path) -> None:
        """Raises InsertError while the database's disk is nearly full: a DELETE that runs out of
        space waits for it, with everything else waiting for the DELETE."""
        free = self._store.free_space()
        if free is not None and free < ROOM + 2 * path.stat().st_size:
            raise InsertError(f"the database's disk has {free >> 20} MiB left")

    def _insert(self, client: Client, signal: Signal, path: Path, segment: int) -> None:
        landings = list(signal.landings)
        if signal is METRICS:
            kinds = kinds_in(path.read_bytes())
            landings = [f"clew_landing_metrics_{kind}" for kind in kinds]
        for number, landing in enumerate(landings):
            try:
                self._insert_into(client, landing, signal.message, path, segment)
            except NestedValues:
                for before in landings[:number]:
                    self._delete(client, signal.landings[before], f"Segment = {segment}")
                raise

    def _insert_into(
        self, client: Client, landing: str, message: str, path: Path, segment: int
    ) -> None:
        table = f"otel.{landing}"
        try:
            if self._store.embedded:
                # A schema given as a string would leave a copy of it in the working directory.
                settings = INSERT_SETTINGS | {"format_schema": f"{OTLP_PROTO}:{message}"}
                client.command(
                    f"INSERT INTO {table} FROM INFILE {literal(str(path))} "
                    f"SETTINGS {assignments(settings)} FORMAT ProtobufSingle"
                )
            else:
                settings = INSERT_SETTINGS | {
                    "wait_end_of_query": 1,
                    "format_schema_source": "string",
                    "format_schema": OTLP_PROTO.read_text(encoding="utf-8"),
                    "format_schema_message_name": message,
                }
                with path.open("rb") as body:
                    client.raw_insert(
                        table,
                        insert_block=body,
                        fmt="ProtobufSingle",
                        settings=settings | _marks(segment),
                    )
        except ClickHouseError as error:
            if "clew: nested value" in str(error):
                raise NestedValues(f"segment {segment} holds nested values") from error
            code = re.search(r"Code: (\d+)", str(error))
            refused = code is not None and int(code[1]) in CODES_OF_BAD_DATA
            raise (Unacceptable if refused else InsertError)(
                f"segment {segment}: {error}"
            ) from error

    def _make_again(self, client: Client, signal: Signal, side: SideTable, segment: int) -> None:
        """Aggregate the side rows that the segment has a part in again, with the view's own
        SELECT."""
        for keys, parameters in self._touched(client, signal, side, segment):
            self._delete(client, side.name, f"{side.key} IN ({keys})", parameters)
            client.command(
                f"INSERT INTO otel.{side.name} {_again(signal, side, keys)}", parameters=parameters
            )

    def _touched(
        self, client: Client, signal: Signal, side: SideTable, segment: int
    ) -> list[tuple[str, dict[str, str]]]:
        """The keys of those side rows: what stands behind IN, and its parameters.

        On a cluster they are read first: a shard would look for them among its own rows, each
        replica at a time of its own."""
        base = signal.tables[0]
        touched = f"SELECT {side.base_key} AS key FROM otel.{base} WHERE Segment = {segment}"
        lists = _lists(client, touched) if self._store.cluster.name else [(touched, "")]
        return [(keys, {"keys": text}) for keys, text in lists]

    def _check_sides(self, client: Client, signal: Signal, segment: int) -> None:
        """Raises InsertError when the side rows that were made again do not add up: between
        removing them and making them another writer put rows into the base table, and its view put
        in its own. (Whoever settles, checks; so the last of several does, and does it again.)"""
        self._wait_for_inserts(client)
        for side in signal.sides:
            for keys, parameters in self._touched(client, signal, side, segment) * bool(side.count):
                made, base = client.query(
                    f"SELECT (SELECT sum({side.count}) FROM otel.{side.name} "
                    f"WHERE {side.key} IN ({keys})), "
                    f"(SELECT sum({side.count}) FROM ({_again(signal, side, keys)}))",
                    parameters=parameters,
                ).result_rows[0]
                if made != base:
                    raise InsertError(f"segment {segment}: others write to {side.name} as well")

    def _wait_for_inserts(self, client: Client) -> None:
        """Until those have ended that are under way: rows of theirs may be in the base table
        alone."""
        began = time.monotonic()
        while time.monotonic() - began < LONGEST_INSERT:
            under_way = client.query(
                self._store.cluster.over_all_nodes(UNDER_WAY),
                parameters={"since": time.monotonic() - began},
            ).result_rows[0][0]
            if not under_way:
                return
            time.sleep(0.05)
        raise InsertError(f"an insert of somebody else takes more than {LONGEST_INSERT:.0f} s")

    def _delete(
        self, client: Client, table: str, condition: str, parameters: dict[str, str] | None = None
    ) -> None:
        client.command(
            f"DELETE FROM {self._store.cluster.shard_table(table)} WHERE {condition} "
            "SETTINGS lightweight_deletes_sync = 2",
            parameters=parameters,
        )


def _again(signal: Signal, side: SideTable, keys: str) -> str:
    source, key = side.source or signal.tables[0], side.source_key or side.base_key
    return select_of(side, source, f"{key} IN ({keys})")


def _lists(client: Client, keys: str) -> list[tuple[str, str]]:
    """The keys that a SELECT finds, in lists that fit a statement: an expression over its parameter
    `keys`, and that parameter."""
    rows = client.query(
        "SELECT toTypeName(list), toString(list) FROM (SELECT groupArray(key) AS list FROM "
        f"(SELECT key, rowNumberInAllBlocks() AS number FROM (SELECT DISTINCT key FROM ({keys}))) "
        f"GROUP BY intDiv(number, {KEYS_AT_ONCE}))"
    ).result_rows
    return [(f"CAST({{keys:String}}, '{type}')", text) for type, text in rows]


def _query_id(segment: int) -> str:
    return f"clew-segment-{segment}"


def _marks(segment: int) -> dict[str, int | str]:
    return dict.fromkeys(("query_id", "log_comment"), _query_id(segment))


def _count(client: Client, signal: Signal, segment: int, began: float) -> dict[str, Stored]:
    counts = " UNION ALL ".join(
        f"SELECT toString(ServiceName) AS service, {signal.time} NOT BETWEEN "
        "{from:DateTime64(3)} AND {to:DateTime64(3)} AS late "
        f"FROM otel.{table} WHERE Segment = {{segment:UInt64}}"
        for table in signal.tables
    )
    rows = client.query(
        f"SELECT service, count(), countIf(late) FROM ({counts}) GROUP BY service",
        parameters={"segment": segment, "from": began - LATE_AFTER, "to": began + LATE_AFTER},
    ).result_rows
    return {service: Stored(items, late) for service, items, late in rows}


def _all_of(items: int, segment: int, stored: dict[str, Stored]) -> dict[str, Stored]:
    found = sum(each.items for each in stored.values())
    if found != items:
        raise InsertError(f"segment {segment}: {found} of {items} items stored")
    return stored


def select_of(side: SideTable, base: str, condition: str) -> str:
    """The SELECT of the side table's view, over those base rows that meet `condition`."""
    view = statement(f"{side.name}_view")
    select = view.partition(f"_view TO otel.{side.name} AS\n")[2]
    source = f"\nFROM otel.{base}\n"
    if select.count(source) != 1:
        raise AssertionError(f"the view of {side.name} reads otel.{base} in more than one place")
    return select.replace(
        source, f"\nFROM (SELECT * FROM otel.{base} WHERE {condition}) AS {base}\n"
    )
