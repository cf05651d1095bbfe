"""Migrations: applies the schema's numbered .sql files, and records them in otel.clew_migrations.

A table's file runs once and is never edited. Functions and views hold no data, so their files are
repeatable: a file runs again when its text changed. A view also runs again when any function
changed, because the engine expands functions when it creates a view (ADR 0009). The file of a view
that is no longer needed keeps its number and contains DROP VIEW.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
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

# Kinds of migrations, in the order in which they are applied: views need functions and tables.
FUNCTION, TABLE, VIEW = range(3)
VIEW_HEAD = re.compile(
    r"^CREATE (?:MATERIALIZED )?VIEW IF NOT EXISTS otel\.(?P<name>\w+)(?P<target> TO \S+)? AS\n",
    re.MULTILINE,
)
# Of a MergeTree, whose last clause is its settings.
TABLE_HEAD = re.compile(
    r"^CREATE TABLE IF NOT EXISTS otel\.(\w+)(?=[\s\S]*^SETTINGS [^()]+\Z)", re.MULTILINE
)
ALTER = re.compile(r"\A(?:--[^\n]*\n)*ALTER TABLE otel\.(\w+)\s+")
# What makes rows, or an index, for rows that an older clew has stored.
FILL = re.compile(r"^INSERT INTO |^ALTER TABLE \S+ MATERIALIZE ", re.MULTILINE)
VIEW_DROP = re.compile(r"^DROP VIEW IF EXISTS otel\.\w+\n", re.MULTILINE)

# Settings of the tables whose names begin with the third value. They are not in the schema's files,
# because a server refuses a CREATE TABLE with a setting that it does not know.
# The first: since 26.3 the lengths of strings inside a Map are 8-byte numbers in a stream of their
# own by default. They take 10.7 of 59.4 bytes a span, because ZSTD(1) finds no period in them, and
# a seventh of the CPU time of inserts and merges.
# The others: one hour after the last insert into a day, the side tables' parts of that day are
# merged into one. Then each trace or minute has one row, and reads need not aggregate several.
CLEW_TABLES = "clew_"
TABLE_SETTINGS = (
    ("propagate_types_serialization_versions_to_nested_types", 0, ""),
    ("min_age_to_force_merge_seconds", 3600, CLEW_TABLES),
    ("min_age_to_force_merge_on_partition_only", 1, CLEW_TABLES),
)


@dataclass(frozen=True)
class Migration:
    """One statement of the schema. `version` and `name` are parts of the file's name. `checksum` is
    the SHA-256 of the text in hex; that of a view includes the text of all functions."""

    version: int
    name: str
    sql: str
    checksum: str

    @property
    def kind(self) -> int:
        """FUNCTION, TABLE or VIEW."""
        return _kind(self.sql)


def known_migrations() -> list[Migration]:
    """The migrations of this version of clew, in the order in which they are applied."""
    files = []
    for file in SCHEMA.iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match:
            files.append((int(match[1]), match[2], file.read_text(encoding="utf-8")))
    files.sort()
    functions = "".join(sql for _, _, sql in files if _kind(sql) == FUNCTION)
    migrations = [
        Migration(version, name, sql, _checksum(sql + functions if VIEW_HEAD.search(sql) else sql))
        for version, name, sql in files
    ]
    return sorted(migrations, key=lambda migration: migration.kind)


def _kind(sql: str) -> int:
    if re.search("^CREATE OR REPLACE FUNCTION ", sql, re.MULTILINE):
        return FUNCTION
    return VIEW if VIEW_HEAD.search(sql) or VIEW_DROP.search(sql) else TABLE


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def statement(name: str) -> str:
    """The text of the migration called `name`."""
    return next(migration.sql for migration in known_migrations() if migration.name == name)


def migrate(
    store: Store,
    *,
    dry_run: bool = False,
    views: bool = True,
    ttls: Mapping[str, str] | None = None,
) -> list[Migration]:
    """Apply the migrations that are new or changed, and return them.

    With `dry_run`, only return them. Without `views`, leave the views to a later run. `ttls`: TTL
    clauses by table, which the tables of a new database of the embedded engine get at once: to
    change them later takes 0.3 s.
    Every migration can be applied twice, so a run that was killed is simply repeated. Other clients
    may write meanwhile: at every moment a view has either its old query or its new one.
    Raises SchemaError when a table's file was edited after it ran, or when the database has
    migrations of a newer clew.
    """
    migrations, cluster = known_migrations(), store.cluster
    with store.client() as client:
        if not dry_run:
            for sql in ("CREATE DATABASE IF NOT EXISTS otel", LEDGER):
                _run(client, cluster, sql)
        applied = _applied_migrations(client)
        _check(migrations, applied)
        pending = [
            migration
            for migration in migrations
            if applied.get(migration.version, ("", ""))[1] != migration.checksum
            and (views or migration.kind != VIEW)
        ]
        if not dry_run:
            statements = _create_statements(client, cluster) if pending else {}
            settings = _known_settings(client)
            is_new = pending and statements.keys() <= {"clew_migrations"}
            # A cluster's tables are pairs, and only one of a pair has indexes.
            if is_new and store.embedded and not cluster.name:
                for sql in _of_new_database(pending, ttls or {}):
                    _run(client, cluster, _with_settings(sql, settings))
            else:
                for migration in pending:
                    _apply(client, cluster, _with_settings(migration.sql, settings), statements)
            _complete_table_settings(client, cluster, settings)
            _record(client, pending)
    return pending


def _run(client: Client, cluster: Cluster, sql: str) -> None:
    for statement in cluster.statements(sql):
        client.command(statement)


def _of_new_database(pending: Iterable[Migration], ttls: Mapping[str, str]) -> list[str]:
    """The same statements for a database without tables, in 0.5 s less: nothing is filled, each
    table has its TTL from the start, and the columns and indexes that it got later come in one
    statement."""
    statements: list[str] = []
    altered: dict[str, int] = {}  # by table, the place of its ALTER
    for migration in pending:
        sql = migration.sql
        if FILL.search(sql):
            continue
        if head := TABLE_HEAD.search(sql):
            if head[1] in ttls:
                sql = re.sub(r"^(?=SETTINGS )", f"{ttls[head[1]]}\n", sql, flags=re.MULTILINE)
        elif (head := ALTER.match(sql)) and "MODIFY COLUMN" not in sql:
            if head[1] in altered:
                statements[altered[head[1]]] += f",\n    {sql[head.end() :].rstrip()}"
                continue
            altered[head[1]], sql = len(statements), sql.rstrip()
        statements.append(sql)
    return statements


def _apply(client: Client, cluster: Cluster, sql: str, statements: Mapping[str, str]) -> None:
    """`statements`: the CREATE statements of the tables and views in the database, by name."""
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
        else:  # the target table of a view cannot be altered
            _run(client, cluster, f"DROP VIEW otel.{head['name']} SYNC")
    _run(client, cluster, sql)


def _create_statements(client: Client, cluster: Cluster) -> dict[str, str]:
    """The CREATE statements of the tables and views in the database, by name."""
    rows = client.query(
        "SELECT name, replaceAll(create_table_query, {local:String}, 'otel.') FROM system.tables "
        "WHERE has({databases:Array(String)}, database)",
        parameters={"databases": cluster.databases, "local": f"{LOCAL}."},
    ).result_rows
    return {name: statement for name, statement in rows}  # noqa: C416 - dict() of typed rows


def _record(client: Client, migrations: list[Migration]) -> None:
    """Insert a row for each migration, with one insert, because an insert takes as long as a
    migration.

    The newest row of a version counts, so AppliedAt is later than any other even if the clock was
    set back."""
    if not migrations:
        return
    rows = [(migration.version, migration.name, migration.checksum) for migration in migrations]
    client.command(
        "INSERT INTO otel.clew_migrations (Version, Name, Checksum, AppliedAt) "
        "SELECT row.1, row.2, row.3, (SELECT greatest(now64(3), "
        "max(AppliedAt) + toIntervalMillisecond(1)) FROM otel.clew_migrations) "
        "FROM (SELECT arrayJoin({rows:Array(Tuple(UInt32, String, String))}) AS row)",
        parameters={"rows": rows},
    )


def _known_settings(client: Client) -> list[tuple[str, int, str]]:
    """Those of TABLE_SETTINGS that the server knows."""
    names = client.query(
        "SELECT name FROM system.merge_tree_settings WHERE has({names:Array(String)}, name)",
        parameters={"names": [name for name, _, _ in TABLE_SETTINGS]},
    ).result_columns[0]
    return [setting for setting in TABLE_SETTINGS if setting[0] in names]


def _with_settings(sql: str, settings: list[tuple[str, int, str]]) -> str:
    """The CREATE statement of a MergeTree with these too; another statement as it is."""
    head = TABLE_HEAD.search(sql)
    if head is None:
        return sql
    more = [f"{name} = {value}" for name, value, prefix in settings if head[1].startswith(prefix)]
    return ", ".join((sql.rstrip(), *more))


def _complete_table_settings(
    client: Client, cluster: Cluster, settings: list[tuple[str, int, str]]
) -> None:
    """Set these on the tables that do not have them: tables of an older clew."""
    rows = client.query(
        "SELECT name, create_table_query FROM system.tables "
        "WHERE has({databases:Array(String)}, database) AND engine LIKE '%MergeTree'",
        parameters={"databases": cluster.databases},
    ).result_rows
    for table, statement in rows:
        missing = [
            f"{name} = {value}"
            for name, value, prefix in settings
            if table.startswith(prefix) and name not in statement
        ]
        if missing:
            client.command(
                f"ALTER TABLE {cluster.shard_table(table)} MODIFY SETTING {', '.join(missing)}"
            )


def _applied_migrations(client: Client) -> dict[int, tuple[str, str]]:
    """The name and the checksum of the newest row of each version."""
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
    newest_applied = max(applied, default=0)
    if newest_applied > newest:
        raise SchemaError(
            f"the database has migration {newest_applied:04}_{applied[newest_applied][0]}, newer "
            f"than this clew knows ({newest:04}): install the newer clew that wrote it"
        )
    for migration in migrations:
        if (
            migration.kind == TABLE
            and migration.version in applied
            and applied[migration.version][1] != migration.checksum
        ):
            raise SchemaError(
                f"{migration.version:04}_{migration.name}.sql was edited after it ran on this "
                "database: restore its text and write a new migration"
            )
