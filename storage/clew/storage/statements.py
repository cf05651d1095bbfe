"""The named queries that a thread in the background runs, with one core left to the inserts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Never

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.storage.errors import StorageError
from clew.storage.quoting import assignments
from clew.storage.sql import Query, RowT, sql_of
from clew.storage.store import Store

# optimize_on_insert would look for rows to replace among those that are inserted, where there are
# none: four times what inserting them takes.
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
    """Runs queries with bound parameters. All of it raises StorageError."""

    def __init__(self, store: Store, settings: Mapping[str, int | str] | None = None) -> None:
        self._store = store
        self._mark = f"clew {secrets.token_hex(16)}"
        self._stopped = False
        of_all = SETTINGS | dict(settings or {}) | {"log_comment": self._mark}
        self._settings = assignments(of_all)

    def rows(self, query: Query[RowT], **parameters: Any) -> list[RowT]:
        """The rows of a query, each a dict by column."""
        with self._client(query) as client:
            sql = self._store.cluster.over_all_nodes(sql_of(query.package, query.name))
            answer = client.query(f"{sql}\nSETTINGS {self._settings}", parameters=parameters)
            rows: Iterator[Any] = answer.named_results()
            return list(rows)

    def insert(
        self, table: str, query: Query[Never], columns: str = "*", **parameters: Any
    ) -> None:
        """Put the rows of a query into a table."""
        with self._client(query) as client:
            insert = f"INSERT INTO otel.{table} ({columns}) SETTINGS {self._settings}\n"
            # Not as a command: those have their parameters in the URL, however long they are.
            client.raw_query(insert + sql_of(query.package, query.name), parameters=parameters)

    def stop(self) -> None:
        """Begin no further statement, and have the one that is running end; for another thread."""
        self._stopped = True
        self.cancel()

    def cancel(self) -> None:
        """Have the statement that is running end; for another thread."""
        with self._store.client() as client:
            client.command(self._store.cluster.kill, parameters={"tag": self._mark})

    @contextmanager
    def _client(self, query: Query[Any]) -> Iterator[Client]:
        if self._stopped:
            raise StorageError(f"{query.name}: clew is stopping")
        with self._store.client() as client:
            try:
                yield client
            except ClickHouseError as error:
                raise StorageError(f"{query.name}: {error}") from error
