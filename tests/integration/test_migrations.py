"""Migrations: a table's file runs once; the files of functions and views run again when they, or a
function, changed."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.storage import SchemaError, Store, migrate, migrations
from clew.storage.migrations import TABLE_SETTINGS
from clew.storage.retention import ttls
from support.loading import rows

Edit = Callable[[str, str, str], None]
FUNCTIONS = "SELECT name, create_query FROM system.functions WHERE name LIKE 'clew_%' ORDER BY 1"
OBJECTS = """
SELECT name, create_table_query FROM system.tables WHERE database = 'otel' ORDER BY name
"""


@pytest.fixture
def schema(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the schema's files, which a test may edit. The database is restored afterwards."""
    objects = rows(store, OBJECTS) + rows(store, FUNCTIONS)
    original = migrations.SCHEMA
    copy = tmp_path / "schema"
    shutil.copytree(str(original), copy)
    monkeypatch.setattr(migrations, "SCHEMA", copy)
    yield copy
    monkeypatch.setattr(migrations, "SCHEMA", original)
    versions = [str(migration.version) for migration in migrations.known_migrations()]
    with store.client() as client:
        client.command(
            f"ALTER TABLE otel.clew_migrations DELETE WHERE Version NOT IN ({','.join(versions)}) "
            "SETTINGS mutations_sync = 2"
        )
    migrate(store)
    assert rows(store, OBJECTS) + rows(store, FUNCTIONS) == objects


@pytest.fixture
def edit(schema: Path) -> Edit:
    def edit_file(name: str, old: str, new: str) -> None:
        path = schema / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return edit_file


def names(applied: list[Any]) -> list[str]:
    return [migration.name for migration in applied]


def views(schema: Path) -> set[str]:
    return {path.stem[5:] for path in schema.iterdir() if "VIEW IF NOT" in path.read_text()}


def insert_span(store: Store, **columns: int | str) -> None:
    columns = {"Timestamp": 1, "TraceId": "t", "Duration": 5} | columns
    with store.client() as client:
        client.command(
            f"INSERT INTO otel.otel_traces ({', '.join(columns)}) SELECT "
            + ", ".join(map(repr, columns.values()))
        )


def test_without_changes_nothing_runs(store: Store, schema: Path) -> None:
    assert migrate(store, dry_run=True) == migrate(store) == []


def test_a_changed_materialized_view_is_applied(store: Store, edit: Edit) -> None:
    edit("0021_clew_traces_view.sql", "count() AS SpanCount", "count() + 10 AS SpanCount")
    assert names(migrate(store, dry_run=True)) == ["clew_traces_view"]
    assert names(migrate(store)) == ["clew_traces_view"]
    assert migrate(store) == []
    insert_span(store)
    assert rows(store, "SELECT SpanCount FROM otel.clew_traces") == [{"SpanCount": 11}]
    assert rows(
        store,
        "SELECT count() AS n, uniqExact(Checksum) AS different FROM otel.clew_migrations WHERE Version = 21",
    ) == [{"n": 2, "different": 2}]


def test_a_changed_function_is_expanded_into_all_views_again(
    store: Store, schema: Path, edit: Edit
) -> None:
    edit("0008_fn_duration.sql", ", 0, nanoseconds)", ", 0, nanoseconds * 2)")
    assert set(names(migrate(store))) == {"fn_duration"} | views(schema)
    insert_span(store)
    (row,) = rows(store, "SELECT sum(DurationSum) AS ns FROM otel.clew_operations_1m")
    assert row["ns"] == 10


def test_a_changed_plain_view_is_applied(store: Store, edit: Edit) -> None:
    edit("0022_otel_traces_trace_id_ts.sql", "SELECT TraceId,", "SELECT 7 AS seven, TraceId,")
    assert names(migrate(store)) == ["otel_traces_trace_id_ts"]
    insert_span(store, ServiceName="s", SpanName="o")
    assert rows(store, "SELECT seven FROM otel.otel_traces_trace_id_ts") == [{"seven": 7}]


def test_a_file_with_drop_view_drops_the_view(store: Store, schema: Path) -> None:
    file = schema / "0901_passing.sql"
    file.write_text("CREATE VIEW IF NOT EXISTS otel.passing AS\nSELECT 1 AS one")
    assert names(migrate(store)) == ["passing"]
    assert rows(store, "SELECT one FROM otel.passing") == [{"one": 1}]
    file.write_text("DROP VIEW IF EXISTS otel.passing\n")
    assert names(migrate(store)) == ["passing"]
    assert rows(store, "EXISTS TABLE otel.passing") == [{"result": 0}]
    assert migrate(store) == []


def test_a_view_with_another_target_table_is_created_again(
    store: Store, schema: Path, edit: Edit
) -> None:
    (schema / "0900_elsewhere.sql").write_text(
        "CREATE TABLE IF NOT EXISTS otel.elsewhere AS otel.clew_traces"
    )
    edit("0021_clew_traces_view.sql", "TO otel.clew_traces AS", "TO otel.elsewhere AS")
    assert names(migrate(store)) == ["elsewhere", "clew_traces_view"]
    insert_span(store)
    assert rows(store, "SELECT TraceId FROM otel.elsewhere") == [{"TraceId": "t"}]
    assert rows(store, "SELECT TraceId FROM otel.clew_traces") == []
    edit("0021_clew_traces_view.sql", "TO otel.elsewhere AS", "TO otel.clew_traces AS")
    migrate(store)
    with store.client() as client:
        client.command("DROP TABLE otel.elsewhere")


def test_a_table_with_the_name_of_a_view_is_not_replaced(store: Store, edit: Edit) -> None:
    """The exporter has a table of that name if it created its schema first."""
    with store.client() as client:
        client.command("DROP VIEW otel.otel_traces_trace_id_ts")
        client.command("CREATE TABLE otel.otel_traces_trace_id_ts (x UInt8) ENGINE = Memory")
        edit("0022_otel_traces_trace_id_ts.sql", "SELECT TraceId,", "SELECT 7 AS seven, TraceId,")
        migrate(store)
        (table,) = rows(store, "SELECT engine FROM system.tables WHERE name LIKE '%trace_id_ts'")
        assert table == {"engine": "Memory"}
        client.command("DROP TABLE otel.otel_traces_trace_id_ts")


def test_a_new_function_is_created_before_an_older_view_that_uses_it(
    store: Store, schema: Path, edit: Edit
) -> None:
    (schema / "0901_fn_late.sql").write_text(
        "CREATE OR REPLACE FUNCTION clew_late AS (n) -> n + 20"
    )
    edit("0021_clew_traces_view.sql", "count() AS SpanCount", "clew_late(count()) AS SpanCount")
    migrate(store)
    insert_span(store)
    assert rows(store, "SELECT SpanCount FROM otel.clew_traces") == [{"SpanCount": 21}]
    edit("0021_clew_traces_view.sql", "clew_late(count()) AS SpanCount", "count() AS SpanCount")
    migrate(store)
    with store.client() as client:
        client.command("DROP FUNCTION clew_late")


def test_an_interrupted_run_is_completed_by_the_next_one(
    store: Store, schema: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit("0008_fn_duration.sql", ", 0, nanoseconds)", ", 0, nanoseconds * 2)")
    apply = migrations._apply
    for turn, stop in enumerate(range(0, len(views(schema)) + 1, 5)):
        statements: list[str] = []

        def interrupted(
            *arguments: Any, statements: list[str] = statements, stop: int = stop
        ) -> None:
            if len(statements) == stop:
                raise KeyboardInterrupt
            apply(*arguments)
            statements.append(arguments[2])

        monkeypatch.setattr(migrations, "_apply", interrupted)
        with pytest.raises(KeyboardInterrupt):
            migrate(store)
        monkeypatch.setattr(migrations, "_apply", apply)
        # The applied migrations are not recorded yet, so they are applied again.
        assert names(migrate(store))[0] == "fn_duration"
        insert_span(store)
        (row,) = rows(store, "SELECT max(DurationMax) AS ns FROM otel.clew_operations_1m")
        assert row["ns"] == 5 * (turn + 2)
        assert migrate(store) == []
        edit("0008_fn_duration.sql", f"nanoseconds * {turn + 2})", f"nanoseconds * {turn + 3})")


def test_rows_that_are_inserted_meanwhile_are_counted_once(store: Store, edit: Edit) -> None:
    """At every moment a view has either its old query or its new one."""
    stop = threading.Event()
    trace_ids: list[str] = []

    def write() -> None:
        while not stop.is_set():
            insert_span(store, TraceId=f"t{len(trace_ids)}")
            trace_ids.append(f"t{len(trace_ids)}")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for turn in range(6):
            edit(
                "0021_clew_traces_view.sql",
                "count() AS SpanCount",
                f"count() + {turn} - {turn} AS SpanCount",
            )
            assert names(migrate(store)) == ["clew_traces_view"]
            edit(
                "0021_clew_traces_view.sql",
                f"count() + {turn} - {turn} AS SpanCount",
                "count() AS SpanCount",
            )
    finally:
        stop.set()
        thread.join()
    counts = rows(store, "SELECT TraceId, sum(SpanCount) AS n FROM otel.clew_traces GROUP BY 1")
    assert {row["TraceId"]: row["n"] for row in counts} == dict.fromkeys(trace_ids, 1)


def test_a_newer_side_table_is_filled_from_the_stored_rows(store: Store) -> None:
    for minute in (0, 1, 59, 60, 200):
        insert_span(store, Timestamp=minute * 60, SpanName=f"operation {minute % 2}")
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, `Events.Timestamp`, `Events.Name`, "
            "`Events.Attributes`) SELECT number, 't', toString(number), [1, 2, 3], ['exception', 'x', "
            "'exception'], [map('exception.type', 'A'), map(), map('exception.type', 'B')] FROM numbers(3)"
        )
        client.command(
            "INSERT INTO otel.otel_logs (Timestamp, TraceId, SpanId, LogAttributes) "
            "SELECT number, 't', 's', map('exception.type', 'C', 'feature_flag.key', 'f') FROM numbers(4)"
        )
    hours = (
        "SELECT Hour, SpanName, sum(Count) AS n, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch) "
        "AS q FROM otel.clew_operations_1h GROUP BY 1, 2 ORDER BY 1, 2"
    )
    minutes = (
        "SELECT Minute, SpanName, sum(Count) AS n, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch) "
        "AS q FROM otel.clew_watch_1m GROUP BY 1, 2 ORDER BY 1, 2"
    )
    operations = (
        "SELECT SpanName, min(FirstSeen) AS first, max(LastSeen) AS last "
        "FROM otel.clew_operations GROUP BY 1 ORDER BY 1"
    )
    exceptions = [
        f"SELECT Timestamp, SpanId, Type FROM otel.{table} ORDER BY ALL"
        for table in ("clew_span_exceptions", "clew_log_exceptions")
    ]
    events = "SELECT Minute, Name, sum(Count) AS n FROM otel.clew_log_events GROUP BY 1, 2"
    queries = (hours, minutes, operations, *exceptions, events)
    expected = [rows(store, query) for query in queries]
    assert [len(result) for result in expected] == [5, 6, 3, 6, 4, 1]
    for _ in range(2):  # twice, as after an interrupted run
        with store.client() as client:
            client.command(
                "ALTER TABLE otel.clew_migrations DELETE WHERE Name LIKE '%_filled' "
                "SETTINGS mutations_sync = 2"
            )
        assert all(name.endswith("_filled") for name in names(migrate(store)))
        assert [rows(store, query) for query in queries] == expected
        with store.client() as client:
            for table in (
                "clew_operations_1h",
                "clew_watch_1m",
                "clew_operations",
                "clew_span_exceptions",
                "clew_log_exceptions",
                "clew_log_events",
            ):
                client.command(f"TRUNCATE TABLE otel.{table}")


def test_an_edited_file_of_a_table_is_refused_by_name(store: Store, edit: Edit) -> None:
    edit("0010_otel_traces.sql", "index_granularity = 8192", "index_granularity = 4096")
    with pytest.raises(SchemaError, match=r"0010_otel_traces\.sql was edited"):
        migrate(store)


def test_a_newer_database_is_refused(store: Store, schema: Path) -> None:
    later = schema / "0999_later.sql"
    later.write_text("CREATE TABLE IF NOT EXISTS otel.later (x UInt8) ENGINE = Memory")
    assert names(migrate(store)) == ["later"]
    later.unlink()
    with pytest.raises(SchemaError, match="0999_later, newer"):
        migrate(store)
    with store.client() as client:
        client.command("DROP TABLE otel.later")


def test_side_tables_are_merged_once_their_day_is_over(store: Store) -> None:
    merged = "min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1"
    with store.client() as client:
        rows = client.query(
            "SELECT name, create_table_query FROM system.tables "
            "WHERE database = 'otel' AND engine LIKE '%MergeTree'"
        ).result_rows
    assert {name for name, statement in rows if merged in statement} == {
        name for name, _ in rows if name.startswith("clew_")
    }


def test_the_tables_of_an_older_clew_get_the_settings_too(store: Store) -> None:
    def statement() -> str:
        return str(client.command("SHOW CREATE TABLE otel.clew_ledger"))

    with store.client() as client:
        before = statement()
        for name, _, _ in TABLE_SETTINGS:
            client.command(f"ALTER TABLE otel.clew_ledger RESET SETTING {name}")
        assert "force_merge" not in statement()
    assert migrate(store) == []
    with store.client() as client:
        assert statement() == before


def test_the_short_way_to_a_new_database_makes_the_same_tables(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not store.embedded:
        pytest.skip("the embedded engine's way")

    def made() -> list[Any]:
        with store.client() as client:
            client.command("DROP DATABASE otel SYNC")
        migrate(store)
        return rows(store, OBJECTS)

    short = made()
    monkeypatch.setattr(
        migrations, "_of_new_database", lambda pending, ttls: [each.sql for each in pending]
    )
    assert made() == short


def test_each_table_of_a_new_database_has_its_ttl_from_the_start() -> None:
    clauses = ttls(dict.fromkeys(("traces", "logs", "metrics", "rollups"), 7))
    statements = migrations._of_new_database(migrations.known_migrations(), clauses)
    for table, clause in clauses.items():
        (created,) = (sql for sql in statements if f"TABLE IF NOT EXISTS otel.{table}\n" in sql)
        assert re.findall("^TTL .*$", created, re.MULTILINE) == [clause]
