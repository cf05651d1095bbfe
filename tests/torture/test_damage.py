"""Damaged files in the spool: the lost items are counted, the others are stored."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import FaultyClew
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from oracle import ITEMS, Book, Load, Stored, judge, ledger, unequal

from clew.collector import segment as segments
from clew.collector.otlp import Batch
from clew.collector.segment import Segment
from support.stored import wait_until_loaded

RECORD_SIZE = len(segments.encode_record(Batch(b"", 0)))
BATCHES = [Batch(b"\x0a\x03abc", 1), Batch(b"\x0a\x00\x0a\x7f" + b"x" * 127, 5), Batch(b"\x0a\x2d" + b"y" * 45, 3)]  # fmt: skip


@pytest.fixture
def clew(tmp_path: Path) -> Iterator[FaultyClew]:
    running = FaultyClew(tmp_path / "data", stopped="")
    yield running
    running.switch_off("stopped")
    running.stop()


@pytest.mark.slow  # shorter in tests/integration/test_loader.py
@pytest.mark.parametrize("rounds", [5])
def test_flipped_bits(clew: FaultyClew, rounds: int) -> None:
    """A few in every file. Only damaged requests may be missing; the ledger has each of their items
    as rejected because of damage."""
    book, chance = Book(), random.Random(rounds)
    damaged: set[tuple[str, int]] = set()
    for _ in range(rounds):
        with Load(book, clew) as load:
            load.wait_for_answers(1)
        assert clew.stop() == 0  # which seals the open segments
        for path in (clew.data / "spool").glob("*/*.*"):
            damaged |= {(path.parent.name, number) for number in flip(path, chance)}
        clew.switch_off("stopped")
        clew.start()
        wait_until_loaded(clew.data)
        clew.switch_on("stopped")
    accounts = ledger(clew)
    assert clew.stop() == 0
    verdict = judge(book, stored := Stored.read(f"chdb://{clew.data / 'db'}"))
    print(verdict, len(damaged), "damaged requests")
    assert (
        unequal(accounts)
        == book.unexpected
        == verdict.doubled
        == verdict.torn
        == verdict.foreign
        == []
    )
    assert set(verdict.lost) <= damaged
    assert verdict.sides
    for account in accounts:
        signal = account["signal"]
        lost = ITEMS * sum(lost_signal == signal for lost_signal, _ in verdict.lost)
        assert account["received"] == ITEMS * book.acknowledged[signal].total()
        assert account["reasons"] == ({"damaged_in_spool": lost} if lost else {})
        assert account["stored"] == stored.rows[signal] == account["received"] - lost
    assert verdict.lost


def flip(path: Path, chance: random.Random) -> set[int]:
    """Flip up to three bits in the file. Returns the numbers of the damaged requests."""
    data = bytearray(path.read_bytes())
    records = list(segments.read_intact_records(bytes(data)))
    positions = [chance.randrange(len(data)) for _ in range(chance.randrange(1, 4))]
    damaged = {
        request_number(path.parent.name, bytes(data[start:end]))
        for start, end, _ in records
        if any(start <= position < end + RECORD_SIZE for position in positions)
    }
    for position in positions:
        data[position] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return damaged


def request_number(signal: str, body: bytes) -> int:
    """The number of a request that `oracle.request` made."""
    if signal == "traces":
        spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
        return int.from_bytes(spans[0].span_id, "big") >> 16
    if signal == "logs":
        logs = ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0]
        return int.from_bytes(logs.log_records[0].span_id, "big") >> 16
    metrics = ExportMetricsServiceRequest.FromString(body).resource_metrics[0].scope_metrics[0]
    return int(metrics.metrics[0].sum.data_points[0].as_double) >> 16


def test_a_segment_cut_at_every_byte_of_its_last_record(tmp_path: Path) -> None:
    last, seal = BATCHES[-1], segments.encode_seal(7)
    content = segments.encode_segment(BATCHES, 7)
    for cut in range(1, len(last.body) + RECORD_SIZE + len(seal) + 1):
        expected = BATCHES if cut <= len(seal) else BATCHES[:-1]
        path = tmp_path / f"{7:020}-9.sealed"
        path.write_bytes(content[:-cut])
        repaired = Segment.from_path("traces", path).without_damage()
        assert list(repaired.batches()) == expected
        assert (repaired.received, repaired.items) == (9, sum(batch.items for batch in expected))

        path = tmp_path / f"{7:020}.open"
        path.write_bytes(content[:-cut])
        recovered = segments.recover_open(path, "traces")
        assert list(recovered.batches()) == expected
        recovered.remove()
        repaired.remove()
