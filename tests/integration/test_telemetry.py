"""The collector's own metrics end in the tables, and nowhere in the ledger."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from test_ingest_exactly_once import traces

from clew.collector import telemetry as telemetry_module
from clew.collector.ledger import Ledger
from clew.collector.telemetry import Telemetry, into_tables
from clew.storage import Ingest, Store, Stored
from support.loading import rows, seal_segment

NAMES = {
    "clew.spool.sync.duration", "clew.loader.insert.duration", "clew.loader.freshness",
    "clew.collector.items", "clew.collector.pending", "clew.collector.queue.age",
    "clew.spool.size", "process.cpu.time", "process.memory.usage",
}  # fmt: skip


def test_they_are_stored_once_a_minute(
    store: Store, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_module, "EVERY", 0.3)
    ledger = Ledger(ingest.enter)
    ledger.received("logs", 1, 5, time.time() - 3)
    ledger.loaded(seal_segment(tmp_path, "traces", traces(1, 1)), {"a": Stored(3, 0)})
    ledger.unreadable("metrics")
    own = Telemetry(ledger, lambda: 4096, into_tables(ingest, tmp_path / "own"))
    own.synced(0.004)
    own.inserted("traces", 0.2, 0.9)
    deadline = time.monotonic() + 20
    found: dict[str, float] = {}
    while found.keys() != NAMES:
        assert time.monotonic() < deadline, found.keys() ^ NAMES
        found = {
            row["MetricName"]: row["v"]
            for row in rows(store, """
                SELECT MetricName, max(Value) AS v FROM otel.otel_metrics_gauge WHERE ServiceName = 'clew' GROUP BY 1
                UNION ALL SELECT MetricName, max(Value) FROM otel.otel_metrics_sum WHERE ServiceName = 'clew' GROUP BY 1
                UNION ALL SELECT MetricName, max(Sum) FROM otel.otel_metrics_histogram WHERE ServiceName = 'clew' GROUP BY 1""")
        }  # fmt: skip
        time.sleep(0.1)
    own.close()
    assert found["clew.collector.pending"] == 5
    assert 3 <= found["clew.collector.queue.age"] < 60
    assert found["clew.spool.sync.duration"] == pytest.approx(0.004)
    assert found["clew.loader.freshness"] == pytest.approx(0.9)
    assert found["clew.spool.size"] == 4096
    assert ledger.totals()["metrics", "unreadable"] == 1
    assert ("metrics", "received") not in ledger.totals()
