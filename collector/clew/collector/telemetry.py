"""The collector's own metrics, by the OpenTelemetry SDK: inserted into the tables once a minute.

They bypass the receivers, the spool and the ledger: they were not received from a client, and
storing them does not change what they measure. The service's name is `clew`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from clew.collector import otlp
from clew.collector.ledger import Ledger
from clew.collector.segment import encode_segment
from clew.collector.spool import SegmentIds
from clew.storage import SIGNALS, Ingest

logger = logging.getLogger(__name__)

INTERVAL = 60.0  # seconds
IDLE_INTERVAL = 600.0  # seconds, while nothing is received
STOP_TIMEOUT = 1.0  # seconds
DURATION_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PAGE = os.sysconf("SC_PAGE_SIZE")


class Telemetry:
    """Records what the spool and the loader report, and observes the rest once a minute.

    `spool_size` returns bytes; `store` stores an OTLP metrics request."""

    def __init__(
        self, ledger: Ledger, spool_size: Callable[[], int], store: Callable[[bytes], None]
    ) -> None:
        self._exporter = _Exporter(store, ledger.totals)
        self._syncs: deque[float] = deque()  # seconds of each since the last collection
        reader = PeriodicExportingMetricReader(self._exporter, INTERVAL * 1000)
        resource = Resource.create({"service.name": "clew", "service.version": version("clew")})
        meter = MeterProvider([reader], resource, shutdown_on_exit=False).get_meter(
            "clew.collector"
        )

        def histogram(name: str, description: str) -> Any:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=DURATION_BOUNDS
            )

        self._sync = histogram(
            "clew.spool.sync.duration", "Writing and syncing a group of requests"
        )
        self._insert = histogram("clew.loader.insert.duration", "Loading a segment")
        self._freshness = histogram(
            "clew.loader.freshness", "From a segment's first request until its rows are visible"
        )
        meter.create_observable_counter(
            "clew.collector.items",
            [lambda options: _items(ledger)],
            "{item}",
            "Items by signal and fate; requests where unreadable or refused",
        )
        meter.create_observable_gauge(
            "clew.collector.pending",
            [lambda options: _pending(ledger)],
            "{item}",
            "Items in the spool that are not in the tables yet",
        )
        meter.create_observable_gauge(
            "clew.collector.queue.age",
            [lambda options: [Observation(ledger.oldest_age(time.time()))]],
            "s",
            "Age of the oldest item that is not in the tables yet",
        )
        meter.create_observable_gauge(
            "clew.spool.size",
            [self._record_syncs, lambda options: [Observation(spool_size())]],
            "By",
            "Size of the spool's files",
        )
        meter.create_observable_counter("process.cpu.time", [_cpu], "s", "CPU time of all threads")
        meter.create_observable_gauge("process.memory.usage", [_memory], "By", "Resident memory")

    def close(self) -> None:
        """Stop storing: once this returns, nothing more is inserted."""
        self._exporter.close()

    def record_sync(self, seconds: float) -> None:
        """The time that writing and syncing a group of requests took. The SDK gets it with the next
        collection: for a request that comes alone that would be 70 µs, of many one takes 3."""
        self._syncs.append(seconds)

    def record_insert(self, signal: str, seconds: float, freshness: float) -> None:
        """The time that loading a segment took, and the seconds from its first request until its
        rows were visible."""
        self._insert.record(seconds, {"signal": signal})
        self._freshness.record(freshness, {"signal": signal})

    def _record_syncs(self, options: CallbackOptions) -> Iterable[Observation]:
        """Called before the histogram is collected. Observes nothing."""
        while self._syncs:
            self._sync.record(self._syncs.popleft())
        return ()


def metrics_store(ingest: Ingest, path: Path) -> Callable[[bytes], None]:
    """A function that inserts an OTLP metrics request into the tables, using the file `path`."""
    ids = SegmentIds()

    def store(body: bytes) -> None:
        batch = otlp.decode_protobuf("metrics", body)
        segment = ids.next()
        path.write_bytes(encode_segment([batch], segment))
        ingest.load(SIGNALS["metrics"], path, segment, batch.items, time.time())
        path.unlink()

    return store


class _Exporter(MetricExporter):
    """Stores the metrics; only every ten minutes while nothing is received, since an insert takes
    0.25 % of a minute's CPU time."""

    def __init__(self, store: Callable[[bytes], None], totals: Callable[[], object]) -> None:
        super().__init__()
        self._store = store
        self._totals = totals
        self._stored_totals: object = None
        self._stored_at = 0.0
        self._closed = False
        self._storing = threading.Lock()

    def close(self) -> None:
        self._closed = True
        if self._storing.acquire(timeout=STOP_TIMEOUT):  # the current insert has ended
            self._storing.release()

    def export(self, metrics_data: MetricsData, *_: Any, **__: Any) -> MetricExportResult:
        try:
            with self._storing:
                totals, now = self._totals(), time.monotonic()
                due = totals != self._stored_totals or now > self._stored_at + IDLE_INTERVAL
                if due and not self._closed:
                    self._store(encode_metrics(metrics_data).SerializeToString())
                    self._stored_totals, self._stored_at = totals, now
        except Exception as error:
            logger.warning("clew's own metrics of this minute could not be stored: %s", error)
            return MetricExportResult.FAILURE
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, *_: Any, **__: Any) -> None: ...


def _items(ledger: Ledger) -> Iterable[Observation]:
    return [
        Observation(items, {"signal": signal, "fate": fate})
        for (signal, fate), items in ledger.totals().items()
    ]


def _pending(ledger: Ledger) -> Iterable[Observation]:
    items = dict.fromkeys(SIGNALS, 0)
    for row in ledger.pending_segments():
        items[row.signal] += row.items
    return [Observation(count, {"signal": signal}) for signal, count in items.items()]


def _cpu(options: CallbackOptions) -> Iterable[Observation]:
    used = os.times()
    return [
        Observation(used.user, {"cpu.mode": "user"}),
        Observation(used.system, {"cpu.mode": "system"}),
    ]


def _memory(options: CallbackOptions) -> Iterable[Observation]:
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return []
    return [Observation(resident * PAGE)]
