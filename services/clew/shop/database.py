"""A service's own SQLite database, reached through SQLAlchemy."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable


def open_database(path: Path, metadata: MetaData, connections: int = 15) -> Engine:
    """An engine for the database at `path`, whose tables are created if they are missing. Its pool
    has so many connections.

    The tables are created with sqlite3 itself, so that what the service does with SQLAlchemy is
    only what its requests ask for.
    """
    connection = connect(path)
    with connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for table in metadata.sorted_tables:
            create = CreateTable(table, if_not_exists=True)
            connection.execute(str(create.compile(dialect=sqlite.dialect())))
    connection.close()
    # The URL only names the database; a path in it would end up in the name of every query.
    return create_engine(
        f"sqlite:///{path.stem}",
        creator=lambda: connect(path),
        pool_size=connections,
        max_overflow=0,
    )


def connect(path: Path) -> sqlite3.Connection:
    """A connection that may move between threads and waits 10 s for a lock."""
    return sqlite3.connect(path, timeout=10, check_same_thread=False)
