"""A table of the schema is listed wherever something depends on it: how a cluster shards it, how a
reload rebuilds it, how retention frees it."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

import pytest

from clew.storage import SIGNALS
from clew.storage.cluster import SHARDED
from clew.storage.migrations import _with_settings, known_migrations
from support.loading import sides_equal_their_base

# Small tables: complete on every node of a cluster, and not freed with a signal's rows.
WHOLE = {
    *("clew_ledger", "clew_expired", "clew_definitions", "clew_settler"),
    *("clew_settling", "clew_candidates"),  # in memory
    *("clew_outbox", "clew_alert_rules", "clew_alerts", "clew_alert_changes", "clew_silences"),
    *("clew_alert_notes", "clew_events", "clew_findings", "clew_finding_states"),
    *("clew_finding_failures", "clew_watched"),
}
# Names of operations are kept for as long as the rows that they come from; a reload adds none.
NAMES = "clew_operations"


class View(NamedTuple):
    source: str
    target: str


TABLES = {
    match[1]: migration.sql
    for migration in known_migrations()
    if (match := re.search(r"^CREATE TABLE IF NOT EXISTS otel\.(\w+)", migration.sql, re.M))
    and "ENGINE = Null" not in migration.sql
}
VIEWS = [
    View(source[1], head[1])
    for migration in known_migrations()
    if (head := re.search(r"^CREATE MATERIALIZED VIEW .* TO otel\.(\w+)", migration.sql, re.M))
    and (source := re.search(r"^FROM otel\.(\w+)", migration.sql, re.M))
]
SIDES = {side.name: signal for signal in SIGNALS.values() for side in signal.sides}
DERIVED = {table for signal in SIGNALS.values() for table in signal.derived}
BASES = {table: signal for signal in SIGNALS.values() for table in signal.tables}


@pytest.mark.parametrize("table", sorted(TABLES))
def test_the_settings_of_a_table_are_its_last_clause(table: str) -> None:
    """A migration adds to them."""
    complete = _with_settings(TABLES[table], [("more", 1, "")])
    if "MergeTree" in TABLES[table]:
        assert re.search(r"^SETTINGS [^()]*\w, more = 1\Z", complete, re.M)
    else:
        assert complete == TABLES[table]


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_table_is_sharded_or_small(table: str) -> None:
    assert (table in SHARDED) != (table in WHOLE), f"add {table} to cluster.SHARDED or to WHOLE"


@pytest.mark.parametrize("table", sorted(SHARDED))
def test_the_rows_of_a_sharded_table_are_freed_with_their_signal(table: str) -> None:
    assert table in TABLES
    assert table in {*BASES, *SIDES, *DERIVED, NAMES}, f"add {table} to its Signal in ingest.py"


@pytest.mark.parametrize("table", sorted(BASES))
def test_a_base_table_has_the_columns_that_loading_needs(table: str) -> None:
    for column in ("ServiceName", BASES[table].time, "Segment", "InsertedAt"):
        assert f"\n    {column} " in TABLES[table], column


@pytest.mark.parametrize("table", sorted({*BASES, *SIDES, *DERIVED}))
def test_a_table_is_partitioned_synced_and_freed_as_the_others(table: str) -> None:
    partition = r"^PARTITION BY if\(abs\(toInt64\((\w+)\) - toInt64\(InsertedAt\)\) > 2592000,$"
    assert re.search(partition, TABLES[table], re.M), "docs/adr/0010-partitions-of-odd-times.md"
    for setting in ("ttl_only_drop_parts", "fsync_after_insert", "fsync_part_directory"):
        assert f"{setting} = 1" in TABLES[table]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.target)
def test_a_view_of_stored_items_fills_a_side_table(view: View) -> None:
    """A reload rebuilds the side tables of a signal; one that it does not know would keep wrong rows."""
    signal = {**BASES, **SIDES}.get(view.source)
    if signal and view.target != NAMES:
        assert SIDES.get(view.target) is signal, f"add {view.target} to the sides of its Signal"


@pytest.mark.parametrize("table", sorted(SIDES))
def test_a_side_table_is_compared_with_its_base(table: str) -> None:
    """The tests of reloads, kills and dropped days all use this comparison."""
    compared = inspect.getsource(sides_equal_their_base)
    assert table in compared, f"compare {table} in support/loading.py"


def test_every_view_is_looked_at() -> None:
    heads = "".join(migration.sql for migration in known_migrations())
    names = re.findall(r"^CREATE MATERIALIZED VIEW IF NOT EXISTS otel\.(\w+)", heads, re.M)
    assert len(VIEWS) == len([name for name in names if not name.startswith("clew_landing_")])
