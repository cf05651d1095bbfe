"""Numbered, forward-only .sql files, and the ledger of those that ran."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from clickhouse_connect.driver.client import Client

from clew.storage.errors import SchemaError
from clew.storage.store import Store

LEDGER = """
CREATE TABLE IF NOT EXISTS otel.clew_migrations
(
    Version UInt32,
    Name String,
    Checksum String,
    AppliedAt DateTime64(3) DEFAULT now64(3)
)
ENGINE = MergeTree ORDER BY Version
"""


@dataclass(frozen=True)
class Migration:
    """One statement: `version` and `name` from the file's name, `checksum` of its text."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known() -> list[Migration]:
    """The migrations that this clew ships, in their order."""
    found = []
    for file in files("clew.storage").joinpath("schema").iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def statement(name: str) -> str:
    """The text of the migration called `name`."""
    return next(migration.sql for migration in known() if migration.name == name)


def migrate(store: Store, *, dry_run: bool = False) -> list[Migration]:
    """Run the migrations that the database has not seen, and return them (`dry_run`: only return).

    Each file can be run again, so a run that was cut short is simply run once more.
    Raises SchemaError naming the file that was edited after it ran, or the newer database.
    """
    migrations = known()
    with store.client() as client:
        if not dry_run:
            client.command("CREATE DATABASE IF NOT EXISTS otel")
            client.command(LEDGER)
        applied = _applied(client)
        _check(migrations, applied)
        pending = [migration for migration in migrations if migration.version not in applied]
        for migration in [] if dry_run else pending:
            client.command(migration.sql)
            client.command(
                "INSERT INTO otel.clew_migrations (Version, Name, Checksum) "
                "SELECT {version:UInt32}, {name:String}, {checksum:String}",
                parameters={
                    "version": migration.version,
                    "name": migration.name,
                    "checksum": migration.checksum,
                },
            )
    return pending


def _applied(client: Client) -> dict[int, tuple[str, str]]:
    exists = client.command("EXISTS TABLE otel.clew_migrations")
    if not int(str(exists)):
        return {}
    rows = client.query("SELECT Version, Name, Checksum FROM otel.clew_migrations").result_rows
    return {version: (name, checksum) for version, name, checksum in rows}


def _check(migrations: list[Migration], applied: dict[int, tuple[str, str]]) -> None:
    newest = migrations[-1].version
    ahead = sorted(version for version in applied if version > newest)
    if ahead:
        raise SchemaError(
            f"the database has migration {ahead[-1]:04}_{applied[ahead[-1]][0]}, newer than this "
            f"clew knows ({newest:04}): install the newer clew that wrote it"
        )
    for migration in migrations:
        if migration.version in applied and applied[migration.version][1] != migration.checksum:
            raise SchemaError(
                f"{migration.version:04}_{migration.name}.sql was edited after it ran on this "
                "database: put its text back and write a new migration"
            )
