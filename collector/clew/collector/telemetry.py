"""The collector's own metrics, by the OpenTelemetry SDK: once a minute, as OTLP, into the tables.

They go past the receivers, the spool and the ledger: what clew says of itself is not what it was
sent, and measuring it makes nothing to measure. The service's name is `clew`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
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
from clew.collector.segment import file_of
from clew.collector.spool import Ids
from clew.storage import SIGNALS, Ingest

logger = logging.getLogger(__name__)

EVERY = 60.0  # seconds
IDLE_EVERY = 600.0  # seconds, while nothing comes in
STOP_WITHIN = 1.0  # seconds
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PAGE = os.sysconf("SC_PAGE_SIZE")


class Telemetry:
    """What the spool and the loader report to; the rest is asked for once a minute."""

    def __init__(
        self, ledger: Ledger, spool_size: Callable[[], int], store: Callable[[bytes], None]
    ) -> None:
        self._exporter = _Exporter(store, ledger.totals)
        reader = PeriodicExportingMetricReader(self._exporter, EVERY * 1000)
        resource = Resource.create({"service.name": "clew", "service.version": version("clew")})
        meter = MeterProvider([reader], resource, shutdown_on_exit=False).get_meter(
            "clew.collector"
        )

        def histogram(name: str, description: str) -> Any:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=SECONDS
            )

        self._sync = histogram(
            "clew.spool.sync.duration", "Writing a group of requests, to the disk"
        )
        self._insert = histogram("clew.loader.insert.duration", "Loading a segment")
        self._fresh = histogram(
            "clew.loader.freshness", "From a segment's first request until it is visible"
        )
        meter.create_observable_counter(
            "clew.collector.items",
            [lambda options: _items(ledger)],
            "{item}",
            "Items (requests where they are unreadable or refused) by signal and fate",
        )
        meter.create_observable_gauge(
            "clew.collector.pending",
            [lambda options: _pending(ledger)],
            "{item}",
            "Items on the disk that are not in the tables yet",
        )
        meter.create_observable_gauge(
            "clew.collector.queue.age",
            [lambda options: [Observation(ledger.oldest(time.time()))]],
            "s",
            "How long the oldest of them has been waiting",
        )
        meter.create_observable_gauge(
            "clew.spool.size", [lambda options: [Observation(spool_size())]], "By",
            "The spool's files",
        )  # fmt: skip
        meter.create_observable_counter("process.cpu.time", [_cpu], "s", "By all threads")
        meter.create_observable_gauge("process.memory.usage", [_memory], "By", "Resident memory")

    def close(self) -> None:
        """Nothing is stored any more once this returns."""
        self._exporter.close()

    def synced(self, seconds: float) -> None:
        """Writing a group of requests, and having them on the disk, took this long."""
        self._sync.record(seconds)

    def inserted(self, signal: str, seconds: float, fresh: float) -> None:
        """Loading a segment took so long; its first item was visible `fresh` seconds after."""
        self._insert.record(seconds, {"signal": signal})
        self._fresh.record(fresh, {"signal": signal})


def into_tables(ingest: Ingest, path: Path) -> Callable[[bytes], None]:
    """A function that puts a metrics request into the tables, by way of the file `path`."""
    ids = Ids()

    def store(body: bytes) -> None:
        batch = otlp.decode_protobuf("metrics", body)
        segment = ids.next()
        path.write_bytes(file_of([batch], segment))
        ingest.load(SIGNALS["metrics"], path, segment, batch.items, time.time())
        path.unlink()

    return store


class _Exporter(MetricExporter):
    """Stores what was measured; while nothing comes in, every ten minutes only: an insert takes a
    quarter of a percent of a minute."""

    def __init__(self, store: Callable[[bytes], None], totals: Callable[[], object]) -> None:
        super().__init__()
        self._store = store
        self._totals = totals
        self._last: object = None
        self._last_at = 0.0
        self._closed = False
        self._storing = threading.Lock()

    def close(self) -> None:
        self._closed = True
        if self._storing.acquire(timeout=STOP_WITHIN):  # what is being stored has ended
            self._storing.release()

    def export(self, metrics_data: MetricsData, *_: Any, **__: Any) -> MetricExportResult:
        try:
            with self._storing:
                totals, now = self._totals(), time.monotonic()
                if not self._closed and (totals != self._last or now > self._last_at + IDLE_EVERY):
                    self._store(encode_metrics(metrics_data).SerializeToString())
                    self._last, self._last_at = totals, now
        except Exception as error:
            logger.warning("clew's own metrics of this minute are lost: %s", error)
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
    for row in ledger.waiting():
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
