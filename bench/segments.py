"""CPU milliseconds of one segment, by signal and size: through the landing table and directly.

    python bench/segments.py [--runs 20] [--items 8 64 512 4096]

The statements of a segment alone, without receivers, spool and settler: what inserting it costs
either way (the direct way with the part of it that is Python's: decoding the requests and encoding
the rows), counting its rows, and its rows of the ledger. Both ways take turns in one process, each
time with other values. Shown is the lower quartile of the runs, since CPU time grows while other
work keeps the caches busy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import bodies

from clew.collector import otlp
from clew.collector.segment import encode_segment
from clew.storage import SIGNALS, Ingest, LedgerRow, Store, migrate
from clew.storage import ingest as ingesting
from clew.storage.formats import native_block
from clew.storage.rows import decode

WARM_UP = 3  # runs that are not counted
BODIES = {
    "traces": lambda items, seed: bodies.traces(items, 10, seed),
    "logs": bodies.logs,
    "metrics": bodies.metrics,
}
COLUMNS = ("landing", "direct", "Python", "count", "ledger")


class Bench:
    """Segments in an embedded engine; `spent` has the seconds of CPU time by step."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._store = Store(f"chdb://{directory / 'db'}")
        migrate(self._store)
        self._ingest = Ingest(self._store)
        self._segment = 0
        self.spent: dict[str, list[float]] = defaultdict(list)

    def run(self, signal: str, items: int, seed: int) -> None:
        """Insert a segment in both ways."""
        body = otlp.decode_protobuf(signal, BODIES[signal](items, seed)).body
        with self._step("Python"):
            for rows in decode(signal, body):
                native_block(rows.columns, rows.rows)
        for way, limit in (("landing", 0), ("direct", 1 << 30)):
            with patch.object(ingesting, "DIRECT_BYTES", limit):
                self._insert(way, signal, body)

    def _insert(self, way: str, signal: str, body: bytes) -> None:
        self._segment += 1
        path = self._directory / f"{self._segment}.sealed"
        path.write_bytes(encode_segment([otlp.decode_protobuf(signal, body)], self._segment))
        kind, now = SIGNALS[signal], time.time()
        with self._store.client() as client:
            with self._step(way):
                tables = self._ingest._insert(client, kind, path, self._segment, direct=True)
            with self._step("count"):
                stored = ingesting._count(client, kind, self._segment, now, tables)
        with self._step("ledger"):
            self._ingest.write_ledger(
                [
                    LedgerRow(now, signal, self._segment, service, "stored", count.items)
                    for service, count in stored.items()
                ]
            )
        path.unlink()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        before = time.process_time()
        yield
        self.spent[name].append(time.process_time() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--items", type=int, nargs="+", default=[8, 64, 512, 4096])
    parser.add_argument("--only", nargs="+", default=list(BODIES))
    arguments = parser.parse_args()
    print(f"{'ms of CPU time':>16}" + "".join(f"{name:>10}" for name in COLUMNS))
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        for signal in arguments.only:
            # A request of metrics has 16 points of each of three kinds at least.
            for items in (
                arguments.items if signal != "metrics" else [max(i, 48) for i in arguments.items]
            ):
                bench.spent.clear()
                for seed in range(WARM_UP + arguments.runs):
                    bench.run(signal, items, seed)
                quartiles = [_lower_quartile(bench.spent[column]) for column in COLUMNS]
                print(
                    f"{signal:>9} {items:>6}"
                    + "".join(f"{1000 * seconds:>10.1f}" for seconds in quartiles),
                    flush=True,
                )


def _lower_quartile(seconds: list[float]) -> float:
    counted = sorted(seconds[WARM_UP:])
    return counted[len(counted) // 4]


if __name__ == "__main__":
    main()
