"""The collector's own metrics are in the tables, and not in the ledger."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from test_ingest_exactly_once import traces

from clew.collector import telemetry as telemetry_module
from clew.collector.ledger import Ledger
from clew.collector.telemetry import Telemetry, metrics_store
from clew.storage import Ingest, Store, StoredItems
from support.loading import rows, seal_segment

NAMES = {
    "clew.spool.sync.duration", "clew.loader.insert.duration", "clew.loader.freshness",
    "clew.collector.items", "clew.collector.pending", "clew.collector.queue.age",
    "clew.spool.size", "process.cpu.time", "process.memory.usage",
}  # fmt: skip


def test_every_metric_is_stored_with_its_value(
    store: Store, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_module, "INTERVAL", 0.3)
    ledger = Ledger(ingest.write_ledger)
    ledger.add_received("logs", 1, 5, time.time() - 3)
    ledger.add_loaded(seal_segment(tmp_path, "traces", traces(1, 1)), {"a": StoredItems(3, 0)})
    ledger.count_unreadable("metrics")
    telemetry = Telemetry(ledger, lambda: 4096, metrics_store(ingest, tmp_path / "own-metrics"))
    telemetry.record_sync(0.004)
    telemetry.record_insert("traces", 0.2, 0.9)
    deadline = time.monotonic() + 20
    values: dict[str, float] = {}
    while values.keys() != NAMES:
        assert time.monotonic() < deadline, values.keys() ^ NAMES
        values = {
            row["MetricName"]: row["v"]
            for row in rows(store, """
                SELECT MetricName, max(Value) AS v FROM otel.otel_metrics_gauge WHERE ServiceName = 'clew' GROUP BY 1
                UNION ALL SELECT MetricName, max(Value) FROM otel.otel_metrics_sum WHERE ServiceName = 'clew' GROUP BY 1
                UNION ALL SELECT MetricName, max(Sum) FROM otel.otel_metrics_histogram WHERE ServiceName = 'clew' GROUP BY 1""")
        }  # fmt: skip
        time.sleep(0.1)
    telemetry.close()
    assert values["clew.collector.pending"] == 5
    assert 3 <= values["clew.collector.queue.age"] < 60
    assert values["clew.spool.sync.duration"] == pytest.approx(0.004)
    assert values["clew.loader.freshness"] == pytest.approx(0.9)
    assert values["clew.spool.size"] == 4096
    assert ledger.totals()["metrics", "unreadable"] == 1
    assert ("metrics", "received") not in ledger.totals()
