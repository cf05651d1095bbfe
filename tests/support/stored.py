"""Reads the tables of a `clew up` that has stopped, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from support.every_field import TABLES

# The columns that clew adds to the exporter's tables.
CLEW_COLUMNS = (
    "^(Segment|InsertedAt|Instance|Host|Level|Template|Series|Stream|(Start)?TimeUnixNanos|Has(Sum|Min|Max)"
    "|AttributeTypes|EndsBeforeStart)$"
)


def ask(clew: Any, *queries: str) -> list[list[dict[str, Any]]]:
    """The rows of each query, parsed from JSONEachRow."""
    script = f"""
import sys
from clew.storage import Store
with Store("chdb://{clew.data / "db"}").client() as client:
    for query in sys.argv[1:]:
        sys.stdout.buffer.write(client.raw_query(query, fmt="JSONEachRow") + b"\\0")
"""
    answer = subprocess.run(
        [sys.executable, "-c", script, *queries], capture_output=True, text=True, check=True
    )
    results = answer.stdout.split("\0")[:-1]
    # splitlines() would also split at characters that JSON allows in a string.
    return [[json.loads(line) for line in lines.split("\n") if line] for lines in results]


def read(clew: Any, services: str = "") -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By service whose name starts with `services`, and by table: the rows."""
    queries = [
        f"SELECT * EXCEPT ('{CLEW_COLUMNS}') FROM otel.{table} "
        f"WHERE startsWith(ServiceName, '{services}') AND ServiceName != 'clew'"
        for table in TABLES
    ]
    rows_by_service: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for table, rows in zip(TABLES, ask(clew, *queries), strict=True):
        for row in rows:
            tables = rows_by_service.setdefault(row["ServiceName"], {})
            tables.setdefault(table, []).append(row)
    return rows_by_service


def wait_until_loaded(data: Path, seconds: float = 60) -> None:
    """Have everything loaded that was received, and wait for it."""
    deadline = time.monotonic() + seconds
    ask_for_catch_up(data)
    while any(path.is_file() for path in (data / "spool").rglob("*")):
        assert time.monotonic() < deadline, list((data / "spool").rglob("*"))
        time.sleep(0.05)


def ask_for_catch_up(data: Path) -> None:
    """As a read would do it. Without an answer, segments are loaded when they have the age for it."""
    with contextlib.suppress(OSError, ValueError, KeyError, httpx.HTTPError):
        api = json.loads((data / "endpoints.json").read_text())["api"]
        if api:
            httpx.get(f"{api}/api/v1/ledger", params={"wait": 10}, timeout=60)
