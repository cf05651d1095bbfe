"""Of every field of OTLP: it is stored, or it is listed as one that the exporter does not store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clew.storage import SIGNALS
from support import every_field
from support.loading import Ingest, Store, load
from support.stored import CLEW_COLUMNS

# Without these there is no row, no service to tell it by, or no value at all.
NEEDED = {
    *("ResourceSpans.resource", "ResourceLogs.resource", "ResourceMetrics.resource"),
    *("Resource.attributes", "KeyValue.key", "KeyValue.value", "AnyValue.string_value"),
}


def without(request: Any, name: str) -> bytes:
    """The request with a field left out wherever it occurs."""
    message, _, field = name.partition(".")
    for inner in list(every_field.messages(request)):
        if inner.DESCRIPTOR.name == message:
            inner.ClearField(field)
    return bytes(request.SerializeToString())


@pytest.mark.parametrize("signal", every_field.REQUESTS)
def test_what_is_not_stored_is_listed(
    store: Store, ingest: Ingest, tmp_path: Path, signal: str
) -> None:
    make = every_field.REQUESTS[signal]
    names = sorted(every_field.fields(make("s").DESCRIPTOR) - NEEDED)
    bodies = [without(make(name), name) for name in names]
    load(ingest, tmp_path, *((signal, body) for body in bodies))
    rows: dict[str, dict[str, Any]] = {name: {} for name in names}
    with store.client() as client:
        for table in every_field.TABLES:
            lines = client.raw_query(
                f"SELECT * EXCEPT ('{CLEW_COLUMNS}') FROM otel.{table}",
                fmt="JSONEachRow",
            )
            for row in map(json.loads, lines.splitlines()):
                rows[row["ServiceName"]][table] = row
    makes_no_difference = {
        name
        for name in names
        if rows[name]
        == {
            table: row
            for table, row in every_field.expected(name).items()
            if table in SIGNALS[signal].tables
        }
    }
    listed = {
        name.removeprefix(f"{signal}: ")
        for name in every_field.NOT_STORED
        if ":" not in name or name.startswith(signal)
    }
    assert makes_no_difference == listed & set(names)
