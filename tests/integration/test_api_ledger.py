"""The ledger, from stored and from pending rows."""

from __future__ import annotations

import time
from typing import Any

from clew.api import create_app
from clew.storage import LedgerRow, Reader, Store
from clew.storage.ledger import ALIVE, MENDED, PENDING, RECEIVED, STORED, write_rows
from support.api_client import ApiClient, received


def ledger(store: Store, pending: list[LedgerRow] | None = None, **parameters: Any) -> Any:
    api = ApiClient(store)
    reader = Reader(store)
    api.app = create_app(reader, reader.answers, received(*pending or ()))
    return api.get("/api/v1/ledger", **parameters)


def test_pending_items_are_counted_once(store: Store) -> None:
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
    write_rows(store, rows)
    write_rows(store, rows)  # again, as after a lost reply
    during = ledger(store, pending)["signals"][1]
    assert before == during
    assert (before["received"], before["stored"], before["pending"]) == (15, 0, 15)
    after = ledger(store, pending[1:])["signals"][1]
    assert (after["received"], after["stored"], after["pending"], after["late"]) == (15, 10, 5, 2)
    earlier = ledger(store, pending, end="-30m")["signals"][1]
    assert (earlier["received"], earlier["pending"]) == (0, 0)


def test_mended_items_are_beside_the_equation(store: Store) -> None:
    now = time.time() - 5
    write_rows(store, [LedgerRow(now, "logs", 9, "", MENDED, 3)])
    account = ledger(store, [LedgerRow(now, "logs", 10, "", MENDED, 2)])["signals"][1]
    assert (account["mended"], account["received"], account["rejected"]) == (5, 0, 0)
    assert account["reasons"] == {}


def test_outages_are_gaps_between_heartbeats(store: Store) -> None:
    minute = time.time() // 60 * 60
    heartbeats = [
        LedgerRow(minute - minutes_ago * 60, "", 100 - minutes_ago, "", ALIVE, 1)
        for minutes_ago in (30, 29, 28, 10, 9)
    ]
    write_rows(store, heartbeats)
    outages = ledger(store)["outages"]
    assert len(outages) == 2
    (gap, silence) = outages
    assert gap["start"] < gap["end"] < silence["start"] < silence["end"]
    write_rows(
        store,
        [
            LedgerRow(minute - minutes_ago * 60, "", 200 - minutes_ago, "", ALIVE, 1)
            for minutes_ago in range(9)
        ],
    )
    assert ledger(store)["outages"] == [gap]


def test_expired_partitions_are_listed(store: Store) -> None:
    with store.client() as client:
        client.command(
            "INSERT INTO otel.clew_expired (Table, Partition, Rows, Bytes, Reason) "
            "VALUES ('otel_logs', '20261101', 70, 4096, 'size')"
        )
    (expired,) = ledger(store)["expired"]
    assert expired.pop("time").endswith("Z")
    assert expired == {
        "table": "otel_logs", "partition": "20261101", "rows": 70, "bytes": 4096, "reason": "size",
    }  # fmt: skip
    assert ledger(store, end="-30m")["expired"] == []


def test_explain_lists_the_statements(store: Store) -> None:
    (accounts, expired) = ledger(store, explain="true")["sql"]
    assert "otel.clew_ledger" in accounts
    assert "otel.clew_expired" in expired
