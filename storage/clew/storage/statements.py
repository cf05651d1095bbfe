"""Runs the named queries of background threads. They use one core at a time, so that inserts have
the others."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Never

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.storage.errors import StorageError
from clew.storage.inserts import insert_block
from clew.storage.quoting import assignments
from clew.storage.rows import Rows
from clew.storage.sql import Query, RowT, sql_of
from clew.storage.store import Store

# optimize_on_insert searches the inserted rows for rows that replace one another. There are none,
# and the search takes four times as long as the insert.
SETTINGS: dict[str, int | str] = {
    "max_threads": 1,
    "max_insert_threads": 1,
    "max_execution_time": 120,
    "max_memory_usage": 2 << 30,
    "async_insert": 0,
    "optimize_on_insert": 0,
    "throw_on_max_partitions_per_insert_block": 0,
    "max_partitions_per_insert_block": 0,
}


class Statements:
    """Runs queries with bound parameters, for one thread. All methods raise StorageError."""

    def __init__(self, store: Store, settings: Mapping[str, int | str] | None = None) -> None:
        self._store = store
        self._tag = f"clew {secrets.token_hex(16)}"
        self._stopped = False
        self._all_settings = SETTINGS | dict(settings or {}) | {"log_comment": self._tag}
        self._settings = assignments(self._all_settings)

    def rows(self, query: Query[RowT], **parameters: Any) -> list[RowT]:
        """The rows of a query, each a dict by column."""
        with self._client(query.name) as client:
            sql = self._store.cluster.over_all_nodes(sql_of(query.package, query.name))
            answer = client.query(f"{sql}\nSETTINGS {self._settings}", parameters=parameters)
            rows: Iterator[Any] = answer.named_results()
            return list(rows)

    def insert(
        self, table: str, query: Query[Never], columns: str = "*", **parameters: Any
    ) -> None:
        """Insert the rows of a query into a table of the database otel. `columns`: a list of
        columns as SQL text."""
        with self._client(query.name, table) as client:
            insert = f"INSERT INTO otel.{table} ({columns}) SETTINGS {self._settings}\n"
            # client.command would put the parameters, however long, into the URL.
            client.raw_query(insert + sql_of(query.package, query.name), parameters=parameters)

    def insert_rows(self, rows: Rows) -> None:
        """Insert rows, if there are any, as one block."""
        if rows.rows:
            with self._client(rows.table) as client:
                insert_block(self._store, client, rows, self._all_settings, self._store.directory)

    def stop(self) -> None:
        """Start no further statement and end the running one. For another thread."""
        self._stopped = True
        self.cancel()

    def cancel(self) -> None:
        """End the running statement. For another thread."""
        with self._store.client() as client:
            client.command(self._store.cluster.kill, parameters={"tag": self._tag})

    @contextmanager
    def _client(self, name: str, changed: str = "") -> Iterator[Client]:
        """A client for a query of this name, which may write to the table `changed`."""
        if self._stopped:
            raise StorageError(f"{name}: clew is stopping")
        with self._store.client() as client:
            try:
                yield client
            except ClickHouseError as error:
                raise StorageError(f"{name}: {error}") from error
            finally:
                if changed:
                    self._store.changes.add(changed)
