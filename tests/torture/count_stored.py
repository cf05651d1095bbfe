"""Prints what a database holds, as JSON for the oracle: counts, or with `names` the items' names.

It runs as a process of its own, since a process has one embedded engine and the tests have one
already. clew must be stopped: a database has one owner.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from clew.storage import Store
from support.loading import rows, sides_equal_their_base

# Without clew's own metrics, which no client sends.
STORED = {
    "traces": "SELECT reinterpretAsUInt64(reverse(unhex(SpanId))) AS id FROM otel.otel_traces",
    "logs": "SELECT reinterpretAsUInt64(reverse(unhex(SpanId))) AS id FROM otel.otel_logs",
    "metrics": " UNION ALL ".join(
        f"SELECT toUInt64({column}) AS id FROM otel.otel_metrics_{table} WHERE ServiceName != 'clew'"
        for table, column in (
            ("gauge", "Value"), ("sum", "Value"), ("histogram", "Sum"),
            ("exponential_histogram", "Sum"), ("summary", "Sum"),
        )
    ),
}  # fmt: skip
# For each request: its number, the number of its distinct items, and how often the least and the
# most frequent of them are stored.
REQUESTS = """
SELECT bitShiftRight(id, 16) AS number, count() AS items, min(n) AS least, max(n) AS most
FROM (SELECT id, count() AS n FROM ({ids}) GROUP BY id) GROUP BY number
"""

PARTS = """
SELECT count() AS parts, uniqExact(partition) AS partitions
FROM system.parts WHERE database = 'otel' AND active
"""

NAMES = {
    "traces": "SELECT SpanName AS name FROM otel.otel_traces",
    "logs": "SELECT SeverityText AS name FROM otel.otel_logs",
    "metrics": " UNION ALL ".join(
        f"SELECT MetricName AS name FROM otel.otel_metrics_{table} WHERE ServiceName != 'clew'"
        for table in ("gauge", "sum", "histogram", "exponential_histogram", "summary")
    ),
}


def main(dsn: str, names: bool) -> None:
    store = Store(dsn)
    if names:
        stored = {
            signal: [row["name"] for row in rows(store, sql)] for signal, sql in NAMES.items()
        }
        print(json.dumps(stored))
        return
    requests, total = {}, {}
    for signal, ids in STORED.items():
        requests[signal] = [list(row.values()) for row in rows(store, REQUESTS.format(ids=ids))]
        total[signal] = rows(store, f"SELECT count() AS n FROM ({ids})")[0]["n"]
    (parts,) = rows(store, PARTS)
    sides = sides_equal_their_base(store)
    print(json.dumps({"requests": requests, "rows": total, "sides": sides, **parts}))


if __name__ == "__main__":
    main(sys.argv[1], "names" in sys.argv[2:])
