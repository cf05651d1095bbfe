"""How long the API's answers take over a seeded data set.

    python bench/reads.py [--spans 2000000]

Traces of 8 spans over 3 services and 6 hours, 40 business transactions, through the collector's
own path into an embedded engine in this process; the API is asked in the process too, so what is
timed is queries and the shaping of answers. Median of 7 calls after one to warm up.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.api import create_app
from clew.collector.otlp import Batch
from clew.collector.segment import record, seal
from clew.storage import SIGNALS, Ingest, Reader, Store, migrate

SECOND = 10**9
HOURS = 6
BATCH = 100_000  # spans in a segment
PATH = (
    "storefront",
    "storefront",
    "orders",
    "orders",
    "orders",
    "payments",
    "payments",
    "payments",
)
SERVER, CLIENT = 2, 3
CALLS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--spans", type=int, default=2_000_000)
    spans = parser.parse_args().spans
    with tempfile.TemporaryDirectory() as directory:
        store = Store(f"chdb://{directory}/db")
        migrate(store)
        fill(Ingest(store), Path(directory), spans)
        print(f"{spans:,} spans in {spans // len(PATH):,} traces over {HOURS} h")
        asyncio.run(ask(Reader(store)))
        store.close()


def fill(ingest: Ingest, directory: Path, spans: int) -> None:
    began = time.time_ns() - (HOURS * 3600 + 20) * SECOND
    for number in range(spans // BATCH):
        batch = Batch(traces(random.Random(number), began), BATCH)
        path = directory / "segment"
        path.write_bytes(batch.body + record(batch) + seal(number + 1))
        ingest.load(SIGNALS["traces"], path, number + 1, BATCH, time.time())


def traces(chance: random.Random, began: int) -> bytes:
    request = ExportTraceServiceRequest()
    scopes = {}
    for service in dict.fromkeys(PATH):
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        scopes[service] = resource.scope_spans.add()
    for number in range(BATCH // len(PATH)):
        trace, parent = chance.randbytes(16), b""
        start = began + chance.randrange(HOURS * 3600 * SECOND)
        for depth, service in enumerate(PATH):
            span = scopes[service].spans.add(
                trace_id=trace,
                span_id=chance.randbytes(8),
                parent_span_id=parent,
                name=f"operation {number % 40} {depth}",
                kind=SERVER if depth in (0, 2, 5) else CLIENT,
                start_time_unix_nano=start + depth * 100_000,
                end_time_unix_nano=start
                + 100_000_000
                - depth * 100_000
                + chance.randrange(100_000),
            )
            for key in range(6):
                value = f"value {chance.randrange(1000)}"
                span.attributes.add(key=f"key {key}").value.string_value = value
            parent = span.span_id
    return bytes(request.SerializeToString())


async def ask(reader: Reader) -> None:
    app = create_app(reader, lambda: True)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://clew") as api:
        listed = (await api.get("/api/v1/transactions")).json()["transactions"]
        one = f"/api/v1/transactions/{listed[0]['id']}"
        slowest = (await api.get(one)).json()["traces"]["slowest"][0]["trace_id"]
        for path in (
            "/api/v1/transactions?start=-1h",
            f"/api/v1/transactions?start=-{HOURS}h",
            f"{one}?start=-1h",
            f"{one}?start=-{HOURS}h",
            f"{one}/instances?start=-{HOURS}h",
            f"/api/v1/traces/{slowest}",
            "/api/v1/traces?start=-1h&attr=key 1=value 500",
            f"/api/v1/traces?start=-{HOURS}h&attr=key 1=value 500",
            f"/api/v1/services?start=-{HOURS}h",
        ):
            print(f"{await median(api, path):6.0f} ms  {path}", flush=True)


async def median(api: httpx.AsyncClient, path: str) -> float:
    times = []
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        answer = await api.get(path)
        times.append(1000 * (time.perf_counter() - began))
        answer.raise_for_status()
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
