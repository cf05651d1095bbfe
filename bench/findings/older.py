"""What settling older rows again costs, and whether it gives what fresh settling gives.

    python -m bench.findings.older [--minutes 20] [--rate 5] [--copies 21]

Loads the model of the shop, copies its spans as other traces, settles all, drops the columns of
schema 0280 from clew_settled and adds them again as that migration did, so that rows are as an
older clew left them; then settles them again as `clew backfill` does, and compares all rows with
those that were settled at first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from clew.analysis.traces.resettling import settle_older_rows
from clew.analysis.traces.settling import Settling, settler_statements
from clew.storage import Store

sys.path.insert(0, str(Path(__file__).parents[1]))

from shop.model import Shop

from .__main__ import START, settle, store_of

NEW = ("Path.Most", "Path.Link", "Call.Own")
ADDED = files("clew.storage").joinpath("schema/0280_clew_settled_links.sql")
SAME = """
SELECT count(), countIf(before.Row = after.Row), sum(after.SpanCount)
FROM (SELECT TraceId, SpanCount, {row} AS Row FROM otel.clew_settled FINAL) AS after
FULL JOIN (SELECT TraceId, {row} AS Row FROM otel.settled_at_first) AS before USING TraceId"""
ROW = """cityHash64(
    ServiceName, SpanName, Timestamp, Environment, Duration, IsError, Rank, Services, SpanCount,
    OneIn,
    arraySort(arrayZip(
        Path.Service, Path.Operation, Path.Kind, Path.Calls, Path.Self, Path.Critical, Path.Most,
        Path.Link)),
    arraySort(arrayZip(
        Call.Source, Call.Target, Call.Type, Call.Summary, Call.Duration, Call.IsError,
        Call.Own)))"""
ALL = "2000-01-01 00:00:00", "2100-01-01 00:00:00"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.findings.older")
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second")
    parser.add_argument("--copies", type=int, default=21)
    arguments = parser.parse_args()
    shop = Shop(0, START, rate=arguments.rate)
    with store_of(shop, arguments.minutes) as store:
        multiply(store, arguments.copies)
        settle(store)
        print(json.dumps(measure(store)))


def multiply(store: Store, copies: int) -> None:
    """Copies all spans, as other traces of the same time."""
    with store.client() as client:
        client.command(
            "CREATE TABLE otel.template ENGINE = Memory AS SELECT * FROM otel.otel_traces"
        )
        for copy in range(1, copies):
            client.command(
                "INSERT INTO otel.otel_traces SELECT * REPLACE("
                f"concat(substring(TraceId, 1, 28), '{copy:04x}') AS TraceId) FROM otel.template"
            )
        client.command("DROP TABLE otel.template")


def measure(store: Store) -> dict[str, Any]:
    """How many traces are settled again, at what cost, and how many are as they were at first."""
    with store.client() as client:
        client.command(
            "CREATE TABLE otel.settled_at_first ENGINE = MergeTree ORDER BY TraceId "
            "AS SELECT * FROM otel.clew_settled FINAL"
        )
        for column in NEW:
            client.command(f"ALTER TABLE otel.clew_settled DROP COLUMN `{column}`")
        client.command(ADDED.read_text(encoding="utf-8"))
    statements = settler_statements(store)
    began, cpu = time.monotonic(), time.process_time()
    traces_settled = 0
    for progress in settle_older_rows(Settling(store, statements), statements, *ALL):
        traces_settled = progress.traces
    cpu, wall = time.process_time() - cpu, time.monotonic() - began
    with store.client() as client:
        ((traces, same, spans),) = client.query(SAME.format(row=ROW)).result_rows
    return {
        "traces": traces,
        "same": same,
        "spans": spans,
        "settled_again": traces_settled,
        "cpu_s": round(cpu, 1),
        "wall_s": round(wall, 1),
        "cpu_s_per_million_spans": round(cpu / spans * 1e6, 1),
    }


if __name__ == "__main__":
    main()
