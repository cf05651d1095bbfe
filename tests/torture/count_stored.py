"""Prints what is stored behind a DSN, as the oracle wants it (or with `names`, each item's name).

A program of its own, since the embedded engine has one owner: clew must have been stopped, and the
process of the tests has an engine already.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from clew.storage import Store
from support.loading import rows, sides_equal_their_base

# clew's own metrics are not sent by anybody: they pass no spool and no ledger.
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
# Of each request: its number, how many different items of it there are, and how often the least
# and the most frequent of them.
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
        found = {signal: rows(store, sql) for signal, sql in NAMES.items()}
        print(json.dumps({signal: [row["name"] for row in each] for signal, each in found.items()}))
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
