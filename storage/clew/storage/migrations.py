"""The schema's numbered .sql files, and the ledger of what ran.

A file of a table runs once and is never edited. Functions and views hold no data: a file of theirs
runs again when its text has changed, and views when any function has, since functions are written
out into views when those are made (ADR 0009). The file of a view that is not needed any more keeps
its number, and drops it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from clickhouse_connect.driver.client import Client

from clew.storage.cluster import LOCAL, Cluster
from clew.storage.errors import SchemaError
from clew.storage.store import Store

SCHEMA = files("clew.storage").joinpath("schema")

LEDGER = """
CREATE TABLE IF NOT EXISTS otel.clew_migrations
(
    Version UInt32,
    Name String,
    Checksum String,
    AppliedAt DateTime64(3) DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY Version
"""

# In this order they are applied: a function needs nothing, a view functions and tables.
FUNCTION, TABLE, VIEW = range(3)
VIEW_HEAD = re.compile(
    r"^CREATE (?:MATERIALIZED )?VIEW IF NOT EXISTS otel\.(?P<name>\w+)(?P<target> TO \S+)? AS\n",
    re.MULTILINE,
)
VIEW_GONE = re.compile(r"^DROP VIEW IF EXISTS otel\.\w+\n", re.MULTILINE)

# Of tables whose names are LIKE that, where the server knows the setting (no CREATE TABLE can have
# one that an older server would refuse).
# Lengths of strings inside a Map as 8-byte numbers in a stream of their own, the default since
# 26.3, take 10.7 bytes a span (of 59.4), as ZSTD(1) sees no period in them, and a seventh of the
# CPU time of inserting and merging.
# An hour after the last of a day came in, its side rows are merged into one part: what is said of a
# trace or a minute then stands in one row, and reads need not put it together.
OURS = r"clew\_%"
SETTINGS = (
    ("propagate_types_serialization_versions_to_nested_types", 0, "%"),
    ("min_age_to_force_merge_seconds", 3600, OURS),
    ("min_age_to_force_merge_on_partition_only", 1, OURS),
)


@dataclass(frozen=True)
class Migration:
    """One statement. `version` and `name` are from the file's name; `checksum` is of its text, and
    of a view's together with that of all functions."""

    version: int
    name: str
    sql: str
    checksum: str

    @property
    def kind(self) -> int:
        return _kind(self.sql)


def known() -> list[Migration]:
    """The migrations that this clew ships, in the order in which they are applied."""
    found = []
    for file in SCHEMA.iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match:
            found.append((int(match[1]), match[2], file.read_text(encoding="utf-8")))
    found.sort()
    functions = "".join(sql for _, _, sql in found if _kind(sql) == FUNCTION)
    migrations = [
        Migration(version, name, sql, _checksum(sql + functions if VIEW_HEAD.search(sql) else sql))
        for version, name, sql in found
    ]
    return sorted(migrations, key=lambda migration: migration.kind)


def _kind(sql: str) -> int:
    if re.search("^CREATE OR REPLACE FUNCTION ", sql, re.MULTILINE):
        return FUNCTION
    return VIEW if VIEW_HEAD.search(sql) or VIEW_GONE.search(sql) else TABLE


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def statement(name: str) -> str:
    """The text of the migration called `name`."""
    return next(migration.sql for migration in known() if migration.name == name)


def migrate(store: Store, *, dry_run: bool = False, views: bool = True) -> list[Migration]:
    """Apply the migrations whose text the database has not seen, and return them (`dry_run`: only
    return; without `views`: all but those, which a later run makes).

    Each can be applied again, so a run that was cut short is simply run once more. Others may write
    meanwhile: a view has its old query or its new one at every moment.
    Raises SchemaError naming the table's file that was edited after it ran, or the newer database.
    """
    migrations, cluster = known(), store.cluster
    with store.client() as client:
        if not dry_run:
            for sql in ("CREATE DATABASE IF NOT EXISTS otel", LEDGER):
                _run(client, cluster, sql)
        applied = _applied(client)
        _check(migrations, applied)
        pending = [
            migration
            for migration in migrations
            if applied.get(migration.version, ("", ""))[1] != migration.checksum
            and (views or migration.kind != VIEW)
        ]
        if not dry_run:
            present = _present(client, cluster) if pending else {}
            for migration in pending:
                _apply(client, cluster, migration.sql, present)
            _set_where_known(client, cluster)
            _record(client, pending)
    return pending


def _run(client: Client, cluster: Cluster, sql: str) -> None:
    for each in cluster.statements(sql):
        client.command(each)


def _apply(client: Client, cluster: Cluster, sql: str, statements: Mapping[str, str]) -> None:
    """`statements`: those that made what is in the database, by name."""
    head = VIEW_HEAD.search(sql)
    if head is None:
        _run(client, cluster, sql)
        return
    present = statements.get(head["name"], "")
    if present.startswith("CREATE VIEW "):
        sql = sql.replace("CREATE VIEW IF NOT EXISTS", "CREATE OR REPLACE VIEW", 1)
    elif present.startswith("CREATE MATERIALIZED VIEW "):
        if f"{head['target']} (" in present:
            sql = f"ALTER TABLE otel.{head['name']} MODIFY QUERY\n{sql[head.end() :]}"
        else:  # what it writes to cannot be altered
            _run(client, cluster, f"DROP VIEW otel.{head['name']} SYNC")
    _run(client, cluster, sql)


def _present(client: Client, cluster: Cluster) -> dict[str, str]:
    """The statements that made the tables and views in the database, by name."""
    rows = client.query(
        "SELECT name, replaceAll(create_table_query, {local:String}, 'otel.') FROM system.tables "
        "WHERE has({databases:Array(String)}, database)",
        parameters={"databases": cluster.databases, "local": f"{LOCAL}."},
    ).result_rows
    return {name: statement for name, statement in rows}  # noqa: C416 - dict() of typed rows


def _record(client: Client, migrations: list[Migration]) -> None:
    """All at once, since a row takes as long as a migration. The newest of a version counts: newer
    than every other even where the clock went back."""
    if not migrations:
        return
    rows = [(each.version, each.name, each.checksum) for each in migrations]
    client.command(
        "INSERT INTO otel.clew_migrations (Version, Name, Checksum, AppliedAt) "
        "SELECT row.1, row.2, row.3, (SELECT greatest(now64(3), "
        "max(AppliedAt) + toIntervalMillisecond(1)) FROM otel.clew_migrations) "
        "FROM (SELECT arrayJoin({rows:Array(Tuple(UInt32, String, String))}) AS row)",
        parameters={"rows": rows},
    )


def _set_where_known(client: Client, cluster: Cluster) -> None:
    for name, value, which in SETTINGS:
        tables = client.query(
            "SELECT name FROM system.tables WHERE has({databases:Array(String)}, database) "
            "AND engine LIKE '%MergeTree' AND name LIKE {which:String} "
            "AND position(create_table_query, {name:String}) = 0 "
            "AND (SELECT count() FROM system.merge_tree_settings WHERE name = {name:String})",
            parameters={"databases": cluster.databases, "name": name, "which": which},
        ).result_rows
        for (table,) in tables:
            client.command(
                f"ALTER TABLE {cluster.shard_table(table)} MODIFY SETTING {name} = {value}"
            )


def _applied(client: Client) -> dict[int, tuple[str, str]]:
    exists = client.command("EXISTS TABLE otel.clew_migrations")
    if not int(str(exists)):
        return {}
    rows = client.query(
        "SELECT Version, argMax(Name, AppliedAt), argMax(Checksum, AppliedAt) "
        "FROM otel.clew_migrations GROUP BY Version"
    ).result_rows
    return {version: (name, checksum) for version, name, checksum in rows}


def _check(migrations: list[Migration], applied: dict[int, tuple[str, str]]) -> None:
    newest = max(migration.version for migration in migrations)
    ahead = sorted(version for version in applied if version > newest)
    if ahead:
        raise SchemaError(
            f"the database has migration {ahead[-1]:04}_{applied[ahead[-1]][0]}, newer than this "
            f"clew knows ({newest:04}): install the newer clew that wrote it"
        )
    for migration in migrations:
        if (
            migration.kind == TABLE
            and migration.version in applied
            and applied[migration.version][1] != migration.checksum
        ):
            raise SchemaError(
                f"{migration.version:04}_{migration.name}.sql was edited after it ran on this "
                "database: put its text back and write a new migration"
            )
