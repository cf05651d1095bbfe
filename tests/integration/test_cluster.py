"""The schema on a cluster: what is run for it is read by the engine's own parser, and the suites of
what is stored and read hold over Distributed tables too, in an engine that is a cluster of one node."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clew.storage import Store
from clew.storage.cluster import SHARDED, Cluster
from clew.storage.migrations import LEDGER, Migration, known_migrations

ROOT = Path(__file__).parents[2]
CLUSTER = Cluster("clew")
STATEMENTS = [
    "CREATE DATABASE IF NOT EXISTS otel",
    LEDGER,
    *(migration.sql for migration in known_migrations()),
]


def in_full(sql: str) -> list[str]:
    """What is run on a cluster, without comments."""
    return [re.sub("^--.*\n", "", each, flags=re.MULTILINE) for each in CLUSTER.statements(sql)]


def test_alone_every_statement_is_as_the_file_has_it() -> None:
    assert all(Cluster().statements(sql) == [sql] for sql in STATEMENTS)


def test_every_statement_is_one_for_all_nodes_and_is_read_by_the_engine(store: Store) -> None:
    run = [statement for sql in STATEMENTS for statement in in_full(sql)]
    with store.client() as client:
        for statement in run:
            formatted = client.query("SELECT formatQuery({sql:String})", {"sql": statement})
            (text,) = formatted.result_rows[0]
            if not statement.startswith("INSERT INTO otel."):  # goes through Distributed tables
                assert "ON CLUSTER clew" in text, statement


@pytest.mark.parametrize("migration", known_migrations(), ids=lambda each: each.name)
def test_a_node_has_the_rows_of_its_shard_and_a_view_reads_what_it_keeps(
    migration: Migration,
) -> None:
    name, run = migration.name, in_full(migration.sql)
    databases = [set(re.findall(r"\b(otel|otel_local)\.\w+", each)) for each in run]
    if name in SHARDED:
        local, distributed = run
        assert re.search(r"ENGINE = Replicated\w*MergeTree\('/clickhouse/tables/\{shard\}/", local)
        assert databases[0] == {"otel_local"}
        assert f"ENGINE = Distributed('clew', otel_local, {name}, " in distributed
    elif "ALTER TABLE otel.clew_landing_" in migration.sql:
        assert databases == [{"otel"}]
    elif re.search(r"\b(ADD|MATERIALIZE) INDEX\b", run[0]):  # a Distributed table has no index
        assert databases == [{"otel_local"}]
    elif run[0].startswith("ALTER"):
        assert databases == [{"otel_local"}, {"otel"}]
    elif "CREATE MATERIALIZED VIEW" in run[0]:
        # Rows come in through the landing tables and are sharded there; all else stays on its node.
        assert databases == [{"otel"} if name.startswith("clew_landing") else {"otel_local"}]
    elif run[0].startswith("CREATE DATABASE"):
        assert len(run) == 2
    else:
        assert databases[0] <= {"otel"} and len(run) == 1  # noqa: PT018


def test_the_query_of_a_view_is_changed_where_the_view_is() -> None:
    select = "MODIFY QUERY\nSELECT TraceId FROM otel.{}"
    of_side = f"ALTER TABLE otel.clew_traces_view {select.format('otel_traces')}"
    (changed,) = CLUSTER.statements(of_side)
    assert changed == of_side.replace("otel.", "otel_local.").replace(
        "_view ", "_view ON CLUSTER 'clew' "
    )
    of_landing = f"ALTER TABLE otel.clew_landing_traces_view {select.format('clew_landing_traces')}"
    (changed,) = CLUSTER.statements(of_landing)
    assert "otel_local" not in changed


def test_small_tables_are_whole_on_every_node() -> None:
    (ledger,) = in_full(LEDGER)
    assert (
        "ReplicatedMergeTree('/clickhouse/tables/all/otel/clew_migrations', '{shard}-{replica}')"
        in ledger
    )
    for name in ("clew_ledger", "clew_settler", "clew_definitions", "clew_settling"):
        (table,) = in_full(next(each.sql for each in known_migrations() if each.name == name))
        assert f"'/clickhouse/tables/all/otel/{name}', '{{shard}}-{{replica}}'" in table


@pytest.mark.parametrize(
    ("suites", "only"),
    [
        (["test_ingest_exactly_once.py"], "base-part"),
        pytest.param(
            [
                *("test_ingest_exactly_once.py", "test_api_*.py"),
                *("test_settling.py", "test_occurrences.py", "test_dashboards.py"),
            ],
            # These change rows, or the files of a part, of a table that is Distributed here.
            "not (types_do_not_move or settled_again or full_disk)",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["one", "all"],
)
def test_the_suites_hold_over_distributed_tables(
    suites: list[str], only: str, tmp_path: Path
) -> None:
    files = [str(path) for suite in suites for path in sorted(Path(__file__).parent.glob(suite))]
    options = ["-q", "-m", "not slow", "-k", only, "--basetemp", str(tmp_path / "base")]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-o", f"cache_dir={tmp_path / 'c'}", *files],
        cwd=ROOT,
        env={**os.environ, "CLEW_TEST_CLUSTER": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-5000:]
