"""Retention: how long rows are kept, and how much of the disk they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest

from clew.analysis.traces import settler as settlers
from clew.analysis.traces.settler import Settler
from clew.storage import SIGNALS, Limit, Store, default_limit, make_room, set_retention
from clew.storage.retention import CHECK_EVERY, HISTORY, MAX_CHECK_EVERY, Guard, signal_tables
from support.loading import rows, sides_equal_their_base

DAYS = {"traces": 14, "logs": 14, "metrics": 14, "rollups": 14}


def insert(
    store: Store, at: str, age: str = "toIntervalDay(0)", spans: int = 1000, seed: str = "x"
) -> None:
    """Insert spans, a log record and a point of a gauge with the time `at`; the rows' InsertedAt is
    `age` before now. Both are expressions of SQL."""
    with store.client() as client:
        client.command(
            f"""INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, ServiceName, SpanName, SpanKind,
                StatusCode, Duration, SpanAttributes, InsertedAt)
            SELECT {at} + toIntervalMillisecond(number % 100), '{seed}' || toString(number % 100),
                randomPrintableASCII(16), if(number < 100, '', 'p'), 's', 'o', 'Server', 'Unset', number,
                map('filling', randomPrintableASCII(200)), now() - {age}
            FROM numbers({spans})"""
        )
        client.command(
            f"INSERT INTO otel.otel_logs (Timestamp, Body, InsertedAt) SELECT {at}, 'b', now() - {age}"
        )
        client.command(
            f"INSERT INTO otel.otel_metrics_gauge (TimeUnix, Value, InsertedAt) SELECT {at}, 1, now() - {age}"
        )


def counts(store: Store) -> dict[str, int]:
    return {
        table: rows(store, f"SELECT count() AS n FROM otel.{table}")[0]["n"]
        for table in ("otel_traces", "otel_logs", "otel_metrics_gauge")
    }


def merge(store: Store) -> None:
    with store.client() as client:
        for signal in SIGNALS.values():
            for table in signal_tables(signal):
                client.command(f"OPTIMIZE TABLE otel.{table} FINAL")


@pytest.fixture
def retained(store: Store) -> Iterator[Store]:
    yield store
    set_retention(store, DAYS)


def test_every_signal_is_kept_for_its_own_number_of_days(retained: Store) -> None:
    set_retention(retained, {"traces": 5, "logs": 20, "metrics": 3, "rollups": 30})
    insert(retained, "now64(9) - toIntervalDay(10)", age="toIntervalDay(10)")
    insert(retained, "now64(9) - toIntervalDay(4)", age="toIntervalDay(4)", seed="y")
    insert(retained, "toDateTime64(1, 9)", spans=100, seed="z")
    merge(retained)
    assert counts(retained) == {"otel_traces": 1100, "otel_logs": 3, "otel_metrics_gauge": 1}
    assert sides_equal_their_base(retained)
    assert rows(retained, "SELECT count() AS n FROM otel.clew_operations_1m FINAL") == [{"n": 3}]


def test_a_day_with_old_and_new_rows_stays_complete_in_base_and_side_tables(
    retained: Store,
) -> None:
    set_retention(retained, DAYS)
    insert(retained, "toStartOfDay(now64(9))", age="toIntervalDay(20)", seed="old")
    insert(retained, "toStartOfDay(now64(9))", seed="new")
    merge(retained)
    assert sides_equal_their_base(retained)


@pytest.mark.slow
def test_expired_parts_are_dropped_without_inserts_or_merges(retained: Store) -> None:
    set_retention(retained, DAYS)
    insert(retained, "now64(9) - toIntervalDay(14)", age="toIntervalSecond(14 * 86400 - 5)")
    assert counts(retained)["otel_traces"] == 1000
    deadline = time.monotonic() + 120
    while (
        any(counts(retained).values()) or not sides_equal_their_base(retained)
    ) and time.monotonic() < deadline:
        time.sleep(1)
    assert not any(counts(retained).values())
    assert sides_equal_their_base(retained)


def size(store: Store) -> int:
    (row,) = rows(
        store, "SELECT sum(bytes_on_disk) AS b FROM system.parts WHERE active AND database = 'otel'"
    )
    return int(row["b"])


def days(store: Store) -> list[str]:
    query = "SELECT DISTINCT toString(toDate(Timestamp)) AS d FROM otel.otel_traces ORDER BY d"
    return [row["d"] for row in rows(store, query)]


def test_the_oldest_days_are_dropped_first_from_all_tables(store: Store) -> None:
    pauses: list[bool] = []

    @contextmanager
    def pause() -> Iterator[None]:
        pauses.append(True)
        yield

    for ago in (3, 2, 1, 0):
        insert(store, f"now64(9) - toIntervalDay({ago})", seed=f"{ago} ")
    insert(store, "toDateTime64(0, 9)", seed="epoch ")
    insert(store, "now64(9) + toIntervalDay(400)", seed="future ")
    merge(store)
    stored_days = days(store)
    assert len(stored_days) == 6
    assert make_room(store, Limit(size(store)), pause).dropped_partitions == []
    dropped = make_room(store, Limit(size(store) // 2 + 10_000), pause).dropped_partitions
    # Rows with times of 1970 or of next year were inserted today, and are kept as long as today's.
    epoch, *past, today, future = stored_days
    assert dropped == [day.replace("-", "") for day in past]
    assert len(pauses) == 3
    assert days(store) == [epoch, today, future]
    assert sides_equal_their_base(store)
    assert set(counts(store).values()) == {3000, 3}
    expired = rows(store, "SELECT * FROM otel.clew_expired ORDER BY Time, Table")
    assert {row["Partition"] for row in expired} == set(dropped)
    assert sum(row["Rows"] for row in expired if row["Table"] == "otel_traces") == 3000
    assert {row["Table"] for row in expired} == {
        "otel_traces", "otel_logs", "otel_metrics_gauge", "clew_traces", "clew_operations_1m", "clew_operations_1h",
        "clew_watch_1m", "clew_roots", "clew_log_templates",
    }  # fmt: skip


def test_today_is_never_dropped_and_the_excess_is_logged_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for at in ("now64(9)", "now64(9) - toIntervalDay(1)", "now64(9) + toIntervalDay(40)"):
        insert(store, at, seed=at[-4:])
    guard = Guard(store, Limit(1000), nullcontext)
    assert [guard.check(), guard.check()] == [CHECK_EVERY, CHECK_EVERY]
    assert Guard(store, Limit(1 << 60), nullcontext).check() <= MAX_CHECK_EVERY
    assert caplog.text.count("raise --database-limit") == 1
    assert caplog.text.count("otel.otel_traces: dropped partition") == 1
    assert make_room(store, Limit(1000), nullcontext).excess > 0
    assert len(days(store)) == 2
    assert counts(store)["otel_traces"] == 2000
    assert sides_equal_their_base(store)


def test_a_trace_across_midnight_loses_the_spans_of_a_dropped_day(store: Store) -> None:
    midnight = "toStartOfDay(now64(9)) - toIntervalDay(1)"
    insert(store, f"{midnight} - toIntervalMillisecond(50)", seed="across ")
    insert(store, f"{midnight} + toIntervalMillisecond(10)", seed="across ", spans=300)
    insert(store, f"{midnight} + toIntervalHour(1)", seed="behind ")
    merge(store)
    assert len(make_room(store, Limit(size(store) - 1), nullcontext).dropped_partitions) == 1
    assert len(days(store)) == 1
    assert sides_equal_their_base(store)
    assert rows(store, "SELECT sum(SpanCount) AS n FROM otel.clew_traces")[0]["n"] == 1800


def test_a_trace_that_lost_spans_is_settled_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlers, "MIN_REST", 0.05)
    monkeypatch.setattr(settlers, "REST_FACTOR", 0)
    midnight = "toStartOfDay(now64(9)) - toIntervalDay(1)"
    for at, seed, spans in (
        ("toIntervalMillisecond(-50)", "across ", 1000),
        ("toIntervalMillisecond(70)", "across ", 300),
        ("toIntervalHour(1)", "behind ", 100),
    ):
        insert(store, f"{midnight} + {at}", age="toIntervalHour(1)", seed=seed, spans=spans)
    merge(store)
    query = "SELECT TraceId, max(SpanCount) AS n FROM otel.clew_settled FINAL GROUP BY 1"

    def settled() -> dict[str, int]:
        return {row["TraceId"]: row["n"] for row in rows(store, query)}

    settler = Settler(store)
    settler.start()
    try:
        wait_for(lambda: len(settled()) == 200)
        complete = settled()
        eviction = make_room(store, Limit(size(store) - 1), settler.paused)
        remaining = rows(store, "SELECT TraceId, count() AS n FROM otel.otel_traces GROUP BY 1")
        assert len(days(store)) == 1
        assert sorted(eviction.shortened_traces) == sorted(
            f"across {number}" for number in range(50)
        )
        assert settled().keys() == complete.keys() - set(eviction.shortened_traces)
        settler.requeue(eviction.shortened_traces)
        wait_for(lambda: settled() == {row["TraceId"]: row["n"] for row in remaining})
        assert complete != settled()
    finally:
        assert settler.close(30)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# The tables of the settler and its steps, and the column with the time of a row.
DERIVED = {
    "clew_settled": "Timestamp",
    "clew_edges_1m": "Minute",
    "clew_watch_1h": "Hour",
    "clew_entry_services": "Hour",
    "clew_attributes": "Hour",
    "clew_occurrence_traces": "Start",
    "clew_occurrences": "Timestamp",
}


def derive(store: Store, age_days: int, inserted_days: int) -> None:
    """Insert a row into each of these tables. Its time lies `age_days` days back, its InsertedAt
    `inserted_days` days."""
    with store.client() as client:
        for table, column in DERIVED.items():
            if table == "clew_entry_services":  # a view of clew_settled writes it
                continue
            client.command(
                f"INSERT INTO otel.{table} ({column}, InsertedAt) "
                f"SELECT now() - toIntervalDay({age_days}), now() - toIntervalDay({inserted_days})"
            )


def ages(store: Store, table: str, column: str) -> list[int]:
    """How many days ago the rows of a table are, ascending."""
    query = (
        f"SELECT dateDiff('day', toDate({column}), today()) AS age FROM otel.{table} ORDER BY age"
    )
    return [row["age"] for row in rows(store, query)]


def test_derived_tables_are_kept_as_long_as_traces(retained: Store) -> None:
    assert DERIVED.keys() == set(SIGNALS["traces"].derived)
    tables = DERIVED | {"clew_operations": "LastSeen"}
    set_retention(retained, {"traces": 5, "logs": 20, "metrics": 20, "rollups": 5})
    for ago in (10, 4):
        derive(retained, ago, ago)
    with retained.client() as client:
        for name, ago in (("old", 10), ("new", 4)):
            client.command(
                "INSERT INTO otel.clew_operations (SpanName, LastSeen, InsertedAt) "
                f"SELECT '{name}', now() - toIntervalDay({ago}), now() - toIntervalDay({ago})"
            )
        for table in tables:
            client.command(f"OPTIMIZE TABLE otel.{table} FINAL")
    remaining = {table: ages(retained, table, column) for table, column in tables.items()}
    assert remaining == {table: [4] for table in tables}


def test_derived_rows_of_a_day_are_dropped_with_it(store: Store) -> None:
    for ago in (2, 1, 0):
        insert(store, f"now64(9) - toIntervalDay({ago})", seed=f"{ago} ")
        derive(store, ago, 0)
    (two_days_ago,) = rows(store, "SELECT toString(toYYYYMMDD(today() - 2)) AS id")
    eviction = make_room(store, Limit(size(store) - 1), nullcontext)
    assert eviction.dropped_partitions == [two_days_ago["id"]]
    remaining = {table: ages(store, table, column) for table, column in DERIVED.items()}
    dropped = [table for table in DERIVED if table != HISTORY]
    assert remaining == {key: [0, 1] for key in dropped} | {HISTORY: [0, 1, 2]}
    query = f"SELECT Table, Rows FROM otel.clew_expired WHERE Table IN {tuple(DERIVED)}"
    expired = rows(store, query)
    assert {row["Table"]: row["Rows"] for row in expired} == dict.fromkeys(dropped, 1)


def test_a_day_is_dropped_to_leave_space_of_the_disk_free(store: Store) -> None:
    insert(store, "now64(9) - toIntervalDay(1)")
    assert make_room(store, Limit(1 << 50, free=1), nullcontext).dropped_partitions == []
    assert len(make_room(store, Limit(1 << 50, free=1 << 50), nullcontext).dropped_partitions) == 1
    limit = default_limit(store)
    assert limit is not None
    assert 0 < limit.free < limit.size


def test_the_engine_writes_no_log_tables(store: Store) -> None:
    """query_log, trace_log and similar tables are off: no table of `system` grows on disk."""
    insert(store, "now64(9)")
    with store.client() as client:
        client.command("SYSTEM FLUSH LOGS")
    assert (
        rows(store, "SELECT database, name FROM system.tables WHERE database != 'otel' AND total_bytes > 0")
        == []
    )  # fmt: skip


def test_a_merged_part_is_synced_before_its_source_parts_are_removed(store: Store) -> None:
    syncs = "SELECT value FROM system.events WHERE event = 'FileSync'"
    insert(store, "now64(9)")
    insert(store, "now64(9)", seed="y")
    syncs_before = rows(store, syncs)[0]["value"]
    with store.client() as client:
        client.command("OPTIMIZE TABLE otel.otel_traces FINAL")
    assert rows(store, syncs)[0]["value"] > syncs_before
    assert rows(
        store,
        "SELECT count() AS n FROM system.tables WHERE database = 'otel' AND engine LIKE '%MergeTree' "
        "AND create_table_query NOT LIKE '%min_compressed_bytes_to_fsync_after_merge = 1%' "
        "AND name != 'clew_migrations'",
    ) == [{"n": 0}]


def test_the_lengths_of_strings_in_maps_have_no_stream_of_their_own(store: Store) -> None:
    """The default of 26.3 costs 10 bytes a span; an older server does not know the setting."""
    insert(store, "now64(9)", spans=100)
    streams = rows(
        store,
        "SELECT DISTINCT arrayJoin(substreams) AS stream FROM system.parts_columns "
        "WHERE database = 'otel' AND table = 'otel_traces' AND column = 'SpanAttributes'",
    )
    assert streams
    assert "SpanAttributes%2Evalues.size" not in {row["stream"] for row in streams}
