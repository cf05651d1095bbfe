"""CPU milliseconds of a settling pass, by the number of traces: by statements and by Python.

    python bench/settling.py [--runs 12] [--traces 8 64 256 1024]

A whole pass of the settler, without receivers, loader and steps: with the clock, the choice of the
traces and the saved progress, with one definition and without. Before each pass new
traces of 8 spans of 12 attributes are inserted. Both ways take turns in one process. `nothing` is a
pass over nothing new, soon after one over something. Shown is the lower quartile of the runs, since
CPU time grows while other work keeps the caches busy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import bodies

from clew.analysis import Occurrences, Settler
from clew.analysis.traces import settling
from clew.analysis.transactions import few
from clew.analysis.transactions.definitions import Definition, read
from clew.collector import otlp
from clew.collector.segment import encode_segment
from clew.storage import SIGNALS, Ingest, Store, migrate

WARM_UP = 2  # runs that are not counted
DEFINITION = b"""
transactions:
  - name: Products
    match: {service: checkout, operation: "GET /products/{sku}/0"}
    key: order.id
    user: user.id
    steps: ["GET /products/{sku}/1"]
"""
FEW = {
    settling: ("FEW_TRACES", "FEW_SPANS"),
    few: ("FEW_TRACES", "FEW_RECORDS", "FEW_APPLICATIONS", "FEW_CHARACTERS", "FEW_PARTS"),
}


class Running:
    """A Stop that never stops or pauses the work."""

    def check(self) -> None:
        pass


class Bench:
    """A settler on an embedded engine; `spent` has the seconds of CPU time by way."""

    def __init__(self, directory: Path, definitions: tuple[Definition, ...]) -> None:
        self._directory = directory
        self._store = Store(f"chdb://{directory / 'db'}")
        migrate(self._store)
        self._ingest = Ingest(self._store)
        occurrences = Occurrences(self._store, lambda: definitions)
        self._settler = Settler(self._store, occurrences)
        self._segment = 0
        self.spent: dict[str, list[float]] = defaultdict(list)

    def close(self) -> None:
        self._store.close()

    def run(self, traces: int, seed: int) -> None:
        """Settle new traces in both ways."""
        for way, limit in (("statements", -1), ("python", 1 << 30)):
            self._insert(traces, 2 * seed + (way == "python"))
            with limits(limit):
                with self._step(way):
                    self._settler._run(Running())
                with self._step(f"{way}, nothing"):
                    self._settler._run(Running())

    def _insert(self, traces: int, seed: int) -> None:
        self._segment += 1
        path = self._directory / f"{self._segment}.sealed"
        spans = traces * bodies.SPANS_PER_TRACE
        batch = otlp.decode_protobuf("traces", bodies.traces(spans, 12, seed))
        path.write_bytes(encode_segment([batch], self._segment))
        self._ingest.load(SIGNALS["traces"], path, self._segment, spans, time.time())
        path.unlink()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        before = time.process_time()
        yield
        self.spent[name].append(time.process_time() - before)


@contextmanager
def limits(limit: int) -> Iterator[None]:
    """A context in which Python computes so many traces, spans and so on."""
    with ExitStack() as patches:
        for module, names in FEW.items():
            for name in names:
                patches.enter_context(patch.object(module, name, limit))
        yield


COLUMNS = ("statements", "python", "statements, nothing", "python, nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--traces", type=int, nargs="+", default=[8, 64, 256, 1024])
    arguments = parser.parse_args()
    print(f"{'definitions':>11} {'traces':>7}" + "".join(f"{name:>21}" for name in COLUMNS))
    for definitions in ((), read(DEFINITION)):
        for traces in arguments.traces:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
                bench = Bench(Path(name), definitions)
                for seed in range(WARM_UP + arguments.runs):
                    bench.run(traces, seed)
                quartiles = [_lower_quartile(bench.spent[column]) for column in COLUMNS]
                bench.close()
            print(
                f"{len(definitions):>11} {traces:>7}"
                + "".join(f"{1000 * seconds:>21.1f}" for seconds in quartiles),
                flush=True,
            )


def _lower_quartile(seconds: list[float]) -> float:
    counted = sorted(seconds[WARM_UP:])
    return counted[len(counted) // 4]


if __name__ == "__main__":
    main()
