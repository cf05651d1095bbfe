"""The schema's files make a database for a tenant as well (ADR 0017): complete, apart, and removed
by one DROP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bodies
import pytest

from clew.storage import SIGNALS, Store
from clew.storage.messages import OTLP_PROTO
from clew.storage.migrations import known_migrations
from support.loading import seal_segment

TENANT = "tenant_b"
ITEMS = 64
FILLED = {
    *("otel_traces", "clew_traces", "clew_operations_1m", "clew_operations_1h", "clew_operations"),
    *("clew_watch_1m", "clew_roots", "clew_log_templates"),
    *("otel_logs", "otel_metrics_gauge", "otel_metrics_sum", "otel_metrics_histogram"),
}


def of_tenant(sql: str) -> str:
    """The statement about the tenant's database."""
    return re.sub(r"\botel(?=\.\w|$)", TENANT, sql)


def tables(client: Any, database: str) -> dict[str, tuple[str, int]]:
    """Engine and number of rows of each table and view."""
    rows = client.query(
        "SELECT name, engine, ifNull(total_rows, 0) FROM system.tables "
        "WHERE database = {database:String} AND name != 'clew_migrations'",
        parameters={"database": database},
    ).result_rows
    return {name: (engine, count) for name, engine, count in rows}


@pytest.fixture(scope="module")
def client(emptied: Any) -> Iterator[Any]:
    """A client of an engine with a second database."""
    store: Store = emptied()
    if store.cluster.name:
        pytest.skip("on a cluster the files stand for more than one statement")
    with store.client() as client:
        try:
            for migration in known_migrations():
                client.command(of_tenant(migration.sql))
            yield client
        finally:
            client.command(f"DROP DATABASE IF EXISTS {TENANT} SYNC")


def test_rows_of_a_tenant_stay_in_its_database(client: Any, tmp_path: Path) -> None:
    requests = {
        "traces": bodies.traces(ITEMS, 10, 1),
        "logs": bodies.logs(ITEMS, 1),
        "metrics": bodies.metrics(3 * bodies.POINTS_PER_METRIC, 1),
    }
    for name, body in requests.items():
        segment = seal_segment(tmp_path, name, body)
        for landing in SIGNALS[name].landings:
            client.command(
                f"INSERT INTO {TENANT}.{landing} FROM INFILE '{segment.path}' SETTINGS "
                f"format_schema = '{OTLP_PROTO}:{SIGNALS[name].message}' FORMAT ProtobufSingle"
            )
    assert {name for name, (_, rows) in tables(client, TENANT).items() if rows} == FILLED
    assert not {name for name, (_, rows) in tables(client, "otel").items() if rows}


def test_dropping_a_tenant_leaves_the_others(client: Any) -> None:
    before = tables(client, "otel")
    assert {name: engine for name, (engine, _) in tables(client, TENANT).items()} == {
        name: engine for name, (engine, _) in before.items()
    }
    client.command(f"DROP DATABASE {TENANT} SYNC")
    assert tables(client, "otel") == before
