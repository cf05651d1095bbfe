"""The ledger's answer from the ledger's rows and what is pending."""

from __future__ import annotations

import time
from typing import Any

from clew.api import create_app
from clew.storage import LedgerRow, Reader, Store
from clew.storage.ledger import ALIVE, PENDING, RECEIVED, STORED, enter
from support.asking import Api


def ledger(store: Store, pending: list[LedgerRow] | None = None, **parameters: Any) -> Any:
    api = Api(store)
    reader = Reader(store)
    api.app = create_app(reader, reader.answers, lambda: pending or [])
    return api.get("/api/v1/ledger", **parameters)


def test_nothing_counts_twice_while_it_is_on_its_way(store: Store) -> None:
    now = time.time() - 5
    rows = [
        LedgerRow(now, "logs", 7, "", RECEIVED, 10),
        LedgerRow(now, "logs", 7, "a", STORED, 10, 2),
    ]
    pending = [
        LedgerRow(now, "logs", 7, "", PENDING, 10),
        LedgerRow(now, "logs", 8, "", PENDING, 5),
    ]
    before = ledger(store, pending)["signals"][1]
    enter(store, rows)
    enter(store, rows)  # as after a lost reply
    between = ledger(store, pending)["signals"][1]
    assert before == between
    assert (before["received"], before["stored"], before["pending"]) == (15, 0, 15)
    after = ledger(store, pending[1:])["signals"][1]
    assert (after["received"], after["stored"], after["pending"], after["late"]) == (15, 10, 5, 2)
    elsewhere = ledger(store, pending, end="-30m")["signals"][1]
    assert (elsewhere["received"], elsewhere["pending"]) == (0, 0)


def test_a_time_without_a_collector_is_told_from_a_time_without_data(store: Store) -> None:
    minute = time.time() // 60 * 60
    beats = [
        LedgerRow(minute - ago * 60, "", 100 - ago, "", ALIVE, 1) for ago in (30, 29, 28, 10, 9)
    ]
    enter(store, beats)
    outages = ledger(store)["outages"]
    assert len(outages) == 2
    (gap, silence) = outages
    assert gap["start"] < gap["end"] < silence["start"] < silence["end"]
    enter(store, [LedgerRow(minute - ago * 60, "", 200 - ago, "", ALIVE, 1) for ago in range(9)])
    assert ledger(store)["outages"] == [gap]


def test_what_was_dropped_for_room_is_said(store: Store) -> None:
    with store.client() as client:
        client.command(
            "INSERT INTO otel.clew_expired (Table, Partition, Rows, Bytes, Reason) "
            "VALUES ('otel_logs', '20261101', 70, 4096, 'size')"
        )
    (dropped,) = ledger(store)["expired"]
    assert dropped.pop("time").endswith("Z")
    assert dropped == {
        "table": "otel_logs", "partition": "20261101", "rows": 70, "bytes": 4096, "reason": "size",
    }  # fmt: skip
    assert ledger(store, end="-30m")["expired"] == []


def test_it_explains_itself(store: Store) -> None:
    (accounts, expired) = ledger(store, explain="true")["sql"]
    assert "otel.clew_ledger" in accounts
    assert "otel.clew_expired" in expired
