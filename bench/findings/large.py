"""What a run of findings costs where much comes: its statements' CPU time, by what they read.

    python -m bench.findings.large [--copies 120] [--instances 300]

Settles an hour of the model of the shop and copies the settled rows so often, each a few
milliseconds later; the spans of the copies are not stored: only what confirms candidates would read
them. Then metrics of so many instances: CPU time, memory, a pool, for six hours. cpu_s: of one run,
of the whole process, the lower quartile of several; statements: of each in one run more.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from clew.analysis.findings.step import Findings
from clew.analysis.steps import Interval
from clew.analysis.traces.settling import SETTINGS
from clew.analysis.traces.times import LAST_SECOND
from clew.storage import Store
from clew.storage.sql import Query, RowT
from clew.storage.statements import Statements

sys.path.insert(0, str(Path(__file__).parents[1]))

from shop.model import Shop

from .__main__ import START, Running, run, store_of

MINUTES = 60
METRICS = {
    "process.cpu.time": "60 * number * 0.2",
    "db.client.connection.count": "3",
    "db.client.connection.max": "10",
    "process.memory.usage": "1e8 + 1e6 * (number % 7)",
}


class TimedStatements(Statements):
    """Counts the CPU time of the process by query."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, SETTINGS)
        self.seconds: dict[str, float] = {}

    def rows(self, query: Query[RowT], **parameters: Any) -> list[RowT]:
        before = time.process_time()
        rows = super().rows(query, **parameters)
        spent = time.process_time() - before
        self.seconds[query.name] = self.seconds.get(query.name, 0.0) + spent
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.findings.large")
    parser.add_argument("--copies", type=int, default=120)
    parser.add_argument("--minutes", type=int, default=MINUTES)
    parser.add_argument("--rate", type=float, default=1.5, help="requests a second of the model")
    parser.add_argument("--instances", type=int, default=300)
    arguments = parser.parse_args()
    with store_of(Shop(0, START, rate=arguments.rate), arguments.minutes) as store:
        print(json.dumps({"before": brief(store)}), flush=True)
        multiply(store, arguments.copies)
        print(json.dumps({"copied": brief(store)}), flush=True)
        insert_metrics(store, arguments.instances)
        print(json.dumps({"with_metrics": brief(store)}), flush=True)


def brief(store: Store) -> dict[str, Any]:
    """A run's cost, and that for a million spans of an hour of which the pause makes it that."""
    result = run(store)
    timed = TimedStatements(store)
    Findings(timed).run(Interval(0, LAST_SECOND, time.time_ns()), Running())
    runs_an_hour = 3600 / (result["pause_s"] or 1)
    cpu_an_hour = result["cpu_s"] * runs_an_hour
    return {
        **{name: result[name] for name in ("cpu_s", "spans", "pause_s")},
        "findings": len(result["findings"]),
        "statements": {name: round(seconds, 3) for name, seconds in timed.seconds.items()},
        "cpu_s_an_hour": round(cpu_an_hour, 2),
        "cpu_s_per_million": round(cpu_an_hour / result["spans"] * 1e6, 3),
    }


def multiply(store: Store, copies: int) -> None:
    """Copies all settled rows; in parts, to stay within the memory of an insert."""
    with store.client() as client:
        client.command(
            "CREATE TABLE otel.template ENGINE = Memory AS SELECT * FROM otel.clew_settled FINAL"
        )
        ((last,),) = client.query("SELECT toString(max(Timestamp)) FROM otel.template").result_rows
        for copy in range(1, copies):
            client.command(
                "INSERT INTO otel.clew_settled SELECT * REPLACE("
                f"concat(substring(TraceId, 1, 28), '{copy:04x}') AS TraceId, "
                f"least(Timestamp + toIntervalMillisecond({7 * copy}), "
                f"toDateTime64('{last}', 9)) AS Timestamp) FROM otel.template"
            )


def insert_metrics(store: Store, instances: int) -> None:
    """Six hours of metrics of each instance, one point a minute, of three instances a service."""
    begin = int(START) - 18_000
    with store.client() as client:
        for metric, value in METRICS.items():
            rising = "true" if metric == "process.cpu.time" else "false"
            client.command(
                "INSERT INTO otel.otel_metrics_sum (ServiceName, ResourceAttributes, MetricName, "
                "Attributes, StartTimeUnix, TimeUnix, AggregationTemporality, IsMonotonic, Value) "
                "SELECT concat('service-', toString(intDiv(instance, 3))), "
                "map('service.instance.id', toString(instance), "
                "'telemetry.sdk.language', 'python'), "
                f"'{metric}', map('state', 'used'), toDateTime({begin}), "
                f"toDateTime({begin} + 60 * number), 2, {rising}, {value} "
                f"FROM numbers(390) ARRAY JOIN range({instances}) AS instance"
            )


if __name__ == "__main__":
    main()
