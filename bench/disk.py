"""Bytes on disk for each span: by column, by index, and in the side tables.

    python bench/disk.py [--spans 2000000] [--attributes 10] [--hours 1]

Spans as bench/bodies.py makes them, of 10 services over some hours, through the collector's own
path into an embedded engine in this process, then merged to one part. Ids are random, as SDKs make
them: a trace id holds 16 bytes that nothing can compress, a span's id 8, its parent's 8.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import bodies

from clew.collector.otlp import Batch
from clew.collector.segment import encode_segment
from clew.storage import SIGNALS, Ingest, Store, migrate

REQUEST = 512  # spans
SEGMENT = 200  # requests
SERVICES = 10
SECOND = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--spans", type=int, default=2_000_000)
    parser.add_argument("--attributes", type=int, default=10)
    parser.add_argument("--hours", type=float, default=1.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = Store(f"chdb://{directory}/db")
        migrate(store)
        spans, cpu = fill(store, Path(directory), **vars(arguments))
        print(f"{spans:,} spans, {arguments.attributes} attributes, {arguments.hours} h")
        print(f"{spans / cpu:,.0f} spans per CPU-second of the inserts and the last merge")
        report(store, spans)
        store.close()


def fill(
    store: Store, directory: Path, spans: int, attributes: int, hours: float
) -> tuple[int, float]:
    """How many spans were stored, and the CPU seconds of this process while it inserted them."""
    ingest = Ingest(store)
    began = time.time_ns() - int(hours * 3600 * SECOND)
    count = spans // (REQUEST * SEGMENT)
    apart = int(hours * 3600 * SECOND) // (count * REQUEST * SEGMENT)
    cpu = 0.0
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        work = [(number, attributes, began, apart) for number in range(count)]
        for number, body in enumerate(pool.map(segment, work)):
            batch = Batch(body, REQUEST * SEGMENT)
            path = directory / "segment"
            path.write_bytes(encode_segment([batch], number + 1))
            before = time.process_time()
            ingest.load(SIGNALS["traces"], path, number + 1, REQUEST * SEGMENT, time.time())
            cpu += time.process_time() - before
    before = time.process_time()
    with store.client() as client:
        for table in ("otel_traces", *(side.name for side in SIGNALS["traces"].sides)):
            client.command(f"OPTIMIZE TABLE otel.{table} FINAL")
    return count * REQUEST * SEGMENT, cpu + time.process_time() - before


def segment(work: tuple[int, int, int, int]) -> bytes:
    number, attributes, began, apart = work
    first = number * SEGMENT
    return b"".join(
        bodies.traces(
            REQUEST,
            attributes,
            seed,
            f"service-{seed % SERVICES}",
            began + seed * REQUEST * apart,
            apart,
        )
        for seed in range(first, first + SEGMENT)
    )


def report(store: Store, spans: int) -> None:
    def print_each(title: str, sql: str) -> None:
        with store.client() as client:
            rows: Any = client.query(sql).result_rows
        print(f"\n{sum(size for _, size in rows) / spans:8.2f}  {title}")
        for name, size in rows:
            if size / spans >= 0.005:
                print(f"{size / spans:8.2f}    {name}")

    of = "database = 'otel' AND table = 'otel_traces'"
    print_each(
        "bytes a span in otel_traces, columns with their marks",
        "SELECT column, sum(column_data_compressed_bytes + column_marks_bytes) AS size "
        f"FROM system.parts_columns WHERE active AND {of} GROUP BY 1 ORDER BY size DESC",
    )
    print_each(
        "bytes a span in its indexes",
        "SELECT name, data_compressed_bytes + marks_bytes AS size "
        f"FROM system.data_skipping_indices WHERE {of} ORDER BY size DESC",
    )
    print_each(
        "bytes a span on the disk, in all",
        "SELECT table, sum(bytes_on_disk) AS size FROM system.parts "
        "WHERE active AND database = 'otel' AND table != 'clew_migrations' "
        "GROUP BY 1 ORDER BY size DESC",
    )


if __name__ == "__main__":
    main()
