"""The two ways of a segment's rows into the base tables: as requests through a landing table, whose
view the engine plans, or, if they are few, as rows that Python has decoded (ADR 0029)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from clew.storage.errors import InsertError, NestedValues, Unacceptable
from clew.storage.formats import native_block
from clew.storage.messages import OTLP_PROTO
from clew.storage.quoting import assignments, identifier, literal
from clew.storage.rows import Rows
from clew.storage.store import Store

# ClickHouse's error codes for data that it cannot decode: parsing, conversion, arguments out of
# range, throwIf, and those of Protobuf.
BAD_DATA_CODES = frozenset(
    (6, 26, 27, 32, 33, 36, 38, 41, 43, 53, 69, 70, 72, 117, 128, 131, 190, 321, 349, 395, 407)
) | frozenset(range(432, 446))

INSERT_SETTINGS: dict[str, int | str] = {
    # Rows of any age are stored: a batch may span more days than the default limit of 100.
    "throw_on_max_partitions_per_insert_block": 0,
    "max_partitions_per_insert_block": 0,
    "async_insert": 0,
    # The first merge builds the indexes on attributes, not the insert: for the 39 strings of a span
    # with its resource they took a quarter of the insert's time, and unmerged parts are small.
    "exclude_materialize_skip_indexes_on_insert": ", ".join(
        f"idx_{owner}attr_{part}"
        for owner in ("", "res_", "span_", "scope_", "log_")
        for part in ("key", "value")
    ),
}


def insert_requests(
    store: Store, client: Client, landing: str, message: str, path: Path, segment: int
) -> None:
    """Insert the segment in the file `path` into a landing table; `message` is its message in
    otlp.proto. Raises InsertError, NestedValues and Unacceptable."""
    table = f"otel.{landing}"
    with _changing(store, landing), _insert_errors(segment):
        if store.embedded:
            # If the schema is given as a string, the engine leaves a copy of it in the working
            # directory.
            settings = INSERT_SETTINGS | {"format_schema": f"{OTLP_PROTO}:{message}"}
            client.command(
                f"INSERT INTO {table} FROM INFILE {literal(str(path))} "
                f"SETTINGS {assignments(settings)} FORMAT ProtobufSingle"
            )
        else:
            settings = INSERT_SETTINGS | {
                "wait_end_of_query": 1,
                "format_schema_source": "string",
                "format_schema": OTLP_PROTO.read_text(encoding="utf-8"),
                "format_schema_message_name": message,
            }
            with path.open("rb") as body:
                client.raw_insert(
                    table,
                    insert_block=body,
                    fmt="ProtobufSingle",
                    settings=settings | _tags(segment),
                )


def insert_rows(store: Store, client: Client, rows: Rows, directory: Path, segment: int) -> None:
    """Insert rows of a segment into their base table. Raises InsertError and Unacceptable."""
    settings = INSERT_SETTINGS if store.embedded else INSERT_SETTINGS | _tags(segment)
    with _insert_errors(segment):
        insert_block(store, client, rows, settings, directory)


def insert_block(
    store: Store,
    client: Client,
    rows: Rows,
    settings: Mapping[str, int | str],
    directory: Path | None,
) -> None:
    """Insert rows as one block. The embedded engine reads them from a file without a name in
    `directory`. Raises ClickHouse's errors."""
    block = native_block(rows.columns, rows.rows)
    with _changing(store, rows.table):
        _insert_block(store, client, rows, block, settings, directory)


def _insert_block(
    store: Store,
    client: Client,
    rows: Rows,
    block: bytes,
    settings: Mapping[str, int | str],
    directory: Path | None,
) -> None:
    if store.embedded:
        columns = ", ".join(map(identifier, rows.columns))
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(block)
            file.flush()
            client.command(
                f"INSERT INTO otel.{rows.table} ({columns}) FROM INFILE '/dev/fd/{file.fileno()}' "
                f"SETTINGS {assignments(settings)} FORMAT Native"
            )
    else:
        client.raw_insert(
            f"otel.{rows.table}",
            column_names=list(rows.columns),
            insert_block=block,
            fmt="Native",
            settings=dict(settings) | {"wait_end_of_query": 1},
        )


def query_id(segment: int) -> str:
    """The id of the statements that insert a segment on a server."""
    return f"clew-segment-{segment}"


def _tags(segment: int) -> dict[str, int | str]:
    return dict.fromkeys(("query_id", "log_comment"), query_id(segment))


@contextmanager
def _changing(store: Store, table: str) -> Iterator[None]:
    try:
        yield
    finally:  # after an error too: it may be unknown what was stored
        store.changes.add(table)


@contextmanager
def _insert_errors(segment: int) -> Iterator[None]:
    """Raises ClickHouse's errors as InsertError, NestedValues or Unacceptable."""
    try:
        yield
    except ClickHouseError as error:
        if "clew: nested value" in str(error):
            raise NestedValues(f"segment {segment} has nested values") from error
        code = re.search(r"Code: (\d+)", str(error))
        is_bad_data = code is not None and int(code[1]) in BAD_DATA_CODES
        raise (Unacceptable if is_bad_data else InsertError)(
            f"segment {segment}: {error}"
        ) from error
